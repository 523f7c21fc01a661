//! The event stream: it says that there is something new, never what.
//!
//! A client is told once about where we are, however many revisions it missed; one that is up to date hears nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use tokio::sync::watch;
use tokio::time::Instant;

use super::reply::{self, Refusal};
use super::token::Ticket;
use crate::DataPlane;
use crate::feeds::{Feed, Head, unix_now};
use crate::gate::{Denied, Pass};
use crate::presence::Connection;

pub(crate) const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// Reconnects are spread over this range of milliseconds: every one brings a bulk request with it.
const RETRY: std::ops::Range<u64> = 1_000..6_000;

pub(super) async fn open(State(plane): State<Arc<DataPlane>>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
    let ticket = token.and_then(|token| Ticket::verify(token, &plane.secret));
    let ticket = ticket.ok_or(Refusal::Denied(Denied::Unauthenticated))?;
    let pass = Pass { gate: Arc::clone(&plane.gate), id: Arc::clone(&ticket.id) };
    if !pass.stands() {
        return Err(Refusal::Denied(Denied::Unauthenticated));
    }
    if ticket.expires <= unix_now() {
        return Ok(events(Body::from(renew())));
    }
    let not_here = || Refusal::NotYet(format!("environment `{}` is not served here", ticket.environment));
    let feed = plane.feeds.feed(&ticket.environment).ok_or_else(not_here)?;
    let connection = plane.presence.connected(&ticket.environment, ticket.asker, &ticket.id);
    if ticket.page {
        plane.presence.is_page(&ticket.environment, ticket.asker);
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse::<u64>().ok());
    let seen = last.or(connection.seen());
    let head = feed.follow();
    // one who comes back asks anyway, and what is forced off since then is in the answer
    let edition = head.borrow().edition;
    let listener = Listener { pass, head, feed, told: seen.unwrap_or(0), edition, greeted: false, keep_alive: plane.limits.keep_alive, connection };
    Ok(events(Body::from_stream(stream::unfold(listener, Listener::next))))
}

pub(crate) fn events(body: Body) -> Response {
    let response = reply::open(StatusCode::OK, body);
    let response = reply::with(response, header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let response = reply::with(response, header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of the nginx family hold back what they buffer.
    reply::with(response, header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))
}

/// Told to someone whose address has expired: fetching again, with credentials, brings a new one. An error would make a
/// browser's `EventSource` give up for good.
fn renew() -> String {
    format!("retry: {}\nevent: message\ndata: {{\"type\":\"refetchEvaluation\"}}\n\n", retry())
}

/// Spread evenly by a multiplicative sequence: jitter needs no secrecy.
pub(crate) fn retry() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let spread = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 32;
    RETRY.start + spread % (RETRY.end - RETRY.start)
}

/// One open stream.
struct Listener {
    pass: Pass,
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    /// The revision that the client knows of.
    told: u64,
    edition: u64,
    greeted: bool,
    keep_alive: Duration,
    /// In contact for as long as this lives.
    #[expect(dead_code, reason = "held for its drop")]
    connection: Connection,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !self.greeted {
            self.greeted = true;
            let greeting = self.greeting();
            return Some((Ok(greeting), self));
        }
        let quiet = Instant::now() + self.keep_alive;
        loop {
            let head = *self.head.borrow_and_update();
            if head.closed || !self.pass.stands() {
                return None;
            }
            if let Some(news) = self.news(head) {
                return Some((Ok(news), self));
            }
            match tokio::time::timeout_at(quiet, self.head.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(COMMENT), self)),
            }
        }
    }

    /// How long to wait before reconnecting and, for one who is up to date, which id to reconnect with.
    fn greeting(&self) -> Bytes {
        let retry = retry();
        match self.told {
            0 => format!("retry: {retry}\n\n").into(),
            told => format!("retry: {retry}\nid: {told}\n\n").into(),
        }
    }

    fn news(&mut self, head: Head) -> Option<Bytes> {
        if head.revision <= self.told && head.edition == self.edition {
            return None;
        }
        let published = self.feed.published()?;
        (self.told, self.edition) = (published.revision().max(self.told), published.edition());
        Some(published.announcement())
    }
}
