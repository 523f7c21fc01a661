//! OFREP 0.3 for evaluators that ask us: one feature, all of them, and a stream that says when to ask again.

mod bulk;
pub(crate) mod reply;
mod single;
pub(crate) mod stream;
pub(crate) mod tag;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::routing::{get, post};
use http::{HeaderMap, header};

use self::reply::Refusal;
pub(crate) use self::single::decoded;
use crate::DataPlane;
use crate::feeds::Published;
use crate::gate::{Denied, Scope, presented};

const STREAM: &str = "/ofrep/v1/stream";

pub(crate) fn router(plane: DataPlane) -> Router {
    Router::new()
        .route("/ofrep/v1/evaluate/flags", post(bulk::evaluate).options(reply::preflight))
        .route("/ofrep/v1/evaluate/flags/", post(bulk::evaluate).options(reply::preflight))
        .route("/ofrep/v1/evaluate/flags/{*key}", post(single::evaluate).options(reply::preflight))
        .route(STREAM, get(stream::open).options(reply::preflight))
        .with_state(Arc::new(plane))
}

impl DataPlane {
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<Scope, Refusal> {
        self.gate.scope(presented(headers)).map_err(Refusal::Denied)
    }

    /// As [`Self::admit`], for who wants the rules themselves.
    pub(crate) fn follower(&self, headers: &HeaderMap) -> Result<Scope, Refusal> {
        let scope = self.admit(headers)?;
        if scope.follows { Ok(scope) } else { Err(Refusal::Denied(Denied::Forbidden)) }
    }

    pub(crate) fn published(&self, scope: &Scope) -> Result<Arc<Published>, Refusal> {
        self.feeds.published(&scope.environment).ok_or_else(|| Refusal::NotYet(format!("environment `{}` is not served here yet", scope.environment)))
    }

    pub(crate) async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let limit = self.limits.body;
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge { limit });
        }
        to_bytes(body, limit).await.map_err(|_| Refusal::TooLarge { limit })
    }
}
