//! Places where a test can end this process as `kill -9` would.
//!
//! Compiled in always; armed only when `GREENROOM_FAILPOINTS` is set **and** the data directory holds a file
//! `allow-failpoints`. The variable lists points as `name` or `name=N` (the N-th time), separated by commas.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

static ARMED: OnceLock<HashMap<String, AtomicI64>> = OnceLock::new();

/// Every point there is, in the order a deployment and a release pass them.
pub const POINTS: &[&str] = &[
    "before-commit",
    "after-commit",
    "before-publish",
    "after-publish",
    "rollout-applying",
    "driver-after-start",
    "rollout-observing",
    "driver-before-switch",
    "driver-after-switch",
    "driver-before-stop-old",
    "rollout-verifying",
    "release-exposing",
    "release-withdrawing",
];

/// Reads the variable once; without the file in `data` nothing is armed.
pub fn arm(data: &Path) {
    let points = match std::env::var("GREENROOM_FAILPOINTS") {
        Ok(text) if data.join("allow-failpoints").exists() => parse(&text),
        _ => HashMap::new(),
    };
    if !points.is_empty() {
        tracing::warn!(points = ?points.keys(), "failpoints are armed");
    }
    let _ = ARMED.set(points);
}

fn parse(text: &str) -> HashMap<String, AtomicI64> {
    text.split(',')
        .filter(|point| !point.is_empty())
        .map(|point| {
            let (name, nth) = point.split_once('=').unwrap_or((point, "1"));
            (name.to_owned(), AtomicI64::new(nth.parse().unwrap_or(1)))
        })
        .collect()
}

/// Ends the process here if the point `name` is armed and its turn has come.
pub fn hit(name: &str) {
    let Some(left) = ARMED.get().and_then(|armed| armed.get(name)) else { return };
    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
