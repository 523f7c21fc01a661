//! Which features a change touches, worked out once per revision for all who listen.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use greenroom_exposure::Snapshot;
use greenroom_exposure::model::{Clause, Feature};
use prost::Message as _;
use tokio::sync::Mutex;
use tonic::Status;

use super::value::Struct;
use crate::feeds::Published;

/// Who has missed more is told that everything has changed.
const HELD: usize = 64;

#[derive(Default)]
pub(super) struct Changes(Mutex<Log>);

#[derive(Default)]
struct Log {
    latest: Option<Arc<Published>>,
    steps: VecDeque<Step>,
    /// Every feature of the latest, once someone has asked.
    all: Option<Bytes>,
}

struct Step {
    from: u64,
    keys: BTreeSet<String>,
    event: Bytes,
}

impl Changes {
    /// Keeps account from `published` on, as someone has it.
    pub(super) async fn begin(&self, published: Arc<Published>) -> Result<(), Status> {
        self.0.lock().await.reach(published).await
    }

    /// The `data` of the event that brings someone from revision `known`, or from nothing, to `published` or later, and how
    /// far it brings them.
    pub(super) async fn since(&self, known: Option<u64>, published: Arc<Published>) -> Result<(u64, Bytes), Status> {
        let mut log = self.0.lock().await;
        log.reach(published).await?;
        let Some(latest) = log.latest.clone() else { return Err(Status::internal("nothing is published")) };
        let data = match known.and_then(|known| log.missed(known)) {
            Some(data) => data,
            None => log.all.get_or_insert_with(|| data(latest.snapshot().keys())).clone(),
        };
        Ok((latest.revision(), data))
    }
}

impl Log {
    async fn reach(&mut self, published: Arc<Published>) -> Result<(), Status> {
        let Some(latest) = self.latest.clone() else {
            self.latest = Some(published);
            return Ok(());
        };
        if latest.revision() >= published.revision() {
            return Ok(());
        }
        let (from, to) = (Arc::clone(&latest), Arc::clone(&published));
        let keys = tokio::task::spawn_blocking(move || touched(from.snapshot(), to.snapshot())).await.map_err(|error| Status::internal(error.to_string()))?;
        self.steps.push_back(Step { from: latest.revision(), event: data(keys.iter().map(String::as_str)), keys });
        if self.steps.len() > HELD {
            self.steps.pop_front();
        }
        (self.latest, self.all) = (Some(published), None);
        Ok(())
    }

    fn missed(&self, known: u64) -> Option<Bytes> {
        let first = self.steps.iter().position(|step| step.from == known)?;
        let mut missed = self.steps.iter().skip(first);
        let one = missed.next()?;
        if first + 1 == self.steps.len() {
            return Some(one.event.clone());
        }
        let keys: BTreeSet<&str> = self.steps.iter().skip(first).flat_map(|step| &step.keys).map(String::as_str).collect();
        Some(data(keys.into_iter()))
    }
}

fn data<'k>(keys: impl Iterator<Item = &'k str>) -> Bytes {
    let (mut flags, mut data) = (Struct::default(), Struct::default());
    let mut change = Struct::default();
    change.put("type", "update");
    keys.for_each(|key| flags.put(key, change.clone()));
    data.put("flags", flags);
    data.encode_to_vec().into()
}

/// The features whose answers may differ: those that differ themselves, that ask for a cohort which does, and that need
/// one of these.
fn touched(before: &Snapshot, after: &Snapshot) -> BTreeSet<String> {
    let change = after.change_from(before);
    if change.attributes.is_some() {
        return before.keys().chain(after.keys()).map(str::to_owned).collect();
    }
    let mut keys: BTreeSet<String> = change.put.into_keys().chain(change.drop).collect();
    let cohorts: BTreeSet<&str> = change.put_cohorts.keys().map(String::as_str).chain(change.drop_cohorts.iter().map(String::as_str)).collect();
    let features: Vec<(&str, Feature)> = after.features().collect();
    keys.extend(features.iter().filter(|(_, feature)| asks(feature, &cohorts)).map(|(key, _)| (*key).to_owned()));
    loop {
        let needing = features.iter().filter(|(key, feature)| !keys.contains(*key) && feature.prerequisites.iter().any(|needed| keys.contains(&needed.feature)));
        let needing: Vec<String> = needing.map(|(key, _)| (*key).to_owned()).collect();
        if needing.is_empty() {
            return keys;
        }
        keys.extend(needing);
    }
}

/// Whether a rule names one of these cohorts.
fn asks(feature: &Feature, cohorts: &BTreeSet<&str>) -> bool {
    let clauses = feature.claims.iter().chain(&feature.baseline).flat_map(|rule| &rule.when);
    clauses.into_iter().any(|clause| matches!(clause, Clause::Cohort(name) if cohorts.contains(name.as_str())))
}
