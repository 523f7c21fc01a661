//! Releases and the baselines they leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::edit_ord;
use crate::actor::Actor;
use crate::agenda::Due;
use crate::decision::Decision;
use crate::event::{ReleasePlanned, ReleaseScopeChanged};
use crate::id::{FeatureKey, Name};
use crate::release::feature::{Audience, Baseline, BaselineEntry, Withdrawal};
use crate::release::release::{Course, CourseKind, InEnvironment, Release};
use crate::state::{Recorded, State};

impl State {
    pub(super) fn release_planned(&mut self, e: &ReleasePlanned, recorded: &Recorded) {
        self.numbers.releases = self.numbers.releases.max(e.number);
        let course = if e.draft { Course::Draft } else { Course::Planned };
        let fresh = |_: &Name| InEnvironment { course: course.clone(), started: None, contradicted: BTreeMap::new(), refused: Vec::new() };
        let release = Release {
            name: e.name.clone(),
            number: e.number,
            spec: e.spec.clone(),
            scope: e.scope.clone(),
            salt: e.salt.clone(),
            authors: vec![recorded.actor],
            decisions: Vec::new(),
            at: recorded.at,
            cohorts: e.cohorts.clone().unwrap_or_else(|| self.cohort_versions(&e.spec)),
            environments: e.environments.iter().map(|env| (env.clone(), fresh(env))).collect(),
        };
        self.index_release(release, recorded.seq);
    }

    pub(super) fn scope_changed(&mut self, e: &ReleaseScopeChanged, recorded: &Recorded) {
        let Some(old) = self.releases.get(&e.name) else { return };
        let mut release = Release::clone(old);
        let withdrawn = release.environments.values().any(|i| i.course.kind() == CourseKind::Withdrawn);
        if withdrawn {
            // leads on as a new plan
            release.decisions.clear();
            release.authors.clear();
        } else if release.scope != e.scope {
            // a decided scope is a fresh start for authorship; an undecided one keeps everyone who had a hand in it, and
            // what its only author said about it is no decision
            let alone = |d: &Decision| matches!(release.authors.as_slice(), [Actor::Person(only)] if *only == d.by);
            if release.decisions.iter().any(|d| d.scope == release.scope && !alone(d)) {
                release.authors.clear();
            }
        }
        if (withdrawn || release.scope != e.scope) && !release.authors.contains(&recorded.actor) {
            release.authors.push(recorded.actor);
        }
        let course = if e.draft { Course::Draft } else { Course::Planned };
        release.environments = e
            .environments
            .iter()
            .map(|env| {
                let kept = release.environments.get(env).filter(|i| i.course.kind().started()).cloned();
                (env.clone(), kept.unwrap_or_else(|| InEnvironment { course: course.clone(), started: None, contradicted: BTreeMap::new(), refused: Vec::new() }))
            })
            .collect();
        release.spec = e.spec.clone();
        release.cohorts = e.cohorts.clone().unwrap_or_else(|| self.cohort_versions(&e.spec));
        release.scope = e.scope.clone();
        self.unindex_needs(&e.name);
        self.index_release(release, recorded.seq);
    }

    pub(crate) fn index_release(&mut self, release: Release, seq: u64) {
        for need in release.needs() {
            self.needed_by.insert((need.service, release.name.clone()));
        }
        if release.spec.services.is_empty() {
            self.unflagged.remove(&release.name);
        } else {
            self.unflagged.insert(release.name.clone());
        }
        let due = Due::Release(release.name.clone());
        self.agenda.touch(&due, seq);
        self.agenda.schedule(&due, crate::judge::releases::deadlines(&release));
        self.releases.insert(release.name.clone(), Arc::new(release));
    }

    /// The version that a cohort gets with its next definition.
    pub(crate) fn next_cohort_version(&self, name: &Name) -> u64 {
        self.cohorts.get(name).map_or(1, |cohort| cohort.version + 1)
    }

    /// Puts the present version of a cohort aside where someone named it, and drops earlier ones that nobody names now.
    pub(super) fn put_aside(&mut self, name: &Name) {
        let Some(old) = self.cohorts.get(name).cloned() else { return };
        self.earlier_cohorts.insert((name.clone(), old.version), old);
        let named: BTreeSet<u64> = self
            .releases
            .values()
            .filter_map(|r| r.cohorts.get(name).copied())
            .chain(
                self.features
                    .values()
                    .flat_map(|f| f.baselines.values())
                    .flat_map(|b| &b.entries)
                    .flat_map(|entry| match &entry.audience {
                        Audience::Slices { slices, .. } => slices.as_slice(),
                        Audience::When(_) => &[],
                    })
                    .filter(|slice| slice.cohort.as_ref() == Some(name))
                    .filter_map(|slice| slice.version),
            )
            .collect();
        let unnamed: Vec<_> = self.earlier_cohorts.keys().filter(|(other, v)| other == name && !named.contains(v)).cloned().collect();
        for key in unnamed {
            self.earlier_cohorts.remove(&key);
        }
    }

    pub(super) fn unindex_needs(&mut self, name: &Name) {
        let services: Vec<Name> = self.releases.get(name).map(|r| r.needs().map(|n| n.service).collect()).unwrap_or_default();
        for service in services {
            self.needed_by.remove(&(service, name.clone()));
        }
    }

    pub(super) fn course(&mut self, name: &Name, environment: &Name, seq: u64, change: impl FnOnce(&mut InEnvironment)) {
        edit_ord(&mut self.releases, name, |r| {
            if let Some(inside) = r.environments.get_mut(environment) {
                change(inside);
            }
        });
        if let Some(release) = self.releases.get(name) {
            let due = Due::Release(name.clone());
            self.agenda.schedule(&due, crate::judge::releases::deadlines(release));
            self.agenda.touch(&due, seq);
            // what binds builds, or lets them in, changed
            let services: BTreeSet<Name> = release.needs().map(|need| need.service).chain(release.spec.services.iter().map(|label| label.service.clone())).collect();
            for service in services {
                self.agenda.touch(&Due::Promotion { environment: environment.clone(), service }, seq);
            }
            self.touch_waiting(Some(environment), seq);
        }
    }

    /// Turns a claim into entries of the baseline; its needs stay with the release, which goes on binding.
    pub(super) fn fold_in(&mut self, name: &Name, environment: &Name) {
        let Some(release) = self.releases.get(name).cloned() else { return };
        let Some(stage) = release.serving_stage(environment) else { return };
        let slices = release.slices(stage);
        let production = self.is_production(environment);
        for item in &release.spec.features {
            edit_ord(&mut self.features, &item.key, |f| {
                let default = f.default_in(environment, production).clone();
                let baseline = f.baselines.entry(environment.clone()).or_insert_with(|| Baseline { entries: Vec::new(), rules: Vec::new(), default });
                // newest first, as its claim came before the baseline: nobody's variant changes by closing
                let entry = BaselineEntry {
                    name: name.to_string(),
                    variant: item.variant.clone(),
                    audience: Audience::Slices { salt: release.salt.clone(), slices: slices.clone() },
                    release: Some(name.clone()),
                    off: None,
                };
                baseline.entries.insert(0, entry);
            });
        }
    }

    pub(super) fn fold_out(&mut self, name: &Name, environment: &Name) {
        for key in self.release_features(name) {
            edit_ord(&mut self.features, &key, |f| {
                if let Some(baseline) = f.baselines.get_mut(environment) {
                    baseline.entries.retain(|entry| entry.release.as_ref() != Some(name));
                }
            });
        }
    }

    pub(super) fn baseline_entries(&mut self, name: &Name, environment: &Name, change: impl Fn(&mut BaselineEntry)) {
        for key in self.release_features(name) {
            edit_ord(&mut self.features, &key, |f| {
                if let Some(baseline) = f.baselines.get_mut(environment) {
                    baseline.entries.iter_mut().filter(|entry| entry.release.as_ref() == Some(name)).for_each(&change);
                }
            });
        }
    }

    /// How a kill is taken up, which changes nobody's variant.
    pub(super) fn kill(&mut self, key: &FeatureKey, environment: &Name, change: impl FnOnce(&mut Withdrawal)) {
        edit_ord(&mut self.features, key, |f| {
            if let Some(withdrawal) = f.kills.get_mut(environment).and_then(|kill| kill.withdrawal.as_mut()) {
                change(withdrawal);
            }
        });
    }

    pub(super) fn release_features(&self, name: &Name) -> Vec<FeatureKey> {
        self.releases.get(name).map(|r| r.spec.features.iter().map(|f| f.key.clone()).collect()).unwrap_or_default()
    }
}
