//! The HTTP server: one table of routes, from which router, OpenAPI document and authorisation coverage are made.

mod body;
mod caller;
mod door;
mod events;
mod openapi;
mod routes;
mod surveys;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_delivery::Feeds;
use greenroom_domain::id::Digest;
use greenroom_domain::state::State;
use greenroom_domain::time::At;

pub use door::{Door, front};
pub use openapi::document;
pub use routes::Route;
pub use surveys::Surveys;

use crate::engine::rollouts::Fleet;
use crate::engine::{Engine, now};
use crate::keys::Signer;

/// Requests larger than this are refused.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// What handlers share.
pub struct Api {
    pub engine: Arc<Engine>,
    pub fleet: Arc<Fleet>,
    pub feeds: Arc<Feeds>,
    pub signer: Arc<Signer>,
    /// Hash and end of the token that makes the first person; gone once used.
    pub first: std::sync::Mutex<Option<(Digest, At)>>,
    /// A turn at having a password checked.
    pub guessing: tokio::sync::Semaphore,
    pub surveys: Surveys,
    /// Where requests of the control plane are handled, whichever thread took them in.
    pub runtime: tokio::runtime::Handle,
}

impl Api {
    #[must_use]
    pub fn look<'a>(&'a self, state: &'a State) -> Look<'a> {
        Look { engine: &self.engine, state, now: now() }
    }
}

/// A value of the state with what it takes to show it to people.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub engine: &'a Engine,
    pub state: &'a State,
    pub now: At,
}

/// A problem as an answer.
pub struct Refused(pub Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if matches!(self.0.code, Code::Starting | Code::StorageUnavailable | Code::NotCaughtUp | Code::OutcomeUnknown | Code::RateLimited) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Every route of the control plane, for the OpenAPI document and the coverage list.
#[must_use]
pub fn table() -> Vec<Route> {
    v1::routes().table
}

/// The control plane.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .nest(greenroom_api::PREFIX, v1::routes().router)
        .route("/metrics", get(crate::metrics::metrics))
        .fallback(|| async { Refused(Problem::new(Code::NotFound, "there is nothing at this path").detail("the API is described at /openapi.json")) })
        .method_not_allowed_fallback(|| async {
            Refused(Problem::new(Code::NotFound, "nothing is done to this path by that method").detail("the API is described at /openapi.json"))
        })
        .with_state(api)
}

fn internal() -> Problem {
    Problem::new(Code::Internal, "a request failed inside the server").detail("the log has the place; please report it")
}
