//! Folding events into the state. Total: whatever the ledger holds is taken as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agenda::Due;
use crate::decision::About;
use crate::deployment::build::Build;
use crate::deployment::deployment::Deployment;
use crate::deployment::environment::Environment;
use crate::deployment::placement::{Observation, Pair, Placement};
use crate::deployment::policy::Policy;
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::deployment::service::Service;
use crate::event::{BuildRegistered, DeploymentRequested, Event, ReleasePlanned, ReleaseScopeChanged, RolloutMoved};
use crate::exposure::{Affected, affected};
use crate::id::{FeatureKey, Name, PlacementKey, RolloutId};
use crate::release::cohort::Cohort;
use crate::release::feature::{Audience, Baseline, BaselineEntry, Feature, Kill};
use crate::release::release::{Course, CourseKind, InEnvironment, Release};
use crate::state::{CheckKey, Person, Recorded, State};
use crate::time::At;

impl State {
    /// Takes one event.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.seq = recorded.seq;
        self.at = self.at.max(recorded.at);
        let (seq, at) = (recorded.seq, recorded.at);
        match &recorded.event {
            Event::EnvironmentDefined(e) => {
                let environment = Environment { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), spec: e.spec.clone() };
                self.environments.insert(e.name.clone(), Arc::new(environment));
                self.touch_environment(&e.name, seq);
            }
            Event::EnvironmentRemoved(e) => {
                self.environments.remove(&e.name);
            }
            Event::ServiceDefined(e) => {
                let registered = self.services.get(&e.name).map_or(0, |s| s.registered);
                let service = Service { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), spec: e.spec.clone(), registered };
                self.services.insert(e.name.clone(), Arc::new(service));
                self.touch_waiting(None, seq);
            }
            Event::ServiceRemoved(e) => {
                self.services.remove(&e.name);
            }
            Event::PolicyDefined(e) => {
                let policy = Policy { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), spec: e.spec.clone() };
                self.policies.insert(e.name.clone(), Arc::new(policy));
                let users: Vec<Name> = self.environments.values().filter(|env| env.spec.policies.contains(&e.name)).map(|env| env.name.clone()).collect();
                for environment in users {
                    self.touch_environment(&environment, seq);
                }
            }
            Event::PolicyRemoved(e) => {
                self.policies.remove(&e.name);
            }
            Event::FeatureDefined(e) => {
                let old = self.features.get(&e.key);
                let feature = Feature {
                    key: e.key.clone(),
                    title: e.title.clone(),
                    set: e.set.clone(),
                    spec: e.spec.clone(),
                    baselines: old.map(|f| f.baselines.clone()).unwrap_or_default(),
                    kills: old.map(|f| f.kills.clone()).unwrap_or_default(),
                };
                self.features.insert(e.key.clone(), Arc::new(feature));
            }
            Event::FeatureRemoved(e) => {
                self.features.remove(&e.key);
            }
            Event::CohortDefined(e) => {
                let version = self.cohorts.get(&e.name).map_or(1, |c| c.version + 1);
                let cohort = Cohort { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), version, spec: e.spec.clone(), users: e.users.clone() };
                self.cohorts.insert(e.name.clone(), Arc::new(cohort));
            }
            Event::CohortRemoved(e) => {
                self.cohorts.remove(&e.name);
            }
            Event::BuildRegistered(e) => self.build_registered(e, at),
            Event::BuildQuarantined(e) => {
                edit(&mut self.builds, &e.build, |b| b.quarantined = Some(e.why.clone()));
            }
            Event::DeploymentRequested(e) => self.deployment_requested(e, recorded),
            Event::RolloutMoved(e) => self.rollout_moved(e, seq, at),
            Event::RolloutCancelRequested(e) => {
                edit(&mut self.rollouts, &e.rollout, |r| r.cancelling = true);
                self.agenda.touch(&Due::Rollout(e.rollout), seq);
            }
            Event::PlacementObserved(e) => self.observed(&e.key, &e.seen, seq, at),
            Event::PlacementAdopted(e) => {
                let pair = Pair { build: e.build.clone(), config: e.config.clone() };
                let placement = self.placement(&e.key, at);
                placement.desired = Some(pair.clone());
                placement.stable = Some(pair);
            }
            Event::ContactLost(e) => {
                self.placement(&e.key, at).contact_lost = Some(e.since);
                self.touch_service(&e.key, seq);
            }
            Event::ContactRegained(e) => {
                self.placement(&e.key, at).contact_lost = None;
                self.touch_service(&e.key, seq);
            }
            Event::CheckRecorded(e) => {
                let r = &e.result;
                if let Some(build) = r.set.get(&r.service) {
                    let key = CheckKey { environment: r.environment.clone(), service: r.service.clone(), build: build.clone(), name: r.name.clone() };
                    self.checks.insert(key, Arc::new(r.clone()));
                }
                if let Some(rollout) = r.rollout {
                    self.agenda.touch(&Due::Rollout(rollout), seq);
                }
                self.touch_around(&r.environment, &r.service, seq);
            }
            Event::ReleasePlanned(e) => self.release_planned(e, recorded),
            Event::ReleaseScopeChanged(e) => self.scope_changed(e, recorded),
            Event::ReleaseArmed(e) => self.course(&e.name, &e.environment, seq, |c| c.course = Course::Armed),
            Event::ReleaseStageStarted(e) => self.course(&e.name, &e.environment, seq, |c| {
                c.started.get_or_insert(seq);
                c.refused.clear();
                c.course = Course::Exposing { stage: e.stage, since: at };
            }),
            Event::ReleaseRefused(e) => self.course(&e.name, &e.environment, seq, |c| {
                c.refused.clone_from(&e.reasons);
                if c.course.kind() == CourseKind::Armed {
                    c.course = Course::Planned;
                }
            }),
            Event::ReleaseExposed(e) => self.course(&e.name, &e.environment, seq, |c| c.course = Course::Exposed { since: at }),
            Event::ReleasePaused(e) => {
                let last = self.releases.get(&e.name).map_or(0, |r| r.last_stage());
                self.course(&e.name, &e.environment, seq, |c| {
                    let stage = match c.course {
                        Course::Exposing { stage, .. } | Course::Paused { stage, .. } => stage,
                        _ => last,
                    };
                    c.contradicted.clear();
                    c.course = Course::Paused { stage, off: e.off, why: e.why.clone(), since: at };
                });
            }
            Event::ReleaseResumed(e) => self.course(&e.name, &e.environment, seq, |c| {
                if let Course::Paused { stage, .. } = c.course {
                    c.course = Course::Exposing { stage, since: at };
                }
            }),
            Event::ReleaseWithdrawing(e) => {
                self.fold_out(&e.name, &e.environment);
                self.course(&e.name, &e.environment, seq, |c| {
                    c.contradicted.clear();
                    c.course = Course::Withdrawing { since: at, seq, deadline: e.deadline, partial: false };
                });
            }
            Event::WithdrawalPartial(e) => {
                self.course(&e.name, &e.environment, seq, |c| {
                    if let Course::Withdrawing { partial, .. } = &mut c.course {
                        *partial = true;
                    }
                });
                self.touch_waiting(Some(&e.environment), seq);
            }
            Event::ReleaseWithdrawn(e) => {
                edit_ord(&mut self.releases, &e.name, |r| r.decisions.clear());
                self.course(&e.name, &e.environment, seq, |c| {
                    c.started = None;
                    c.course = Course::Withdrawn { since: at };
                });
                self.touch_waiting(Some(&e.environment), seq);
            }
            Event::ReleaseClosed(e) => {
                self.fold_in(&e.name, &e.environment);
                self.course(&e.name, &e.environment, seq, |c| c.course = Course::Closed { since: at });
            }
            Event::ReleaseCancelled(e) => self.course(&e.name, &e.environment, seq, |c| c.course = Course::Cancelled { since: at }),
            Event::NeedContradicted(e) => self.course(&e.release, &e.environment, seq, |c| {
                c.contradicted.insert(e.need.service.clone(), at);
            }),
            Event::NeedRestored(e) => self.course(&e.release, &e.environment, seq, |c| {
                c.contradicted.remove(&e.service);
            }),
            Event::BaselineBlocked(e) => {
                self.baseline_entries(&e.release, &e.environment, |entry| entry.off = Some(e.need.clone()));
                self.course(&e.release, &e.environment, seq, |c| c.contradicted.clear());
            }
            Event::BaselineRestored(e) => self.baseline_entries(&e.release, &e.environment, |entry| entry.off = None),
            Event::BaselineSet(e) => {
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.baselines.insert(e.environment.clone(), e.baseline.clone());
                });
            }
            Event::FeatureKilled(e) => {
                let kill = Kill { at, reason: e.reason.clone(), silenced: e.silenced.clone() };
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.kills.insert(e.environment.clone(), kill);
                });
            }
            Event::FeatureRestored(e) => {
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.kills.remove(&e.environment);
                });
            }
            Event::DecisionRecorded(e) => match &e.decision.about {
                About::Deployment(id) => {
                    edit(&mut self.deployments, id, |d| d.decisions.push(e.decision.clone()));
                    if let Some(d) = self.deployments.get(id) {
                        for rollout in d.rollouts.clone() {
                            self.agenda.touch(&Due::Rollout(rollout), seq);
                        }
                    }
                }
                About::Release(name) => {
                    edit_ord(&mut self.releases, name, |r| r.decisions.push(e.decision.clone()));
                    self.agenda.touch(&Due::Release(name.clone()), seq);
                }
            },
            Event::HoldSet(e) => {
                self.numbers.holds = self.numbers.holds.max(e.hold.number);
                self.holds.insert(e.hold.id, Arc::new(e.hold.clone()));
                self.agenda.schedule(&Due::Hold(e.hold.id), e.hold.expires);
                self.touch_all(seq);
            }
            Event::HoldLifted(e) => {
                self.holds.remove(&e.id);
                self.agenda.drop(&Due::Hold(e.id));
                self.touch_all(seq);
            }
            Event::PersonJoined(e) => {
                let person = Person { id: e.id, name: e.name.clone(), roles: e.roles.clone(), joined: at, left: None };
                self.persons.insert(e.id, Arc::new(person));
            }
            Event::PersonRolesSet(e) => {
                edit_ord(&mut self.persons, &e.id, |p| p.roles.clone_from(&e.roles));
            }
            Event::PersonLeft(e) => {
                edit_ord(&mut self.persons, &e.id, |p| p.left = Some(at));
                let gone: Vec<_> = self.tokens.values().filter(|t| t.person == Some(e.id)).map(|t| (t.id, t.hash.clone())).collect();
                for (id, hash) in gone {
                    self.token_ids.remove(&id);
                    self.tokens.remove(&hash);
                }
            }
            Event::TokenCreated(e) => {
                self.token_ids.insert(e.token.id, e.token.hash.clone());
                self.tokens.insert(e.token.hash.clone(), Arc::new(e.token.clone()));
            }
            Event::TokenRevoked(e) => {
                if let Some(hash) = self.token_ids.remove(&e.id) {
                    self.tokens.remove(&hash);
                }
            }
            Event::SeparationSet(e) => {
                self.separation = e.on;
                self.touch_all(seq);
            }
            Event::Erased(_) => {}
            Event::Archived(e) => {
                for (service, build) in &e.builds {
                    if let Some(b) = self.builds.remove(build) {
                        self.versions.remove(&b.spec.label());
                        self.builds_of.remove(&(service.clone(), b.sequence, build.clone()));
                        let gone: Vec<CheckKey> = self.checks.keys().filter(|k| k.build == *build).cloned().collect();
                        for key in gone {
                            self.checks.remove(&key);
                        }
                    }
                }
                for id in &e.deployments {
                    if let Some(d) = self.deployments.remove(id) {
                        self.by_number.remove(&d.number);
                        for rollout in &d.rollouts {
                            self.rollouts.remove(rollout);
                            self.agenda.drop(&Due::Rollout(*rollout));
                        }
                    }
                }
                for name in &e.releases {
                    self.releases.remove(name);
                    self.agenda.drop(&Due::Release(name.clone()));
                    let gone: Vec<_> = self.needed_by.iter().filter(|(_, r)| r == name).cloned().collect();
                    for key in gone {
                        self.needed_by.remove(&key);
                    }
                }
            }
        }
        for (environment, what) in affected(self, &recorded.event) {
            if what != Affected::Nothing {
                self.revisions.insert(environment, seq);
            }
        }
    }

    fn build_registered(&mut self, e: &BuildRegistered, at: At) {
        let service = &e.build.service;
        edit_ord(&mut self.services, service, |s| s.registered = s.registered.max(e.sequence));
        self.versions.insert(e.build.label(), e.digest.clone());
        self.builds_of.insert((service.clone(), e.sequence, e.digest.clone()));
        let build = Build { spec: e.build.clone(), digest: e.digest.clone(), sequence: e.sequence, at, quarantined: None };
        self.builds.insert(e.digest.clone(), Arc::new(build));
    }

    fn deployment_requested(&mut self, e: &DeploymentRequested, recorded: &Recorded) {
        let (seq, at) = (recorded.seq, recorded.at);
        self.numbers.deployments = self.numbers.deployments.max(e.number);
        for (digest, config) in &e.configs {
            if !self.configs.contains_key(digest) {
                self.configs.insert(digest.clone(), Arc::new(config.clone()));
            }
        }
        for planned in &e.rollouts {
            let key = PlacementKey { environment: e.environment.clone(), target: planned.target.clone(), service: planned.service.clone() };
            self.placement(&key, at).desired = Some(Pair { build: planned.build.clone(), config: planned.config.clone() });
            let step = Step::Waiting { reasons: planned.reasons.clone(), review: planned.review };
            let due = Due::Rollout(planned.id);
            self.agenda.schedule(&due, step.due());
            self.agenda.touch(&due, seq);
            self.waiting.insert((e.environment.clone(), planned.id));
            self.tried.insert((e.environment.clone(), planned.build.clone()));
            self.rollouts.insert(
                planned.id,
                Arc::new(Rollout {
                    id: planned.id,
                    deployment: e.id,
                    key,
                    wave: planned.wave,
                    build: planned.build.clone(),
                    config: planned.config.clone(),
                    step,
                    attempt: 1,
                    fence: 0,
                    cancelling: false,
                    moved_at: at,
                }),
            );
        }
        self.by_number.insert(e.number, e.id);
        self.deployments.insert(
            e.id,
            Arc::new(Deployment {
                id: e.id,
                number: e.number,
                environment: e.environment.clone(),
                items: e.items.clone(),
                motive: e.motive,
                urgency: e.urgency,
                by: recorded.actor,
                at,
                scope: e.scope.clone(),
                rollouts: e.rollouts.iter().map(|r| r.id).collect(),
                decisions: Vec::new(),
                awaits: e.awaits.clone(),
                undoes: e.undoes,
                note: e.note.clone(),
                ended: e.rollouts.is_empty().then_some(at),
            }),
        );
    }

    fn rollout_moved(&mut self, e: &RolloutMoved, seq: u64, at: At) {
        let Some(old) = self.rollouts.get(&e.rollout).cloned() else { return };
        let to = e.to.kind();
        let due = Due::Rollout(e.rollout);
        self.agenda.schedule(&due, e.to.due());
        self.agenda.touch(&due, seq);
        if to == StepKind::Waiting {
            edit(&mut self.rollouts, &e.rollout, |r| r.step = e.to.clone());
            return;
        }
        self.waiting.remove(&(e.key.environment.clone(), e.rollout));
        if to.holds() {
            self.active.insert(e.rollout);
        } else {
            self.active.remove(&e.rollout);
        }
        let placement = self.placement(&e.key, at);
        if to == StepKind::Applying {
            placement.fence += 1;
            placement.active = Some(e.rollout);
            placement.verified_at = None;
            placement.desired = Some(Pair { build: old.build.clone(), config: old.config.clone() });
        }
        if to.ended() && placement.active == Some(e.rollout) {
            placement.active = None;
        }
        if to == StepKind::Live {
            let pair = Pair { build: old.build.clone(), config: old.config.clone() };
            if placement.stable.as_ref() != Some(&pair) {
                placement.previous = placement.stable.replace(pair);
            }
            placement.verified_at = Some(at);
        } else if to.ended() && old.step.kind().holds() {
            // what was wanted before is wanted again, unless something newer already is
            placement.desired.clone_from(&placement.stable);
        }
        let fence = placement.fence;
        edit(&mut self.rollouts, &e.rollout, |r| {
            r.step = e.to.clone();
            r.attempt = e.op.attempt;
            r.moved_at = at;
            if to == StepKind::Applying {
                r.fence = fence;
            }
        });
        if to == StepKind::Live {
            self.tried.remove(&(e.key.environment.clone(), old.build.clone()));
            self.lived.insert((e.key.environment.clone(), old.build.clone()));
        }
        if to.ended() {
            self.agenda.drop(&due);
            let over = self.deployments.get(&e.deployment).is_some_and(|d| d.rollouts.iter().all(|r| self.rollouts.get(r).is_none_or(|r| r.step.kind().ended())));
            if over {
                edit(&mut self.deployments, &e.deployment, |d| d.ended = Some(at));
            }
            self.touch_around(&e.key.environment, &e.key.service, seq);
        }
    }

    fn observed(&mut self, key: &PlacementKey, seen: &Observation, seq: u64, at: At) {
        let placement = self.placement(key, at);
        let changed = placement.observed.as_ref().is_none_or(|old| old.serving != seen.serving);
        if changed {
            placement.observed_since = at;
        }
        placement.observed = Some(seen.clone());
        if let Some(active) = placement.active {
            self.agenda.touch(&Due::Rollout(active), seq);
        }
        if changed {
            self.touch_around(&key.environment, &key.service, seq);
        } else {
            self.touch_service(key, seq);
        }
    }

    fn release_planned(&mut self, e: &ReleasePlanned, recorded: &Recorded) {
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
            environments: e.environments.iter().map(|env| (env.clone(), fresh(env))).collect(),
        };
        self.index_release(release, recorded.seq);
    }

    fn scope_changed(&mut self, e: &ReleaseScopeChanged, recorded: &Recorded) {
        let Some(old) = self.releases.get(&e.name) else { return };
        let mut release = Release::clone(old);
        // a decided scope is a fresh start for authorship; an undecided one keeps everyone who had a hand in it
        if release.decisions.iter().any(|d| d.scope == release.scope) {
            release.authors.clear();
        }
        if !release.authors.contains(&recorded.actor) {
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
        release.scope = e.scope.clone();
        let gone: Vec<_> = self.needed_by.iter().filter(|(_, r)| *r == e.name).cloned().collect();
        for key in gone {
            self.needed_by.remove(&key);
        }
        self.index_release(release, recorded.seq);
    }

    fn index_release(&mut self, release: Release, seq: u64) {
        for need in release.needs() {
            self.needed_by.insert((need.service, release.name.clone()));
        }
        let due = Due::Release(release.name.clone());
        self.agenda.touch(&due, seq);
        self.agenda.schedule(&due, crate::judge::releases::deadline(&release));
        self.releases.insert(release.name.clone(), Arc::new(release));
    }

    fn course(&mut self, name: &Name, environment: &Name, seq: u64, change: impl FnOnce(&mut InEnvironment)) {
        edit_ord(&mut self.releases, name, |r| {
            if let Some(inside) = r.environments.get_mut(environment) {
                change(inside);
            }
        });
        if let Some(release) = self.releases.get(name) {
            let due = Due::Release(name.clone());
            let deadline = crate::judge::releases::deadline(release);
            self.agenda.schedule(&due, deadline);
            self.agenda.touch(&due, seq);
            if !release.spec.services.is_empty() {
                self.touch_waiting(Some(environment), seq);
            }
        }
    }

    /// Turns a claim into entries of the baseline; its needs stay with the release, which goes on binding.
    fn fold_in(&mut self, name: &Name, environment: &Name) {
        let Some(release) = self.releases.get(name).cloned() else { return };
        let Some(stage) = release.serving_stage(environment) else { return };
        let slices = release.slices(stage);
        let production = self.is_production(environment);
        for item in &release.spec.features {
            edit_ord(&mut self.features, &item.key, |f| {
                let default = f.default_in(environment, production).clone();
                let baseline = f.baselines.entry(environment.clone()).or_insert_with(|| Baseline { entries: Vec::new(), default });
                baseline.entries.push(BaselineEntry {
                    name: name.to_string(),
                    variant: item.variant.clone(),
                    audience: Audience::Slices { salt: release.salt.clone(), slices: slices.clone() },
                    release: Some(name.clone()),
                    off: None,
                });
            });
        }
    }

    fn fold_out(&mut self, name: &Name, environment: &Name) {
        for key in self.release_features(name) {
            edit_ord(&mut self.features, &key, |f| {
                if let Some(baseline) = f.baselines.get_mut(environment) {
                    baseline.entries.retain(|entry| entry.release.as_ref() != Some(name));
                }
            });
        }
    }

    fn baseline_entries(&mut self, name: &Name, environment: &Name, change: impl Fn(&mut BaselineEntry)) {
        for key in self.release_features(name) {
            edit_ord(&mut self.features, &key, |f| {
                if let Some(baseline) = f.baselines.get_mut(environment) {
                    baseline.entries.iter_mut().filter(|entry| entry.release.as_ref() == Some(name)).for_each(&change);
                }
            });
        }
    }

    fn release_features(&self, name: &Name) -> Vec<FeatureKey> {
        self.releases.get(name).map(|r| r.spec.features.iter().map(|f| f.key.clone()).collect()).unwrap_or_default()
    }

    fn placement(&mut self, key: &PlacementKey, at: At) -> &mut Placement {
        if !self.placements.contains_key(key) {
            self.placed.insert((key.environment.clone(), key.service.clone(), key.target.clone()));
        }
        let entry = self.placements.entry(key.clone()).or_insert_with(|| {
            Arc::new(Placement {
                key: key.clone(),
                desired: None,
                observed: None,
                observed_since: at,
                stable: None,
                previous: None,
                contact_lost: None,
                active: None,
                fence: 0,
                verified_at: None,
            })
        });
        Arc::make_mut(entry)
    }

    /// What runs of `service` in `environment` changed: everything that waits there or right behind it.
    fn touch_around(&mut self, environment: &Name, service: &Name, seq: u64) {
        let mut places: Vec<Name> = self.downstream(environment).map(|e| e.name.clone()).collect();
        for place in &places {
            self.agenda.touch(&Due::Promotion { environment: place.clone(), service: service.clone() }, seq);
        }
        places.push(environment.clone());
        for place in &places {
            self.touch_waiting(Some(place), seq);
        }
        let releases: Vec<Name> = self.releases_needing(service).cloned().collect();
        for release in releases {
            self.agenda.touch(&Due::Release(release), seq);
        }
    }

    fn touch_service(&mut self, key: &PlacementKey, seq: u64) {
        let releases: Vec<Name> = self.releases_needing(&key.service).cloned().collect();
        for release in releases {
            self.agenda.touch(&Due::Release(release), seq);
        }
    }

    fn touch_environment(&mut self, environment: &Name, seq: u64) {
        self.touch_waiting(Some(environment), seq);
        let services: Vec<Name> = self.services.keys().cloned().collect();
        for service in services {
            self.agenda.touch(&Due::Promotion { environment: environment.clone(), service }, seq);
        }
    }

    fn touch_waiting(&mut self, environment: Option<&Name>, seq: u64) {
        let touched: Vec<RolloutId> = self.waiting.iter().filter(|(e, _)| environment.is_none_or(|want| want == e)).map(|(_, r)| *r).collect();
        for rollout in touched {
            self.agenda.touch(&Due::Rollout(rollout), seq);
        }
    }

    fn touch_all(&mut self, seq: u64) {
        self.touch_waiting(None, seq);
        let releases: Vec<Name> = self.releases.keys().cloned().collect();
        for release in releases {
            self.agenda.touch(&Due::Release(release), seq);
        }
        let pairs: Vec<(Name, Name)> = self.placed.iter().map(|(e, s, _)| (e.clone(), s.clone())).collect();
        for (environment, service) in pairs {
            self.agenda.touch(&Due::Promotion { environment, service }, seq);
        }
    }
}

fn edit<K, V>(map: &mut imbl::HashMap<K, Arc<V>>, key: &K, change: impl FnOnce(&mut V))
where
    K: std::hash::Hash + Eq + Clone,
    V: Clone,
{
    if let Some(entry) = map.get_mut(key) {
        change(Arc::make_mut(entry));
    }
}

fn edit_ord<K, V>(map: &mut imbl::OrdMap<K, Arc<V>>, key: &K, change: impl FnOnce(&mut V))
where
    K: Ord + Clone,
    V: Clone,
{
    if let Some(entry) = map.get_mut(key) {
        change(Arc::make_mut(entry));
    }
}
