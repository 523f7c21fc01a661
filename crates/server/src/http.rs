//! The HTTP server: one table of routes, from which router, OpenAPI document and authorisation coverage are made.

mod caller;
mod events;
mod openapi;
mod routes;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_delivery::{DataPlane, Feeds};
use greenroom_domain::event::TokenKind;
use greenroom_domain::id::Digest;
use greenroom_domain::state::State;
use greenroom_domain::time::At;

pub use openapi::document;
pub use routes::Route;

use crate::engine::{Engine, now};
use crate::keys::Signer;

/// Requests larger than this are refused.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// What handlers share.
pub struct Api {
    pub engine: Arc<Engine>,
    pub feeds: Arc<Feeds>,
    pub signer: Arc<Signer>,
    /// Hash and end of the token that makes the first person; gone once used.
    pub first: std::sync::Mutex<Option<(Digest, At)>>,
    /// Set once the writer and the reactors run.
    pub ready: std::sync::atomic::AtomicBool,
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
        if matches!(self.0.code, Code::Starting | Code::StorageUnavailable | Code::NotCaughtUp | Code::RateLimited) {
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

/// The whole server: control plane, data plane, health.
pub fn router(api: Arc<Api>, plane: DataPlane) -> Router {
    Router::new()
        .nest(greenroom_api::PREFIX, v1::routes().router)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(crate::metrics::metrics))
        .route("/openapi.json", get(|| async { axum::Json(document()) }))
        .fallback(|| async { Refused(Problem::new(Code::NotFound, "there is nothing at this path").detail("the API is described at /openapi.json")) })
        .with_state(api)
        .merge(greenroom_delivery::router(plane))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked))
}

fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Refused(Problem::new(Code::Internal, "a request failed inside the server").detail("the log has the place; please report it")).into_response()
}

async fn ready(Extract(api): Extract<Arc<Api>>) -> Response {
    if api.ready.load(std::sync::atomic::Ordering::Acquire) {
        "ready\n".into_response()
    } else {
        Refused(Problem::new(Code::Starting, "the ledger is still being folded")).into_response()
    }
}

/// Lets SDK tokens (and people) evaluate: the data plane's gate.
pub struct TokenGate(pub Arc<Engine>);

impl greenroom_delivery::Gate for TokenGate {
    fn scope(&self, presented: Option<&str>) -> Result<greenroom_delivery::Scope, greenroom_delivery::Denied> {
        use greenroom_delivery::{Denied, Scope};
        let secret = crate::secret::bare(presented.ok_or(Denied::Unauthenticated)?);
        let state = self.0.state.load();
        let token = state.tokens.get(&crate::secret::hash(secret)).ok_or(Denied::Unauthenticated)?;
        if token.expires <= now() {
            return Err(Denied::Unauthenticated);
        }
        match (&token.kind, &token.environment) {
            (TokenKind::Sdk, Some(environment)) => Ok(Scope { environment: environment.as_str().into(), id: token.id.to_string().into() }),
            _ => Err(Denied::Forbidden),
        }
    }
}
