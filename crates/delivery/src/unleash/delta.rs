//! Changes for SDKs that keep what they have: asked for, or as a stream. Ids of events are revisions.

use std::fmt;
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

use super::stage::Way;
use super::{Instance, found, level, text, unchanged};
use crate::DataPlane;
use crate::feeds::{Feed, Head, Published};
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
        Some(stage) => stage.way(Place::of(known, &published), &published, level).await,
        None => None,
    };
    let here = Place { revision: way.as_ref().map_or(published.revision(), |way| way.revision), edition: published.edition() };
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

/// Where an SDK is: the revision and, at a relay that forces something off, what that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    revision: u64,
    edition: u64,
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let (revision, edition) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { revision: revision.parse().ok()?, edition: u64::from_str_radix(edition, 16).ok()? })
    }

    /// The revision from which steps lead to `published`. None do from where something else was forced off.
    fn of(known: Option<Self>, published: &Published) -> Option<u64> {
        known.filter(|known| known.edition == published.edition()).map(|known| known.revision)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.edition {
            0 => write!(f, "{}", self.revision),
            edition => write!(f, "{}-{edition:x}", self.revision),
        }
    }
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
            if let Some((way, edition)) = self.way().await {
                let here = Place { revision: way.revision, edition };
                (self.known, self.given) = (Some(here), Some(here.revision));
                return Some(event(&way, here));
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
    async fn way(&self) -> Option<(Way, u64)> {
        let published = self.feed.published()?;
        let way = self.feed.unleash().of(self.level)?.way(Place::of(self.known, &published), &published, self.level).await?;
        Some((way, published.edition()))
    }
}

/// JSON as we write it has no line breaks, so the data is one line.
fn event(way: &Way, here: Place) -> Bytes {
    let name = if way.whole { "unleash-connected" } else { "unleash-updated" };
    let mut event = format!("id: {here}\nevent: {name}\ndata: ").into_bytes();
    event.extend_from_slice(&way.body);
    event.extend_from_slice(b"\n\n");
    event.into()
}
