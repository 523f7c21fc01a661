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
use futures_util::StreamExt as _;
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

/// A body that is too large by no more than this factor is read and thrown away.
const DRAINED: usize = 16;

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
        if declared.is_none_or(|length| length <= limit) {
            return to_bytes(body, limit).await.map_err(|_| Refusal::TooLarge { limit });
        }
        // what is only somewhat too large is read to its end: who is still sending does not hear an answer
        if declared.is_some_and(|length| length <= limit.saturating_mul(DRAINED)) {
            let mut chunks = body.into_data_stream();
            while let Some(Ok(_)) = chunks.next().await {}
        }
        Err(Refusal::TooLarge { limit })
    }
}
