//! Publishing: what changed compiles into snapshots, at most one a moment, never backwards, never half a release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::Feeds;
use greenroom_domain::exposure::{self, Affected};
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::state::{Recorded, State};
use greenroom_exposure::{Change, Snapshot};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Engine;
use super::keep::Stale;
use crate::failpoint;

/// Publications of one environment are at least this far apart.
const COALESCE: Duration = Duration::from_millis(20);

/// What an environment's users will be served differently.
#[derive(Debug, Clone)]
pub struct Changed {
    pub environment: Name,
    pub what: Affected,
}

/// What `events` change, condensed by environment.
#[must_use]
pub fn changed(state: &State, events: &[Recorded]) -> BTreeMap<Name, Affected> {
    let mut all: BTreeMap<Name, Affected> = BTreeMap::new();
    for recorded in events {
        for (environment, what) in exposure::affected(state, &recorded.event) {
            merge(all.entry(environment).or_insert(Affected::Nothing), what);
        }
    }
    all.retain(|_, what| *what != Affected::Nothing);
    all
}

fn merge(into: &mut Affected, what: Affected) {
    match (&mut *into, what) {
        (Affected::All, _) | (_, Affected::Nothing) => {}
        (Affected::Features(keys), Affected::Features(more)) => {
            for key in more {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        (_, other) => *into = other,
    }
}

/// The publisher's own things.
pub struct Publisher {
    pub engine: Arc<Engine>,
    pub feeds: Arc<Feeds>,
    /// Told what the copy on disk no longer has right.
    pub stale: mpsc::UnboundedSender<Stale>,
    pub changes: mpsc::UnboundedReceiver<Changed>,
}

impl Publisher {
    /// Publishes every environment of the state as it stands, as after a start, and no other.
    pub fn publish_all(&self) {
        let state = self.engine.state.load_full();
        for gone in self.feeds.environments().iter().filter(|e| state.environments.keys().all(|known| known.as_str() != &***e)) {
            self.feeds.remove(gone);
            if let Ok(gone) = Name::new(&**gone) {
                let _ = self.stale.send(Stale::Snapshot(gone));
            }
        }
        for environment in state.environments.keys() {
            self.publish(&state, environment, &Affected::All);
        }
    }

    /// Runs until the writer is gone.
    pub async fn run(mut self) {
        let mut waiting: BTreeMap<Name, Affected> = BTreeMap::new();
        let mut last = Instant::now() - COALESCE;
        loop {
            let due = last + COALESCE;
            tokio::select! {
                change = self.changes.recv() => {
                    let Some(change) = change else { break };
                    merge(waiting.entry(change.environment).or_insert(Affected::Nothing), change.what);
                    while let Ok(more) = self.changes.try_recv() {
                        merge(waiting.entry(more.environment).or_insert(Affected::Nothing), more.what);
                    }
                    if Instant::now() < due {
                        continue;
                    }
                }
                () = tokio::time::sleep_until(due), if !waiting.is_empty() => {}
            }
            failpoint::hit("before-publish");
            let state = self.engine.state.load_full();
            for (environment, what) in std::mem::take(&mut waiting) {
                self.publish(&state, &environment, &what);
                let _ = self.stale.send(Stale::Snapshot(environment));
            }
            last = Instant::now();
            failpoint::hit("after-publish");
        }
    }

    fn publish(&self, state: &State, environment: &Name, what: &Affected) {
        if !state.environments.contains_key(environment) {
            return self.feeds.remove(environment.as_str());
        }
        let known = self.feeds.current(environment.as_str());
        let revision = state.revision(environment);
        let (snapshot, warnings) = match (known, what) {
            (Some(known), Affected::Features(keys)) if known.revision() <= revision => known.with(&change(state, environment, revision, keys)),
            (Some(known), _) if known.revision() > revision => return,
            _ => Snapshot::compile(&exposure::compile(state, environment, &|sealed| self.engine.directory.text(sealed))),
        };
        for warning in &warnings {
            tracing::warn!(env.name = %environment, ?warning, "a rule cannot be compiled; its feature is off");
        }
        self.feeds.publish(environment.as_str(), Arc::new(snapshot));
    }
}

fn change(state: &State, environment: &Name, revision: u64, keys: &[FeatureKey]) -> Change {
    let mut change = Change { revision, ..Change::default() };
    for key in keys {
        match state.features.get(key) {
            Some(feature) => {
                change.put.insert(key.to_string(), Arc::new(exposure::feature(state, environment, feature)));
            }
            None => change.drop.push(key.to_string()),
        }
    }
    change
}
