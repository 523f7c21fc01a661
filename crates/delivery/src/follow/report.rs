//! What evaluators report: the revision they answer from, which acknowledges it, and how often they gave which variant.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use greenroom_exposure::wire::BadRequest;
use greenroom_exposure::wire::follow::{Batch, Report, is_name};
use http::{HeaderMap, StatusCode};

use super::{Following, evaluator};
use crate::feeds::Published;
use crate::gate::presented;
use crate::ofrep::reply::{self, Refusal};
use crate::usage::Counted;

/// The longest `service@version`.
const BUILD: usize = 200;

pub(super) async fn take(State(Following { plane, .. }): State<Following>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let scope = plane.follower(&headers)?;
    let body = plane.body(&headers, body).await?;
    let bad = |details: String| Refusal::Bad { key: None, request: BadRequest::Unreadable(details) };
    let report: Report = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    if report.relayed.is_some() {
        // who is not a relay speaks for itself alone
        plane.gate.relay(presented(&headers)).map_err(Refusal::Denied)?;
    }
    if !is_name(&report.instance) {
        return Err(bad("`instance` is up to 100 letters, digits, `-`, `.` and `_`".to_owned()));
    }
    let is_build = |build: &str| build.len() <= BUILD && build.split_once('@').is_some_and(|(service, version)| !service.is_empty() && !version.is_empty());
    if report.build.as_deref().is_some_and(|build| !is_build(build)) {
        return Err(bad(format!("`build` is `service@version` of up to {BUILD} bytes")));
    }
    let counts = report.batch.iter().flat_map(|batch| &batch.counts);
    if counts.filter_map(|count| count.build.as_deref()).any(|build| !is_build(build)) {
        return Err(bad(format!("`build` of a count is `service@version` of up to {BUILD} bytes")));
    }
    let published = plane.published(&scope)?;
    // what nobody has published nobody can have applied
    let revision = report.revision.min(published.revision());
    let instance = evaluator(&scope, &report.instance);
    plane.presence.reported(&scope.environment, instance, &report.instance, revision, report.relayed);
    if let Some(batch) = report.batch.filter(|batch| plane.usage.is_new(instance, batch.number)) {
        let build = report.build.map(Arc::from);
        let (counts, lost) = known(batch, &published, &scope.environment, build.as_ref());
        plane.usage.add(counts);
        plane.usage.lost(lost);
    }
    Ok(reply::open(StatusCode::NO_CONTENT, Body::empty()))
}

/// What of a batch is worth keeping, and how many evaluations are not: a feature or variant that is not there any more, or never
/// was, is nothing to keep for days.
fn known(batch: Batch, published: &Published, environment: &Arc<str>, build: Option<&Arc<str>>) -> (HashMap<Counted, u64>, u64) {
    let (mut counts, mut lost) = (HashMap::new(), batch.dropped);
    for one in batch.counts {
        if published.snapshot().variants(&one.feature).is_some_and(|mut names| names.any(|name| name == one.variant)) {
            let counted = Counted {
                environment: Arc::clone(environment),
                feature: one.feature.into(),
                variant: one.variant.into(),
                build: one.build.map(Into::into).or_else(|| build.cloned()),
            };
            let sum: &mut u64 = counts.entry(counted).or_default();
            *sum = sum.saturating_add(one.count);
        } else {
            lost = lost.saturating_add(one.count);
        }
    }
    (counts, lost)
}
