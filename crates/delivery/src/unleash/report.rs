//! What SDKs report: that they are there, and how often they gave which answer. Other measures that they send along are
//! taken and left.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use greenroom_exposure::wire::unleash::counted;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::failed;
use crate::DataPlane;
use crate::ofrep::reply::{self, Refusal};
use crate::usage::Counted;

/// Counts since the last time. There is none where only other measures are sent.
#[derive(Deserialize)]
struct Metrics {
    bucket: Option<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    #[serde(default)]
    toggles: HashMap<String, Counts>,
}

#[derive(Default, Deserialize)]
struct Counts {
    #[serde(default)]
    yes: u64,
    #[serde(default)]
    no: u64,
    #[serde(default)]
    variants: HashMap<String, u64>,
}

/// What a proxy has gathered of several applications.
#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    metrics: Vec<Hour>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hour {
    feature_name: String,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) async fn register(State(plane): State<Arc<DataPlane>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    plane.let_in(&headers)?;
    let body = plane.body(&headers, body).await?;
    Ok(match serde_json::from_slice::<IgnoredAny>(&body) {
        Ok(_) => accepted(),
        Err(error) => unreadable(&error),
    })
}

pub(super) async fn metrics(state: State<Arc<DataPlane>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    take(state, &headers, body, |metrics: Metrics| metrics.bucket.map(|bucket| bucket.toggles.into_iter().collect()).unwrap_or_default()).await
}

pub(super) async fn bulk(state: State<Arc<DataPlane>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    take(state, &headers, body, |bulk: Bulk| bulk.metrics.into_iter().map(|hour| (hour.feature_name, hour.counts)).collect()).await
}

async fn take<T: serde::de::DeserializeOwned>(
    State(plane): State<Arc<DataPlane>>,
    headers: &HeaderMap,
    body: Body,
    counts: fn(T) -> Vec<(String, Counts)>,
) -> Result<Response, Refusal> {
    let scope = plane.let_in(headers)?;
    let body = plane.body(headers, body).await?;
    let counts = match serde_json::from_slice(&body) {
        Ok(report) => counts(report),
        Err(error) => return Ok(unreadable(&error)),
    };
    let published = plane.published(&scope)?;
    for (feature, counts) in counts {
        let Counts { yes, no, variants } = counts;
        // a feature that is not there any more, or never was, is nothing to keep for days
        let Some(answers) = counted(published.snapshot(), &feature, yes, no, variants) else {
            plane.usage.lost(yes.saturating_add(no));
            continue;
        };
        let feature: Arc<str> = feature.into();
        let key = |variant: String| Counted { environment: Arc::clone(&scope.environment), feature: Arc::clone(&feature), variant: variant.into(), build: None };
        plane.usage.add(answers.into_iter().map(|(variant, count)| (key(variant), count)));
    }
    Ok(accepted())
}

fn accepted() -> Response {
    reply::open(StatusCode::ACCEPTED, Body::empty())
}

fn unreadable(error: &serde_json::Error) -> Response {
    failed(StatusCode::BAD_REQUEST, "BadDataError", &error.to_string())
}
