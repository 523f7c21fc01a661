//! All features for one caller, for providers that cache: web pages and mobile apps.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use greenroom_exposure::wire::{Caller, ErrorCode, read_request, write_answer, write_failure};
use http::{StatusCode, header};

use super::STREAM;
use super::reply::{self, Refusal};
use super::single::NO_KEY;
use super::tag::{self, Asker};
use super::token::Ticket;
use crate::DataPlane;
use crate::feeds::{Published, unix_now};
use crate::gate::Scope;

/// What providers assume when it is not given: seconds out of sight after which a page hangs up.
const INACTIVITY: u32 = 120;
/// A generous guess at the bytes of one feature's answer.
const PER_FEATURE: usize = 256;

pub(super) async fn evaluate(State(plane): State<Arc<DataPlane>>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let scope = plane.admit(&head.headers)?;
    let body = plane.body(&head.headers, body).await?;
    let caller = read_request(&body).map_err(|request| Refusal::Bad { key: None, request })?;
    let announced = tag::announced(head.uri.query());
    let published = plane.caught_up(&scope, announced).await?;

    let asker = Asker::new(&scope, &caller);
    let tag = asker.tag(&published);
    plane.presence.fetched(&scope.environment, asker.id(), &scope.id, published.revision(), announced.is_some());
    if !scope.follows {
        plane.presence.is_page(&scope.environment, asker.id());
    }
    let response = if tag::known(&head.headers, &tag) {
        reply::open(StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        reply::json(StatusCode::OK, plane.render(&published, &scope, asker, &caller))
    };
    Ok(match tag::header_value(&tag) {
        Some(tag) => reply::with(response, header::ETAG, tag),
        None => response,
    })
}

impl DataPlane {
    /// What is served, once that is no older than what the caller was told of. An older answer would look like news.
    async fn caught_up(&self, scope: &Scope, announced: Option<u64>) -> Result<Arc<Published>, Refusal> {
        let published = self.published(scope)?;
        let Some(announced) = announced.filter(|announced| *announced > published.revision()) else {
            return Ok(published);
        };
        let mut head = self.feeds.follow(&scope.environment);
        let wait = head.wait_for(|head| head.revision >= announced || head.closed);
        let _ = tokio::time::timeout(self.limits.catch_up, wait).await;
        let published = self.published(scope)?;
        if published.revision() >= announced {
            return Ok(published);
        }
        let here = published.revision();
        Err(Refusal::NotYet(format!("revision {announced} has not arrived here, which is at {here}")))
    }

    fn render(&self, published: &Published, scope: &Scope, asker: Asker, caller: &Caller<'_>) -> Vec<u8> {
        let snapshot = published.snapshot();
        let mut body = Vec::with_capacity(512 + PER_FEATURE * snapshot.len());
        body.extend_from_slice(b"{\"flags\":[");
        for (at, answer) in snapshot.evaluate_all(caller).enumerate() {
            if at > 0 {
                body.push(b',');
            }
            if answer.needs_targeting_key() {
                write_failure(&mut body, answer.key(), ErrorCode::TargetingKeyMissing, NO_KEY);
            } else {
                write_answer(&mut body, snapshot, &answer);
            }
        }
        body.extend_from_slice(b"],\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{\"requestUri\":\"");
        body.extend_from_slice(self.stream_address(scope, asker).as_bytes());
        body.extend_from_slice(format!("\"}},\"inactivityDelaySec\":{INACTIVITY}}}],\"metadata\":{{").as_bytes());
        body.extend_from_slice(snapshot.metadata().as_bytes());
        body.extend_from_slice(b"}}");
        body
    }

    /// The same for the same asker for a while, so that a provider keeps the stream it has.
    fn stream_address(&self, scope: &Scope, asker: Asker) -> String {
        let life = self.limits.stream_token.as_secs();
        let begun = unix_now() / life.max(1) * life.max(1);
        let expires = begun + 2 * life;
        format!("{STREAM}?token={}", Ticket::new(scope, asker.id(), expires).sign(&self.secret))
    }
}
