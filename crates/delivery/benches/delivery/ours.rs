//! The data plane as the server runs it, with a route that publishes the next revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::routing::post;
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Presence, Scope, router};
use greenroom_exposure::{Change, Model, Snapshot};
use serde_json::{Value, json};

use crate::{Outcome, runtime};

pub const ENVIRONMENT: &str = "production";
/// The same features, by an algorithm that Unleash SDKs know; also the token that reads it.
pub const UNLEASH: &str = "unleash";

/// A fifth of the features are split, a fifth asks for a plan, the rest is plain.
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
        json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off", "claims": claims})
    };
    let features: serde_json::Map<String, Value> = (0..features).map(|i| (format!("f{i}"), feature(i))).collect();
    let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": environment, "revision": 1, "features": features}))?;
    Ok(Snapshot::compile(&model).0)
}

struct Anyone;

impl Gate for Anyone {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let id = presented.ok_or(Denied::Unauthenticated)?;
        let environment = if id == UNLEASH { UNLEASH } else { ENVIRONMENT };
        Ok(Scope { environment: environment.into(), id: id.into(), follows: true })
    }
}

pub fn serve(features: usize) -> Outcome {
    let (feeds, snapshot) = (Arc::new(Feeds::default()), snapshot(features)?);
    feeds.publish(ENVIRONMENT, Arc::new(snapshot.clone()));
    feeds.publish(UNLEASH, Arc::new(unleash(features)?));
    let plane = DataPlane::new(Arc::clone(&feeds), Arc::new(Presence::default()), Arc::new(Anyone), [7; 32]);
    let latest = Arc::new((feeds, snapshot, AtomicU64::new(1)));
    let publish = async move |State(latest): State<Arc<(Arc<Feeds>, Snapshot, AtomicU64)>>| {
        let (feeds, snapshot, revision) = &*latest;
        let change = Change { revision: revision.fetch_add(1, Ordering::Relaxed) + 1, ..Change::default() };
        feeds.publish(ENVIRONMENT, Arc::new(snapshot.with(&change).0));
    };
    let app = router(plane).route("/publish", post(publish).with_state(latest));
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(std::env::var("BENCH_LISTEN")?).await?;
        greenroom_delivery::serve(listener, app, std::future::pending()).await;
        Ok(())
    })
}
