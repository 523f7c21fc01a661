//! Changes for SDKs that keep what they have: asked for, or as a stream. Ids of events are revisions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use greenroom_exposure::wire::unleash::Level;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::stage::{Place, Way};
use super::{Instance, found, level, text, unchanged};
use crate::DataPlane;
use crate::feeds::{Feed, Head};
use crate::gate::Pass;
use crate::ofrep::reply::Refusal;
use crate::ofrep::stream::{COMMENT, events, retry};
use crate::outflow::Outflow;
use crate::presence::Connection;
use crate::source::Source;

pub(super) async fn poll(State(plane): State<Arc<DataPlane>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_follow(&headers)?;
    let (feed, published, level) = (plane.feed(&scope)?, plane.published(&scope)?, level(&headers));
    // an id that nobody here has given out yet is of another life: begin anew
    let known = text(&headers, "if-none-match").and_then(|tag| Place::read(crate::ofrep::tag::bare(tag))).filter(|known| known.revision <= published.revision());
    let way = match feed.unleash().of(level) {
        Some(stage) => stage.way(known, &published, level).await,
        None => None,
    };
    let here = way.as_ref().map_or_else(|| Place::of(&published), |way| way.to);
    plane.asked(&scope, &headers, known.map_or(0, |known| known.revision), here.revision);
    Ok(match way {
        Some(Way { body, .. }) => found(body, &here.to_string()),
        None => unchanged(&here.to_string()),
    })
}

pub(super) async fn stream(State(plane): State<Arc<DataPlane>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_follow(&headers)?;
    let (feed, published) = (plane.feed(&scope)?, plane.published(&scope)?);
    let known = text(&headers, "last-event-id").and_then(Place::read).filter(|known| known.revision <= published.revision());
    let instance = Instance::of(&scope, &headers);
    let connection = plane.presence.connected(&scope.environment, instance.id, &instance.name);
    // nothing is given yet: what it says it has is what it has
    let has = known.map_or(0, |known| known.revision);
    plane.presence.asked(&scope.environment, instance.id, &instance.name, has, has);
    let head = feed.follow();
    let pass = Pass { gate: Arc::clone(&plane.gate), id: Arc::clone(&scope.id) };
    let outflow = Outflow::current();
    let listener = Listener { pass, feed, head, level: level(&headers), known, given: None, outflow, greeted: false, keep_alive: plane.limits.keep_alive, connection };
    Ok(events(Body::from_stream(listener.events())))
}

/// One open stream.
struct Listener {
    pass: Pass,
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    level: Level,
    known: Option<Place>,
    /// The revision of what was sent and has not arrived, as far as we know.
    given: Option<u64>,
    outflow: Option<Arc<Outflow>>,
    greeted: bool,
    keep_alive: Duration,
    /// In contact for as long as this lives.
    connection: Connection,
}

impl Source for Listener {
    async fn bytes(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(format!("retry: {}\n\n", retry()).into());
        }
        let quiet = Instant::now() + self.keep_alive;
        loop {
            let head = *self.head.borrow_and_update();
            if head.closed || !self.pass.stands() {
                return None;
            }
            if let Some(way) = self.way().await {
                (self.known, self.given) = (Some(way.to), Some(way.to.revision));
                return Some(way.event);
            }
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
                revision = arrived(self.outflow.as_deref(), self.given), if self.given.is_some() => {
                    self.given = None;
                    self.connection.has(revision);
                }
                () = tokio::time::sleep_until(quiet) => return Some(COMMENT),
            }
        }
    }
}

/// Nothing in this protocol says that an event was taken, so it counts once the other end's system has it.
async fn arrived(outflow: Option<&Outflow>, given: Option<u64>) -> u64 {
    if let Some(outflow) = outflow {
        outflow.arrived().await;
    }
    given.unwrap_or_default()
}

impl Listener {
    async fn way(&self) -> Option<Way> {
        let published = self.feed.published()?;
        self.feed.unleash().of(self.level)?.way(self.known, &published, self.level).await
    }
}
