//! The data plane as the server runs it, with a route that publishes the next revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::routing::post;
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Presence, Scope, router};
use greenroom_exposure::model::Feature;
use greenroom_exposure::{Change, Model, Snapshot};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Outcome, WORKERS, runtime};

pub const ENVIRONMENT: &str = "production";
/// The same features, by an algorithm that Unleash SDKs know.
pub const UNLEASH: &str = "unleash";
/// Reads the first environment; every other token reads the second.
pub const TOKEN: &str = "bench";

/// A fifth of the features are split, a fifth asks for a plan, the rest is on for all.
pub fn snapshot(features: usize) -> Outcome<Snapshot> {
    by("m3-100k/1", ENVIRONMENT, features)
}

pub fn unleash(features: usize) -> Outcome<Snapshot> {
    by("unleash/1", UNLEASH, features)
}

fn by(algorithm: &str, environment: &str, features: usize) -> Outcome<Snapshot> {
    let feature = |i: usize| {
        let claims = match i % 5 {
            0 => json!([{"name": "half", "release": "autumn", "when": [{"share": {"salt": "autumn", "share": 50_000, "algorithm": algorithm}}], "then": {"variant": "on"}}]),
            1 => json!([{"name": "gold", "when": [{"attribute": "plan", "op": "in", "values": ["gold", "silver"]}], "then": {"variant": "on"}}]),
            _ => json!([]),
        };
        json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": if i % 5 < 2 { "off" } else { "on" }, "claims": claims})
    };
    let features: serde_json::Map<String, Value> = (0..features).map(|i| (format!("f{i}"), feature(i))).collect();
    let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": environment, "revision": 1, "features": features}))?;
    Ok(Snapshot::compile(&model).0)
}

struct Anyone;

impl Gate for Anyone {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let id = presented.ok_or(Denied::Unauthenticated)?;
        let environment = if id == TOKEN { ENVIRONMENT } else { UNLEASH };
        Ok(Scope { environment: environment.into(), id: id.into(), follows: true })
    }
}

/// Publishes the next revision of both environments: one feature asks for a longer list, or for a shorter one again. As an event
/// for backends it is about 1 KiB.
fn publish(feeds: &Feeds, environments: &[(&str, Snapshot)], revision: u64) -> Outcome {
    let plans: Vec<String> = (0..80 + revision % 2).map(|plan| format!("plan-{plan:04}")).collect();
    let rule = json!({"name": "plans", "when": [{"attribute": "plan", "op": "in", "values": plans}], "then": {"variant": "on"}});
    let feature: Arc<Feature> = serde_json::from_value(json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off", "claims": [rule]}))?;
    for (environment, first) in environments {
        let change = Change { revision, put: [("f0".to_owned(), Arc::clone(&feature))].into(), ..Change::default() };
        feeds.publish(environment, Arc::new(first.with(&change).0));
    }
    Ok(())
}

pub fn serve(features: usize) -> Outcome {
    let feeds = Arc::new(Feeds::default());
    let environments = [(ENVIRONMENT, snapshot(features)?), (UNLEASH, unleash(features)?)];
    for (environment, snapshot) in &environments {
        feeds.publish(environment, Arc::new(snapshot.clone()));
    }
    let plane = DataPlane::new(Arc::clone(&feeds), Arc::new(Presence::default()), Arc::new(Anyone), [7; 32]);
    let latest = Arc::new((feeds, environments, AtomicU64::new(1)));
    let next = move || {
        let (feeds, environments, revision) = &*latest;
        let published = publish(feeds, environments, revision.fetch_add(1, Ordering::Relaxed) + 1);
        std::future::ready(published.map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why.to_string())))
    };
    let app = router(plane).route("/publish", post(next)).route("/edge/validate", post(valid));
    runtime(WORKERS)?.block_on(async {
        let listener = greenroom_delivery::listen(std::env::var("BENCH_LISTEN")?.parse()?)?;
        greenroom_delivery::serve(listener, app, std::future::pending()).await;
        Ok(())
    })
}

/// What Edge asks of its upstream before anything else.
async fn valid(Json(asked): Json<Value>) -> Json<Value> {
    let tokens = asked["tokens"].as_array().into_iter().flatten();
    Json(json!({"tokens": tokens.map(|token| json!({"token": token, "type": "client", "environment": UNLEASH, "projects": ["*"], "status": "Validated"})).collect::<Vec<_>>()}))
}
