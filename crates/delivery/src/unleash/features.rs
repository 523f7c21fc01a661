//! All features, or one, for SDKs that poll.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::stage::{Rendered, Stage};
use super::{failed, found, level, text, unchanged};
use crate::DataPlane;
use crate::follow::not_yet;
use crate::gate::Scope;
use crate::ofrep::reply::Refusal;

pub(super) async fn all(State(plane): State<Arc<DataPlane>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_follow(&headers)?;
    let rendered = plane.rendered(&scope, &headers).await?;
    let known = text(&headers, "if-none-match").map(crate::ofrep::tag::bare);
    let acknowledged = known.and_then(|tag| rendered.acknowledged(tag));
    plane.asked(&scope, &headers, acknowledged.unwrap_or(0), rendered.revision());
    // the revision may have moved and brought nothing that this SDK is handed
    let same = acknowledged == Some(rendered.revision());
    Ok(if same { unchanged(&rendered.tag) } else { found(rendered.body.clone(), &rendered.tag) })
}

pub(super) async fn one(State(plane): State<Arc<DataPlane>>, Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = plane.let_follow(&headers)?;
    let rendered = plane.rendered(&scope, &headers).await?;
    Ok(match rendered.toggle(&name) {
        Some(toggle) => found(serde_json::to_vec(toggle).unwrap_or_default(), &rendered.tag),
        None => failed(StatusCode::NOT_FOUND, "NotFoundError", &format!("there is no feature `{name}` that SDKs evaluate themselves")),
    })
}

impl DataPlane {
    async fn rendered(&self, scope: &Scope, headers: &HeaderMap) -> Result<Arc<Rendered>, Refusal> {
        let (feed, published, level) = (self.feed(scope)?, self.published(scope)?, level(headers));
        let stage = feed.unleash().of(level).ok_or_else(|| not_yet(scope))?;
        Stage::rendered(stage, &published, level).await.ok_or_else(|| not_yet(scope))
    }
}
