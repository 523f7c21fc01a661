//! Folding events into the state. Total: whatever the ledger holds is taken as it is.

mod deployment;
mod release;
mod token;
mod touch;

use std::sync::Arc;

use crate::agenda::Due;
use crate::decision::About;
use crate::deployment::check::CheckResult;
use crate::deployment::environment::Environment;
use crate::deployment::placement::Pair;
use crate::deployment::policy::Policy;
use crate::deployment::service::Service;
use crate::event::Event;
use crate::exposure::{Affected, affected};
use crate::id::Name;
use crate::judge::archive::KEEP;
use crate::release::attribute::Attribute;
use crate::release::cohort::Cohort;
use crate::release::feature::{Feature, Kill, Withdrawal};
use crate::release::release::{Course, CourseKind};
use crate::state::{CheckKey, Person, Recorded, State};

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
                // a target that is gone says nothing about what serves any more
                self.forget_placements(seq, at, |key| key.environment == e.name && !e.spec.targets.iter().any(|t| t.name == key.target && t.hosts(&key.service)));
                self.touch_environment(&e.name, seq);
                // needs ask every target that shall run their service
                self.touch_releases(seq, |release| release.environments.contains_key(&e.name));
            }
            Event::EnvironmentRemoved(e) => {
                self.environments.remove(&e.name);
                // another environment of this name serves nothing yet
                let served: Vec<_> = self.features.values().filter(|f| f.baselines.contains_key(&e.name) || f.kills.contains_key(&e.name)).map(|f| f.key.clone()).collect();
                for key in served {
                    edit_ord(&mut self.features, &key, |f| {
                        f.baselines.remove(&e.name);
                        f.kills.remove(&e.name);
                    });
                }
                self.forget_placements(seq, at, |key| key.environment == e.name);
                self.touch_waiting(Some(&e.name), seq);
            }
            Event::ServiceDefined(e) => {
                let registered = self.services.get(&e.name).map_or(0, |s| s.registered);
                let service = Service { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), spec: e.spec.clone(), registered };
                self.services.insert(e.name.clone(), Arc::new(service));
                self.touch_waiting(None, seq);
                self.touch_service(&e.name, seq);
            }
            Event::ServiceRemoved(e) => {
                self.services.remove(&e.name);
                self.forget_placements(seq, at, |key| key.service == e.name);
                self.touch_waiting(None, seq);
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
                self.touch_feature(&e.key, seq);
            }
            Event::FeatureRemoved(e) => {
                self.features.remove(&e.key);
            }
            Event::CohortDefined(e) => {
                let version = e.version.unwrap_or_else(|| self.next_cohort_version(&e.name));
                self.put_aside(&e.name);
                let cohort = Cohort { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), version, spec: e.spec.clone(), users: e.users.clone() };
                self.cohorts.insert(e.name.clone(), Arc::new(cohort));
            }
            Event::CohortRemoved(e) => {
                self.cohorts.remove(&e.name);
            }
            Event::AttributeDefined(e) => {
                let attribute = Attribute { name: e.name.clone(), title: e.title.clone(), set: e.set.clone(), spec: e.spec.clone() };
                self.attributes.insert(e.name.clone(), Arc::new(attribute));
            }
            Event::AttributeRemoved(e) => {
                self.attributes.remove(&e.name);
            }
            Event::BuildRegistered(e) => self.build_registered(e, recorded),
            Event::BuildRecalled(e) => self.build_recalled(e, recorded),
            Event::BuildQuarantined(e) => {
                edit(&mut self.builds, &e.build, |b| b.quarantined = Some(e.why.clone()));
                self.touch_waiting(None, seq);
            }
            Event::BuildCleared(e) => {
                edit(&mut self.builds, &e.build, |b| b.quarantined = None);
                self.touch_waiting(None, seq);
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
                self.configs.insert(e.config.clone(), Arc::new(e.content.clone()));
                let placement = self.placement(&e.key, at);
                placement.desired = Some(pair.clone());
                if placement.stable.as_ref() != Some(&pair) {
                    placement.previous = placement.stable.replace(pair);
                    placement.verified_at = None;
                }
                self.lived.insert((e.key.environment.clone(), e.build.clone()));
                self.touch_around(&e.key.environment, &e.key.service, seq);
            }
            Event::ContactLost(e) => {
                self.placement(&e.key, at).contact_lost = Some(e.since);
                self.touch_service(&e.key.service, seq);
            }
            Event::ContactRegained(e) => {
                self.placement(&e.key, at).contact_lost = None;
                self.touch_service(&e.key.service, seq);
            }
            Event::CheckRecorded(e) => {
                let r = Arc::new(e.result.clone());
                let rollout = r.rollout.and_then(|id| self.rollouts.get(&id)).filter(|rollout| !rollout.step.kind().ended()).map(|rollout| (rollout.id, rollout.build.clone()));
                if let Some(build) = r.build() {
                    let key = CheckKey { environment: r.environment.clone(), service: r.service.clone(), build: build.clone(), name: r.name.clone() };
                    // what could not be judged does not unsay what was, unless the build is being verified anew
                    let anew = |old: &CheckResult| old.rollout != r.rollout && r.rollout.and_then(|id| self.rollouts.get(&id)).is_some_and(|r| r.build == *build);
                    if r.outcome.judged() || self.checks.get(&key).is_none_or(|old| !old.outcome.judged() || anew(old)) {
                        self.checks.insert(key, Arc::clone(&r));
                    }
                    if let Some((id, _)) = rollout.as_ref().filter(|(_, own)| own == build) {
                        edit(&mut self.rollouts, id, |rollout| rollout.note(&r));
                    }
                }
                if let Some((id, _)) = rollout {
                    self.agenda.touch(&Due::Rollout(id), seq);
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
                    // whoever is still served is taken off half a minute after the contradiction, paused meanwhile or not
                    if e.off {
                        c.contradicted.clear();
                    }
                    c.course = Course::Paused { stage, off: e.off, why: e.why.clone(), since: at };
                });
                self.touch_sharing(&e.name, seq);
            }
            Event::ReleaseResumed(e) => self.course(&e.name, &e.environment, seq, |c| {
                if let Course::Paused { stage, .. } = c.course {
                    c.refused.clear();
                    c.course = Course::Exposing { stage, since: at };
                }
            }),
            Event::ReleaseWithdrawing(e) => {
                self.fold_out(&e.name, &e.environment);
                self.course(&e.name, &e.environment, seq, |c| {
                    c.contradicted.clear();
                    c.course = Course::Withdrawing { since: at, seq, deadline: e.deadline, share: e.share, partial: false };
                });
                self.touch_sharing(&e.name, seq);
            }
            Event::WithdrawalPartial(e) => {
                self.course(&e.name, &e.environment, seq, |c| {
                    if let Course::Withdrawing { partial, .. } = &mut c.course {
                        *partial = true;
                    }
                });
            }
            Event::ReleaseWithdrawn(e) => {
                self.course(&e.name, &e.environment, seq, |c| {
                    c.started = None;
                    c.course = Course::Withdrawn { since: at };
                });
                self.agenda.age(at, KEEP);
            }
            Event::ReleaseClosed(e) => {
                self.fold_in(&e.name, &e.environment);
                self.course(&e.name, &e.environment, seq, |c| c.course = Course::Closed { since: at });
                self.touch_sharing(&e.name, seq);
            }
            Event::ReleaseCancelled(e) => {
                self.course(&e.name, &e.environment, seq, |c| c.course = Course::Cancelled { since: at });
                self.agenda.age(at, KEEP);
            }
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
            Event::BaselineRestored(e) => {
                self.baseline_entries(&e.release, &e.environment, |entry| entry.off = None);
                self.course(&e.release, &e.environment, seq, |_| {});
            }
            Event::BaselineSet(e) => {
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.baselines.insert(e.environment.clone(), e.baseline.clone());
                });
            }
            Event::FeatureKilled(e) => {
                let withdrawal =
                    e.deadline.map(|deadline| Withdrawal { seq, deadline, share: e.share, partial: false, effective: None, in_contact: 0, acknowledged: 0, laggards: Vec::new() });
                let kill = Kill { at, by: recorded.actor, reason: e.reason.clone(), silenced: e.silenced.clone(), withdrawal };
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.kills.insert(e.environment.clone(), kill);
                });
            }
            Event::KillPartial(e) => self.kill(&e.feature, &e.environment, |w| {
                (w.partial, w.in_contact, w.acknowledged) = (true, e.in_contact, e.acknowledged);
                w.laggards.clone_from(&e.laggards);
            }),
            Event::KillEffective(e) => self.kill(&e.feature, &e.environment, |w| {
                (w.effective, w.in_contact, w.acknowledged) = (Some(at), e.in_contact, e.acknowledged);
                w.laggards = Vec::new();
            }),
            Event::FeatureRestored(e) => {
                edit_ord(&mut self.features, &e.feature, |f| {
                    f.kills.remove(&e.environment);
                });
                self.touch_feature(&e.feature, seq);
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
                let gone: Vec<_> = self.tokens.values().filter(|t| t.person == Some(e.id)).map(|t| t.id).collect();
                gone.into_iter().for_each(|id| self.drop_token(id));
            }
            Event::TokenCreated(e) => {
                self.forget_tokens(at);
                self.insert_token(Arc::new(e.token.clone()));
            }
            Event::TokenRevoked(e) => self.drop_token(e.id),
            Event::SeparationSet(e) => {
                self.separation = e.on;
                self.touch_all(seq);
            }
            // whose password it is the state does not ask: its hash stands in a side table
            Event::Erased(_) | Event::PersonPasswordSet(_) => {}
            Event::Archived(e) => self.archived(e),
        }
        for (environment, what) in affected(self, &recorded.event) {
            if what != Affected::Nothing {
                self.revisions.insert(environment, seq);
            }
        }
    }
}

fn edit<K, V>(map: &mut crate::map::HashMap<K, Arc<V>>, key: &K, change: impl FnOnce(&mut V))
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
