//! Forgetting: what is over for a month and named by nothing any more leaves the state. The ledger keeps it, and
//! [`crate::recall`] brings it back when someone asks.

use std::collections::{HashMap, HashSet};

use crate::decide::Work;
use crate::deployment::placement::Placement;
use crate::deployment::rollout::{Rollout, StepKind};
use crate::event::Archived;
use crate::id::{BuildLabel, DeploymentId, Digest, Name, PlacementKey};
use crate::release::release::Course;
use crate::state::State;
use crate::time::{At, Span};

/// How long something over stays at hand.
pub const KEEP: Span = Span::secs(30 * 24 * 3600);
/// Things one event forgets at most, so that no body grows large.
const AT_ONCE: usize = 200;

pub(super) fn sweep(work: &mut Work<'_>) {
    let before = work.now - KEEP;
    let kept = standing(&work.state);
    let mut deployments: Vec<DeploymentId> = work.state.deployments.values().filter(|d| d.ended.is_some_and(|at| at <= before) && !kept.contains(&d.id)).map(|d| d.id).collect();
    deployments.sort_unstable();
    let releases: Vec<Name> = work.state.releases.values().filter(|r| over(&work.state, &r.name, before)).map(|r| r.name.clone()).collect();
    for chunk in deployments.chunks(AT_ONCE) {
        work.push(Archived { builds: Vec::new(), deployments: chunk.to_vec(), releases: Vec::new() });
    }
    for chunk in releases.chunks(AT_ONCE) {
        work.push(Archived { builds: Vec::new(), deployments: Vec::new(), releases: chunk.to_vec() });
    }
    // after those that may name them are gone
    let builds = unnamed(&work.state, before);
    for chunk in builds.chunks(AT_ONCE) {
        work.push(Archived { builds: chunk.to_vec(), deployments: Vec::new(), releases: Vec::new() });
    }
}

/// Deployments that made what is good on some placement now, or any that was last live there: what dies is started
/// again from them, with the operation they stamped on the target.
fn standing(state: &State) -> HashSet<DeploymentId> {
    let mut newest: HashMap<&PlacementKey, &Rollout> = HashMap::new();
    for rollout in state.rollouts.values().filter(|r| r.step.kind() == StepKind::Live) {
        let Some(placement) = state.placements.get(&rollout.key) else { continue };
        let rank = |r: &Rollout| (placement.stable.as_ref().is_some_and(|pair| pair.build == r.build && pair.config == r.config), r.moved_at, r.fence);
        let entry = newest.entry(&rollout.key).or_insert(rollout);
        if rank(rollout) > rank(entry) {
            *entry = rollout;
        }
    }
    newest.into_values().map(|r| r.deployment).collect()
}

/// Cancelled or withdrawn everywhere, long enough ago. A closed release goes on binding, and so stays.
fn over(state: &State, name: &Name, before: At) -> bool {
    state
        .releases
        .get(name)
        .is_some_and(|r| r.at <= before && r.environments.values().all(|i| matches!(i.course, Course::Cancelled { since } | Course::Withdrawn { since } if since <= before)))
}

/// Old builds that no placement runs or goes back to, no release, deployment or other build names, and that are not the
/// newest of their service.
fn unnamed(state: &State, before: At) -> Vec<(Name, Digest)> {
    let mut digests: HashSet<&Digest> = HashSet::new();
    let mut labels: HashSet<BuildLabel> = HashSet::new();
    for placement in state.placements.values() {
        digests.extend(held_by(placement));
    }
    for deployment in state.deployments.values() {
        digests.extend(deployment.items.iter().map(|item| &item.build));
    }
    for release in state.releases.values() {
        labels.extend(release.needs().map(|n| BuildLabel { service: n.service, version: n.floor }));
        labels.extend(release.spec.not.iter().cloned());
    }
    let mut newest: Option<(&Name, &Digest)> = None;
    for (service, _, digest) in &state.builds_of {
        if let Some((other, last)) = newest
            && other != service
        {
            digests.insert(last);
        }
        newest = Some((service, digest));
    }
    digests.extend(newest.map(|(_, digest)| digest));
    let mut old: Vec<_> = state.builds.values().filter(|b| b.at <= before && !digests.contains(&b.digest) && !labels.contains(&b.spec.label())).collect();
    // floors that remaining builds require stay: without them some could not be compared any more
    loop {
        let going: HashSet<&Digest> = old.iter().map(|b| &b.digest).collect();
        let staying = state.builds.values().filter(|b| !going.contains(&b.digest));
        let required: HashSet<&Digest> =
            staying.flat_map(|b| &b.spec.requires).filter_map(|n| state.versions.get(&BuildLabel { service: n.service.clone(), version: n.floor.clone() })).collect();
        let count = old.len();
        old.retain(|b| !required.contains(&b.digest));
        if old.len() == count {
            break;
        }
    }
    let mut all: Vec<_> = old.into_iter().map(|b| (b.spec.service.clone(), b.digest.clone())).collect();
    all.sort_unstable();
    all
}

fn held_by(placement: &Placement) -> impl Iterator<Item = &Digest> {
    let pairs = [&placement.desired, &placement.stable, &placement.previous].into_iter().flatten().map(|pair| &pair.build);
    pairs.chain(placement.observed.iter().flat_map(|seen| seen.serving.keys()))
}
