//! The stream of refetch notices: says *that* there is something newer, never what. Values do not travel on it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use sha2::{Digest, Sha256};

use crate::gate::Scope;
use crate::presence::Presence;
use crate::DataPlane;

/// An address may be used this long; a client that comes later fetches anew and gets another.
const VALID: u64 = 24 * 3600;
const KEEP_ALIVE: Duration = Duration::from_secs(25);

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn signature(secret: &[u8; 32], signed: &str) -> String {
    use std::fmt::Write as _;
    // secret ‖ length ‖ message ‖ secret: no extension of the message can be signed without the secret
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update((signed.len() as u64).to_be_bytes());
    hash.update(signed.as_bytes());
    hash.update(secret);
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where a client that was just answered with `revision` may listen. Opaque, secret, short-lived.
pub(super) fn address(plane: &DataPlane, scope: &Scope, revision: u64) -> String {
    let signed = format!("{}.{}.{}", scope.environment, revision, seconds() + VALID);
    format!("/ofrep/v1/stream?t={signed}.{}", signature(&plane.secret, &signed))
}

/// Environment and revision of an address, if it is ours and still valid.
fn opened<'q>(plane: &DataPlane, query: Option<&'q str>) -> Option<(&'q str, u64)> {
    let token = query?.split('&').find_map(|pair| pair.strip_prefix("t="))?;
    let (signed, given) = token.rsplit_once('.')?;
    let right = signature(&plane.secret, signed);
    let same = right.len() == given.len() && right.bytes().zip(given.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0;
    let (rest, expires) = signed.rsplit_once('.')?;
    let (environment, revision) = rest.rsplit_once('.')?;
    (same && expires.parse::<u64>().ok()? > seconds()).then_some((environment, revision.parse().ok()?))
}

/// Removes the stream from presence when its client goes.
struct Open {
    presence: Arc<Presence>,
    environment: String,
    stream: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.presence.closed(&self.environment, self.stream);
    }
}

pub(super) async fn stream(State(plane): State<DataPlane>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some((environment, fetched)) = opened(&plane, query.as_deref()) else { return StatusCode::UNAUTHORIZED.into_response() };
    let Some(feed) = plane.feeds.feed(environment) else { return StatusCode::NOT_FOUND.into_response() };
    // what the client has: what it last heard of, or else what it had fetched when it got the address
    let heard = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let has = heard.map_or(fetched, |heard| heard.max(fetched));
    let stream = plane.presence.opened(environment, has);
    let open = Open { presence: Arc::clone(&plane.presence), environment: environment.to_owned(), stream };
    let notices = unfold((feed.follow(), has, open, Some(retry(stream))), |(mut revision, has, open, retry)| async move {
        if let Some(retry) = retry {
            let first = Event::default().retry(retry).comment("greenroom");
            return Some((Ok::<_, Infallible>(first), (revision, has, open, None)));
        }
        let newer = *revision.wait_for(|r| *r > has).await.ok()?;
        Some((Ok(notice(newer)), (revision, newer, open, None)))
    });
    Sse::new(notices).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Clients that lose their connections together shall not come back together.
fn retry(stream: u64) -> Duration {
    Duration::from_millis(1_000 + stream.wrapping_mul(2_654_435_761) % 2_000)
}

/// Several revisions since the last notice are one.
fn notice(revision: u64) -> Event {
    let data = format!("{{\"type\":\"refetchEvaluation\",\"etag\":\"{revision}\",\"lastModified\":{}}}", seconds());
    Event::default().id(revision.to_string()).event("message").data(data)
}
