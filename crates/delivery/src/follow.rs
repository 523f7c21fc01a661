//! The snapshot for those who evaluate themselves: fetched whole, or followed by deltas, signed either way.
//!
//! What a slow reader may hold, and when it is let go, says [`crate::source`].

mod chain;
mod report;
mod tickets;
mod trail;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use greenroom_exposure::wire::follow::{EVALUATORS, INSTANCE, SNAPSHOT, STREAM, TICKETS, is_name};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::chain::Chain;
use self::chain::Moved;
pub(crate) use self::trail::Trail;
use crate::DataPlane;
use crate::feeds::{Feed, Head};
use crate::gate::{Pass, Scope};
use crate::ofrep::reply::{self, Refusal};
use crate::ofrep::stream::{COMMENT, events, retry};
use crate::presence::Connection;
use crate::source::Source;

/// Signs what followers keep.
pub trait Sign: Send + Sync {
    /// The Ed25519 signature of a snapshot's canonical form, base64. May take as long as hashing takes.
    fn sign(&self, snapshot: &[u8]) -> String;
}

#[derive(Clone)]
struct Following {
    plane: Arc<DataPlane>,
    /// A relay has none: what it publishes is signed.
    signer: Option<Arc<dyn Sign>>,
}

pub(crate) fn router(plane: DataPlane) -> Router {
    let signer = plane.signer.clone();
    Router::new()
        .route(SNAPSHOT, get(whole).options(reply::preflight))
        .route(STREAM, get(open).options(reply::preflight))
        .route(EVALUATORS, post(report::take).options(reply::preflight))
        .route(TICKETS, get(tickets::list).options(reply::preflight))
        .with_state(Following { plane: Arc::new(plane), signer })
}

async fn whole(State(Following { plane, signer }): State<Following>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.follower(&headers)?;
    plane.chain.admit(&headers)?;
    let feed = plane.feed(&scope)?;
    let signed = feed.trail().signed(plane.published(&scope)?, signer.as_ref()).await.ok_or_else(|| not_yet(&scope))?;
    let response = if crate::ofrep::tag::known(&headers, &signed.tag) {
        reply::open(StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        let response = reply::open(StatusCode::OK, signed.envelope.clone().into());
        reply::with(response, header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    };
    let response = plane.chain.signed(response);
    Ok(match crate::ofrep::tag::header_value(&signed.tag) {
        Some(tag) => reply::with(response, header::ETAG, tag),
        None => response,
    })
}

async fn open(State(Following { plane, signer }): State<Following>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.follower(&headers)?;
    let moved = plane.chain.admit(&headers)?;
    let feed = plane.feed(&scope)?;
    let instance = headers.get(INSTANCE).and_then(|name| name.to_str().ok()).filter(|name| is_name(name));
    let connection = match instance {
        Some(instance) => plane.presence.connected(&scope.environment, evaluator(&scope, instance), instance),
        None => plane.presence.connected(&scope.environment, evaluator(&scope, ""), &scope.id),
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse::<u64>().ok());
    let head = feed.follow();
    let keep_alive = plane.limits.keep_alive;
    // a relay says first what is forced off, so that nobody has to guess
    let edition = if plane.chain.is_relay() { None } else { Some(0) };
    let pass = Pass { gate: Arc::clone(&plane.gate), id: Arc::clone(&scope.id) };
    let follower = Follower { pass, feed, head, signer, moved, known: last.unwrap_or(0), edition, greeted: false, keep_alive, connection };
    Ok(plane.chain.signed(events(Body::from_stream(follower.events()))))
}

impl DataPlane {
    pub(crate) fn feed(&self, scope: &Scope) -> Result<Arc<Feed>, Refusal> {
        self.feeds.feed(&scope.environment).ok_or_else(|| not_yet(scope))
    }
}

pub(crate) fn not_yet(scope: &Scope) -> Refusal {
    Refusal::NotYet(format!("environment `{}` is not served here yet", scope.environment))
}

/// What presence knows a follower by: whoever holds one token cannot pass for the holder of another.
fn evaluator(scope: &Scope, instance: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    ("follower", &scope.id, instance).hash(&mut hasher);
    hasher.finish()
}

/// One open stream.
struct Follower {
    pass: Pass,
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    signer: Option<Arc<dyn Sign>>,
    /// Resolves when a relay has to ask anew, because our own place in the chain is another.
    moved: Moved,
    /// The revision that it was brought to.
    known: u64,
    /// The edition that it was told of, if any.
    edition: Option<u64>,
    greeted: bool,
    keep_alive: Duration,
    /// In contact for as long as this lives.
    #[expect(dead_code, reason = "held for its drop")]
    connection: Connection,
}

impl Source for Follower {
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
            if let Some(published) = self.feed.published() {
                // before the snapshot, so that nothing that is forced off is shown for a moment
                if self.edition != Some(published.edition()) {
                    self.edition = Some(published.edition());
                    return Some(trail::forced(&published));
                }
                if published.revision() > self.known
                    && let Some(way) = self.feed.trail().way(self.known, published, self.signer.as_ref()).await
                {
                    self.known = way.revision;
                    return Some(way.events);
                }
            }
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
                () = self.moved.wait() => return None,
                () = tokio::time::sleep_until(quiet) => return Some(COMMENT),
            }
        }
    }
}
