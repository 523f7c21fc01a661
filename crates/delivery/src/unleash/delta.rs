//! Changes for SDKs that keep what they have: asked for, or as a stream. Ids of events are revisions.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use greenroom_exposure::wire::unleash::Level;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::stage::Way;
use super::{Instance, found, level, text, unchanged};
use crate::DataPlane;
use crate::feeds::{Feed, Head};
use crate::follow::PATIENCE;
use crate::ofrep::reply::Refusal;
use crate::ofrep::stream::{COMMENT, events, retry};
use crate::presence::Connection;

pub(super) async fn poll(State(plane): State<Arc<DataPlane>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_in(&headers)?;
    let (feed, published, level) = (plane.feed(&scope)?, plane.published(&scope)?, level(&headers));
    // an id that nobody here has given out yet is of another life: begin anew
    let known = text(&headers, "if-none-match").and_then(|tag| crate::ofrep::tag::bare(tag).parse::<u64>().ok()).filter(|id| *id <= published.revision());
    let instance = Instance::of(&scope, &headers);
    plane.presence.reported(&scope.environment, instance.id, &instance.name, known.unwrap_or(0));
    let way = match feed.unleash().of(level) {
        Some(stage) => stage.way(known, &published, level).await,
        None => None,
    };
    Ok(match (way, known) {
        (Some(Way { revision, body, .. }), _) => found(body, &revision.to_string()),
        (None, known) => unchanged(&known.unwrap_or_default().to_string()),
    })
}

pub(super) async fn stream(State(plane): State<Arc<DataPlane>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_in(&headers)?;
    let (feed, published) = (plane.feed(&scope)?, plane.published(&scope)?);
    let known = text(&headers, "last-event-id").and_then(|id| id.parse::<u64>().ok()).filter(|id| *id <= published.revision());
    let instance = Instance::of(&scope, &headers);
    let connection = plane.presence.connected(&scope.environment, instance.id, &instance.name);
    plane.presence.reported(&scope.environment, instance.id, &instance.name, known.unwrap_or(0));
    let head = feed.follow();
    let listener = Listener { feed, head, level: level(&headers), known, greeted: false, given: Instant::now(), keep_alive: plane.limits.keep_alive, connection };
    Ok(events(Body::from_stream(unfold(listener, Listener::next))))
}

/// One open stream. It holds one event at most: the next is made when it has taken that one, from where it then is.
struct Listener {
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    level: Level,
    known: Option<u64>,
    greeted: bool,
    /// When it was given its last event.
    given: Instant,
    keep_alive: Duration,
    /// In contact for as long as this lives.
    #[expect(dead_code, reason = "held for its drop")]
    connection: Connection,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.given.elapsed() > PATIENCE {
            return None;
        }
        let bytes = self.bytes().await?;
        self.given = Instant::now();
        Some((Ok(bytes), self))
    }

    async fn bytes(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(format!("retry: {}\n\n", retry()).into());
        }
        let quiet = Instant::now() + self.keep_alive;
        loop {
            let head = *self.head.borrow_and_update();
            if head.closed {
                return None;
            }
            if let Some(way) = self.way().await {
                self.known = Some(way.revision);
                return Some(event(&way));
            }
            match tokio::time::timeout_at(quiet, self.head.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(COMMENT),
            }
        }
    }

    async fn way(&self) -> Option<Way> {
        let published = self.feed.published().filter(|published| self.known.is_none_or(|known| known < published.revision()))?;
        self.feed.unleash().of(self.level)?.way(self.known, &published, self.level).await
    }
}

/// JSON as we write it has no line breaks, so the data is one line.
fn event(way: &Way) -> Bytes {
    let name = if way.whole { "unleash-connected" } else { "unleash-updated" };
    let mut event = format!("id: {}\nevent: {name}\ndata: ", way.revision).into_bytes();
    event.extend_from_slice(&way.body);
    event.extend_from_slice(b"\n\n");
    event.into()
}
