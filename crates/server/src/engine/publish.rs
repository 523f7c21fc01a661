//! Publishing: what changed compiles into snapshots, at most one a moment, never backwards, never half a release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::{Feeds, Presence};
use greenroom_domain::actor::Part;
use greenroom_domain::command::Command;
use greenroom_domain::exposure::{self, Affected};
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::release::release::Course;
use greenroom_domain::state::{Recorded, State};
use greenroom_exposure::{Change, Snapshot};
use greenroom_ledger::Snapshots;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Engine, now};
use crate::failpoint;
use crate::keys::Signer;

/// Publications of one environment are at least this far apart.
const COALESCE: Duration = Duration::from_millis(20);
/// The copy on disk follows within this time.
const SAVE: Duration = Duration::from_millis(500);
/// How often acknowledgements of a withdrawal are looked at while one is open.
const ASK: Duration = Duration::from_millis(100);

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
    pub presence: Arc<Presence>,
    pub snapshots: Snapshots,
    pub signer: Arc<Signer>,
    pub changes: mpsc::UnboundedReceiver<Changed>,
}

impl Publisher {
    /// Publishes every environment of the state as it stands, as after a start.
    pub fn publish_all(&self) {
        let state = self.engine.state.load_full();
        for environment in state.environments.keys() {
            self.publish(&state, environment, &Affected::All);
        }
    }

    /// Runs until the writer is gone.
    pub async fn run(mut self) {
        let mut waiting: BTreeMap<Name, Affected> = BTreeMap::new();
        let mut unsaved: BTreeMap<Name, ()> = self.engine.state.load().environments.keys().map(|e| (e.clone(), ())).collect();
        let mut last = Instant::now() - COALESCE;
        let mut save_at = Instant::now() + SAVE;
        let mut ask = tokio::time::interval(ASK);
        ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
                () = tokio::time::sleep_until(save_at), if !unsaved.is_empty() => {
                    self.save(std::mem::take(&mut unsaved).into_keys()).await;
                    save_at = Instant::now() + SAVE;
                    continue;
                }
                _ = ask.tick() => {
                    self.withdrawals().await;
                    continue;
                }
            }
            failpoint::hit("before-publish");
            let state = self.engine.state.load_full();
            if unsaved.is_empty() {
                save_at = Instant::now() + SAVE;
            }
            for (environment, what) in std::mem::take(&mut waiting) {
                self.publish(&state, &environment, &what);
                unsaved.insert(environment, ());
            }
            last = Instant::now();
            failpoint::hit("after-publish");
            self.withdrawals().await;
        }
        self.save(std::mem::take(&mut unsaved).into_keys()).await;
    }

    fn publish(&self, state: &State, environment: &Name, what: &Affected) {
        if !state.environments.contains_key(environment) {
            return;
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

    async fn save(&self, environments: impl Iterator<Item = Name>) {
        for environment in environments {
            let Some(snapshot) = self.feeds.current(environment.as_str()) else { continue };
            let (snapshots, signer) = (self.snapshots.clone(), Arc::clone(&self.signer));
            let saved = tokio::task::spawn_blocking(move || {
                let signed = signer.sign_snapshot(&snapshot.model());
                snapshots.save(environment.as_str(), &signed)
            })
            .await;
            if let Ok(Err(error)) = saved {
                tracing::error!(%error, "the last snapshot could not be kept on disk");
            }
        }
    }

    /// Says when a withdrawal is effective: every evaluator that was in contact has acknowledged, or its time is up.
    async fn withdrawals(&self) {
        let state = self.engine.state.load_full();
        for release in state.releases.values() {
            for (environment, inside) in &release.environments {
                let Course::Withdrawing { seq, deadline, partial, .. } = inside.course else { continue };
                if self.feeds.current(environment.as_str()).is_none_or(|s| s.revision() < seq && !release.spec.features.is_empty()) {
                    continue;
                }
                let said = self.presence.acknowledged(environment.as_str(), seq);
                let effective = said.acknowledged >= said.in_contact;
                let late = deadline <= now() && !partial;
                if effective || late {
                    let command = Command::ReportWithdrawal {
                        name: release.name.clone(),
                        environment: environment.clone(),
                        in_contact: said.in_contact,
                        acknowledged: said.acknowledged,
                        laggards: said.laggards,
                        effective,
                    };
                    let _ = self.engine.report(Part::Publisher, command).await;
                }
            }
        }
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
