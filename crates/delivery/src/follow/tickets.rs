//! Whom a relay may let ask: the hashes of tokens, told to relays and to nobody else.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use greenroom_exposure::wire::follow::Tickets;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::Following;
use crate::gate::presented;
use crate::ofrep::reply::{self, Refusal};
use crate::ofrep::tag;

pub(super) async fn list(State(Following { plane, .. }): State<Following>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.gate.relay(presented(&headers)).map_err(Refusal::Denied)?;
    plane.chain.admit(&headers)?;
    let mut tickets = plane.gate.tickets(&scope.environment);
    tickets.sort_unstable();
    let body = serde_json::to_vec(&Tickets { environment: scope.environment, tickets }).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let mut name = String::new();
    digest.iter().take(16).for_each(|byte| name.push_str(&format!("{byte:02x}")));
    let response = if tag::known(&headers, &name) { reply::open(StatusCode::NOT_MODIFIED, Body::empty()) } else { reply::json(StatusCode::OK, body) };
    Ok(match tag::header_value(&name) {
        Some(tag) => reply::with(response, header::ETAG, tag),
        None => response,
    })
}
