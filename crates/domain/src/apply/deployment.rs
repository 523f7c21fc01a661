//! Builds, deployments, rollouts and placements.

use std::sync::Arc;

use super::{edit, edit_ord};
use crate::agenda::Due;
use crate::deployment::build::Build;
use crate::deployment::deployment::{Deployment, Motive};
use crate::deployment::placement::{Observation, Pair, Placement};
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::event::{Archived, BuildRecalled, BuildRegistered, DeploymentRequested, RolloutMoved};
use crate::few::Few;
use crate::id::{Digest, FeatureKey, PlacementKey};
use crate::judge::archive::KEEP;
use crate::state::{CheckKey, Recorded, State};
use crate::time::At;

impl State {
    pub(super) fn build_registered(&mut self, e: &BuildRegistered, recorded: &Recorded) {
        let build = Build { spec: e.build.clone(), digest: e.digest.clone(), sequence: e.sequence, at: recorded.at, quarantined: None };
        self.insert_build(build, recorded);
    }

    /// As it was before it was archived.
    pub(super) fn build_recalled(&mut self, e: &BuildRecalled, recorded: &Recorded) {
        let build = Build { spec: e.build.clone(), digest: e.digest.clone(), sequence: e.sequence, at: e.registered, quarantined: e.quarantined.clone() };
        self.insert_build(build, recorded);
        self.lived.extend(e.lived.iter().map(|env| (env.clone(), e.digest.clone())));
        self.tried.extend(e.tried.iter().map(|env| (env.clone(), e.digest.clone())));
        for result in &e.checks {
            let key = CheckKey { environment: result.environment.clone(), service: result.service.clone(), build: e.digest.clone(), name: result.name.clone() };
            self.checks.insert(key, Arc::new(result.clone()));
        }
    }

    fn insert_build(&mut self, build: Build, recorded: &Recorded) {
        let service = build.spec.service.clone();
        edit_ord(&mut self.services, &service, |s| s.registered = s.registered.max(build.sequence));
        self.versions.insert(build.spec.label(), build.digest.clone());
        self.builds_of.insert((service.clone(), build.sequence, build.digest.clone()));
        self.builds.insert(build.digest.clone(), Arc::new(build));
        self.agenda.age(recorded.at, KEEP);
        self.touch_service(&service, recorded.seq);
    }

    pub(super) fn deployment_requested(&mut self, e: &DeploymentRequested, recorded: &Recorded) {
        let (seq, at) = (recorded.seq, recorded.at);
        self.numbers.deployments = self.numbers.deployments.max(e.number);
        for (digest, config) in &e.configs {
            if !self.configs.contains_key(digest) {
                self.configs.insert(digest.clone(), Arc::new(config.clone()));
            }
        }
        for planned in &e.rollouts {
            let key = PlacementKey { environment: e.environment.clone(), target: planned.target.clone(), service: planned.service.clone() };
            self.placement(&key, at);
            let step = Step::Waiting { reasons: planned.reasons.clone(), review: planned.review };
            let due = Due::Rollout(planned.id);
            self.agenda.schedule(&due, step.dues());
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
                    checks: Few::default(),
                }),
            );
        }
        self.insert_deployment(Arc::new(Deployment {
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
        }));
    }

    /// Into all indexes, in whatever order they come.
    pub(crate) fn insert_deployment(&mut self, deployment: Arc<Deployment>) {
        self.by_number.insert(deployment.number, deployment.id);
        self.note_latest(&deployment);
        self.deployments.insert(deployment.id, deployment);
    }

    fn note_latest(&mut self, deployment: &Deployment) {
        for item in &deployment.items {
            let latest = self.latest.entry((deployment.environment.clone(), item.service.clone())).or_insert((0, deployment.id));
            *latest = (*latest).max((deployment.number, deployment.id));
        }
    }

    pub(super) fn rollout_moved(&mut self, e: &RolloutMoved, seq: u64, at: At) {
        let Some(old) = self.rollouts.get(&e.rollout).cloned() else { return };
        let to = e.to.kind();
        let due = Due::Rollout(e.rollout);
        self.agenda.schedule(&due, e.to.dues());
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
        let back = self.deployments.get(&e.deployment).is_some_and(|d| d.motive == Motive::Rollback);
        let pair = || Pair { build: old.build.clone(), config: old.config.clone() };
        let mut fence = old.fence;
        // gone when its target was taken out of the environment
        edit(&mut self.placements, &e.key, |placement| {
            if to == StepKind::Applying {
                placement.fence += 1;
                fence = placement.fence;
                placement.active = Some(e.rollout);
                placement.desired = Some(pair());
            }
            if to.ended() && placement.active == Some(e.rollout) {
                placement.active = None;
            }
            if to == StepKind::Live {
                if placement.stable.as_ref() != Some(&pair()) {
                    // what was taken back is nowhere to roll back to
                    placement.previous = placement.stable.replace(pair()).filter(|_| !back);
                }
                placement.verified_at = Some(at);
            } else if to.ended() && old.step.kind().holds() {
                // what was wanted before is wanted again
                placement.desired.clone_from(&placement.stable);
            }
        });
        edit(&mut self.rollouts, &e.rollout, |r| {
            r.step = e.to.clone();
            r.attempt = e.op.attempt;
            r.moved_at = at;
            r.fence = fence;
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
                self.agenda.age(at, KEEP);
            }
        }
        self.touch_around(&e.key.environment, &e.key.service, seq);
    }

    pub(super) fn observed(&mut self, key: &PlacementKey, seen: &Observation, seq: u64, at: At) {
        let known = self.placements.get(key);
        let changed = known.and_then(|p| p.observed.as_ref()).is_none_or(|old| old.serving != seen.serving);
        // what is down for a while comes back as it was
        let reads_since = (changed && !seen.serving.is_empty()).then(|| {
            let since = |key: &FeatureKey| known.and_then(|p| p.reads_since.get(key)).copied().unwrap_or(at);
            let builds = seen.serving.keys().filter_map(|d| self.builds.get(d));
            builds.flat_map(|b| b.spec.reads.keys()).map(|key| (key.clone(), since(key))).collect()
        });
        let placement = self.placement(key, at);
        if changed {
            placement.observed_since = at;
        }
        placement.reads_since = reads_since.unwrap_or_else(|| std::mem::take(&mut placement.reads_since));
        placement.observed = Some(seen.clone());
        if let Some(active) = placement.active {
            self.agenda.touch(&Due::Rollout(active), seq);
        }
        if changed {
            self.touch_around(&key.environment, &key.service, seq);
        } else {
            self.touch_service(&key.service, seq);
        }
    }

    pub(super) fn placement(&mut self, key: &PlacementKey, at: At) -> &mut Placement {
        if !self.placements.contains_key(key) {
            self.placed.insert((key.environment.clone(), key.service.clone(), key.target.clone()));
        }
        let entry = self.placements.entry(key.clone()).or_insert_with(|| {
            Arc::new(Placement {
                key: key.clone(),
                desired: None,
                observed: None,
                observed_since: at,
                reads_since: Few::default(),
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

    /// What a place said counts no more: who waits for its service is judged anew, and what is kept for its sake ages.
    pub(super) fn forget_placements(&mut self, seq: u64, at: At, gone: impl Fn(&PlacementKey) -> bool) {
        let keys: Vec<PlacementKey> = self.placements.keys().filter(|key| gone(key)).cloned().collect();
        for key in keys {
            self.placed.remove(&(key.environment.clone(), key.service.clone(), key.target.clone()));
            self.placements.remove(&key);
            self.agenda.age(at, KEEP);
            self.touch_service(&key.service, seq);
        }
    }

    pub(super) fn archived(&mut self, e: &Archived) {
        for (service, build) in &e.builds {
            let Some(b) = self.builds.remove(build) else { continue };
            self.versions.remove(&b.spec.label());
            self.builds_of.remove(&(service.clone(), b.sequence, build.clone()));
        }
        if !e.builds.is_empty() {
            let gone: std::collections::HashSet<&Digest> = e.builds.iter().map(|(_, build)| build).collect();
            self.checks.retain(|key, _| !gone.contains(&key.build));
            self.tried = std::mem::take(&mut self.tried).into_iter().filter(|(_, build)| !gone.contains(build)).collect();
            self.lived = std::mem::take(&mut self.lived).into_iter().filter(|(_, build)| !gone.contains(build)).collect();
        }
        for id in &e.deployments {
            let Some(d) = self.deployments.remove(id) else { continue };
            self.by_number.remove(&d.number);
            for rollout in &d.rollouts {
                self.rollouts.remove(rollout);
                self.agenda.drop(&Due::Rollout(*rollout));
            }
        }
        if !e.deployments.is_empty() {
            // one that is kept may now be the last of its place
            self.latest.clear();
            let kept: Vec<Arc<Deployment>> = self.deployments.values().cloned().collect();
            kept.iter().for_each(|deployment| self.note_latest(deployment));
            let mut used: std::collections::HashSet<&Digest> = self.rollouts.values().map(|r| &r.config).collect();
            used.extend(self.placements.values().flat_map(|p| [&p.desired, &p.stable, &p.previous]).flatten().map(|pair| &pair.config));
            self.configs.retain(|digest, _| used.contains(digest));
        }
        for name in &e.releases {
            self.unindex_needs(name);
            self.releases.remove(name);
            self.unflagged.remove(name);
            self.agenda.drop(&Due::Release(name.clone()));
        }
    }
}
