//! The SDK as an application uses it, against the data plane's real routes over real connections.

mod host;
mod live;
mod lossy;
#[cfg(feature = "open-feature")]
mod open_feature;
mod reports;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use greenroom_sdk::exposure::{Attribute, Model, Pairs, Snapshot};
use greenroom_sdk::follow::{Pace, State};
use greenroom_sdk::{Greenroom, Options};
use serde_json::{Value, json};

use crate::host::Host;

/// Longer than anything takes that goes well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One feature of each kind that matters.
pub fn snapshot(revision: u64, shown: bool) -> Arc<Snapshot> {
    let boolean = json!({"on": true, "off": false});
    let rule = |when: Value| json!([{"name": "rule", "release": "autumn", "when": when, "then": {"variant": "on"}}]);
    let model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": revision,
        "features": {
            "plain": {"type": "boolean", "variants": boolean, "off": "off", "default": if shown { "on" } else { "off" }},
            "gold": {"type": "boolean", "variants": boolean, "off": "off", "default": "off", "claims": rule(json!([{"attribute": "plan", "op": "in", "values": ["gold"]}]))},
            "late": {"type": "boolean", "variants": boolean, "off": "off", "default": "off", "claims": rule(json!([{"attribute": "at", "op": "after", "values": ["2026-11-01T00:00:00Z"]}]))},
            "new-build": {"type": "boolean", "variants": boolean, "off": "off", "default": "off",
                "claims": rule(json!([{"attribute": "app.service", "op": "in", "values": ["shop-web"]}, {"attribute": "app.version", "op": "semver_ge", "values": ["1.2.0"]}]))},
            "ratio": {"type": "float", "variants": {"high": 10, "off": 0.1}, "off": "off", "default": "high"},
            "limit": {"type": "integer", "variants": {"high": 10, "off": 0}, "off": "off", "default": "high"},
            "theme": {"type": "object", "variants": {"new": {"dark": true, "size": 3}, "off": {}}, "off": "off", "default": "new"},
            "greeting": {"type": "string", "variants": {"new": "say \"hi\"", "off": ""}, "off": "off", "default": "new"},
            "share": {"type": "boolean", "variants": boolean, "off": "off", "default": "off", "claims": rule(json!([{"share": {"salt": "autumn", "share": 50_000}}]))},
            "held": {"type": "boolean", "variants": boolean, "off": "off", "default": "off",
                "claims": [{"name": "autumn/1", "release": "autumn", "blocked": "need:tax>=1.4", "then": {"variant": "on"}}]},
            "broken": {"type": "boolean", "variants": {"on": true}, "off": "off", "default": "on"},
        },
    }))
    .unwrap();
    Arc::new(Snapshot::compile(&model).0)
}

pub const fn quick() -> Pace {
    let (first, most, silence) = (Duration::from_millis(10), Duration::from_millis(50), Duration::from_secs(30));
    Pace { first, most, silence, report: Duration::from_millis(50), patience: Duration::from_secs(10) }
}

pub fn options(host: &Host) -> Options {
    Options::new(host.url(), "sdk-one", host::public_key()).build("shop-web", "1.2.0").pace(quick())
}

pub async fn connect(options: Options) -> Greenroom {
    Greenroom::connect(options).await.unwrap()
}

pub const ANYONE: Pairs<'_> = Pairs { targeting_key: None, attributes: &[] };
pub const GOLD: Pairs<'_> = Pairs { targeting_key: Some("ann"), attributes: &[("plan", Attribute::Text("gold"))] };

/// Waits until following stands as wanted.
pub async fn until(greenroom: &Greenroom, wanted: impl FnMut(&State) -> bool) -> State {
    let mut state = greenroom.state();
    tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await.expect("in time").unwrap().clone()
}

pub async fn at(greenroom: &Greenroom, revision: u64) -> State {
    until(greenroom, |state| state.contact.is_live() && state.held.as_ref().is_some_and(|held| held.revision() == revision)).await
}

/// Waits for something that nobody announces.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: polls another task until a deadline
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("in time")
}
