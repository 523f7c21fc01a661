//! The board: services × environments, what runs, what is on its way or did not arrive, and why.

use std::collections::{BTreeSet, HashMap, HashSet};

use greenroom_api::views::{Board, BoardCell, BoardEnvironment, BoardRow, Pending};
use greenroom_domain::deployment::build::Build;
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::deployment::Item;
use greenroom_domain::deployment::environment::{Environment, Purpose};
use greenroom_domain::deployment::placement::{Health, Placement};
use greenroom_domain::deployment::rollout::{Rollout, StepKind};
use greenroom_domain::deployment::service::ReleaseGate;
use greenroom_domain::id::{Digest, Name};

use super::reach::{Reach, reach};
use crate::http::Look;

/// Environments in the order in which builds pass them.
#[must_use]
pub fn in_order<'a>(look: &Look<'a>) -> Vec<&'a Environment> {
    let mut all: Vec<&Environment> = look.state.environments.values().map(|e| &**e).collect();
    let depth = |e: &Environment| {
        let (mut depth, mut at) = (0_u32, e);
        while let Some(before) = at.spec.after.first().and_then(|n| look.state.environments.get(n)) {
            depth += 1;
            if depth > 100 {
                break;
            }
            at = before;
        }
        depth
    };
    all.sort_by_key(|e| (depth(e), e.spec.purpose, e.name.clone()));
    all
}

pub fn board(look: &Look<'_>, only: Option<&Name>) -> Board {
    let environments: Vec<&Environment> = in_order(look).into_iter().filter(|e| only.is_none_or(|o| e.name == *o)).collect();
    let mut pending = pending(look);
    add_failed(look, &mut pending);
    let services = look.state.services.keys().map(|service| BoardRow {
        service: service.clone(),
        cells: environments.iter().map(|environment| cell(look, environment, service, pending.get(&(&environment.name, service)).copied())).collect(),
    });
    Board {
        services: services.collect(),
        environments: environments.iter().map(|e| BoardEnvironment { name: e.name.clone(), purpose: e.spec.purpose }).collect(),
        at: look.now,
        seq: look.state.seq,
    }
}

type Cells<'a, T> = HashMap<(&'a Name, &'a Name), T>;

/// The newest rollout under way for each cell.
fn pending<'a>(look: &Look<'a>) -> Cells<'a, &'a Rollout> {
    let mut all: Cells<'_, &Rollout> = HashMap::new();
    for id in look.state.active.iter().chain(look.state.waiting.iter().map(|(_, id)| id)) {
        let Some(rollout) = look.state.rollouts.get(id) else { continue };
        let key = (&rollout.key.environment, &rollout.key.service);
        if all.get(&key).is_none_or(|known| known.id < rollout.id) {
            all.insert(key, rollout);
        }
    }
    all
}

/// What was asked for last, did not arrive, and nobody asked for anything since. Only cells in which some build was tried
/// and did not stay are looked at, so that a board where all is well costs nothing more.
fn add_failed<'a>(look: &Look<'a>, pending: &mut Cells<'a, &'a Rollout>) {
    let tried = look.state.tried.iter().filter_map(|(environment, build)| Some((environment, &look.state.builds.get(build)?.spec.service)));
    let mut open: HashSet<(&Name, &Name)> = tried.filter(|cell| !pending.contains_key(cell)).collect();
    for id in look.state.by_number.values().rev() {
        if open.is_empty() {
            return;
        }
        let Some(deployment) = look.state.deployments.get(id) else { continue };
        for item in &deployment.items {
            // the newest deployment says how it stands
            if !open.remove(&(&deployment.environment, &item.service)) {
                continue;
            }
            let rollouts = deployment.rollouts.iter().filter_map(|id| look.state.rollouts.get(id)).filter(|r| r.key.service == item.service);
            if let Some(bad) = rollouts.into_iter().find(|r| matches!(r.step.kind(), StepKind::Failed | StepKind::RolledBack)) {
                pending.insert((&deployment.environment, &item.service), bad);
            }
        }
    }
}

fn cell(look: &Look<'_>, environment: &Environment, service: &Name, pending: Option<&Rollout>) -> BoardCell {
    let mut health = Health::Healthy;
    let mut build = None;
    let mut verified = true;
    let mut any = false;
    let mut ails = Vec::new();
    for placement in look.state.placements_of(&environment.name, service) {
        let Some(seen) = &placement.observed else { continue };
        any = true;
        health = health.max(seen.health);
        verified &= placement.verified_at.is_some();
        if matches!(seen.health, Health::Unhealthy | Health::Down) || placement.contact_lost.is_some() {
            ails.push(ailment(look, placement));
        }
        build = build.or_else(|| seen.serving.keys().find_map(|d| look.state.builds.get(d)));
    }
    let production = environment.spec.purpose == Purpose::Production;
    BoardCell {
        environment: environment.name.clone(),
        version: build.map(|b| b.spec.version.clone()),
        health: if any { health } else { Health::Down },
        verified: any && verified,
        ails,
        exposure: build.filter(|_| production).and_then(|b| exposure(look, environment, b)),
        pending: pending.and_then(|r| {
            let deployment = look.state.deployments.get(&r.deployment)?;
            let item: &Item = deployment.items.iter().find(|i| i.service == *service)?;
            Some(Pending { deployment: deployment.number, version: item.version.clone(), state: r.step.kind().to_string(), reasons: r.step.reasons().to_vec() })
        }),
    }
}

/// What ails one target, in a line.
fn ailment(look: &Look<'_>, placement: &Placement) -> String {
    let (target, seen) = (&placement.key.target, placement.observed.as_ref());
    if let Some(since) = placement.contact_lost {
        return format!("`{target}` has not answered since {since}: what runs there is what was seen last");
    }
    match seen.map(|s| s.health) {
        Some(Health::Down) => format!("on `{target}` nothing runs"),
        _ => {
            let said: Vec<String> = seen.and_then(|s| s.build()).map(|build| failing(look, placement, build)).unwrap_or_default();
            let said = if said.is_empty() { String::new() } else { format!("; {}", said.join("; ")) };
            format!("on `{target}` it does not answer as it should{said}")
        }
    }
}

/// Checks that the build did not pass here.
fn failing(look: &Look<'_>, placement: &Placement, build: &Digest) -> Vec<String> {
    let key = &placement.key;
    let checks = look.state.services.get(&key.service).map(|s| s.spec.checks.as_slice()).unwrap_or_default();
    let results = checks.iter().filter_map(|c| look.state.check(&key.environment, &key.service, build, &c.name));
    results.filter(|r| r.outcome != Outcome::Pass).map(|r| format!("check `{}`: {} ({})", r.name, r.outcome, r.summary)).collect()
}

/// Dark or released, and to whom: what users see of the features that the build reads, or of the build itself.
fn exposure(look: &Look<'_>, environment: &Environment, build: &Build) -> Option<String> {
    if build.spec.reads.is_empty() {
        let gated = look.state.services.get(&build.spec.service).is_some_and(|s| s.spec.release == ReleaseGate::Required);
        return gated.then(|| "released".to_owned());
    }
    let reached: BTreeSet<Reach> = build.spec.reads.keys().map(|key| look.state.features.get(key).map_or(Reach::Nobody, |f| reach(look.state, &environment.name, f))).collect();
    Some(match reached.into_iter().collect::<Vec<_>>().as_slice() {
        [Reach::Nobody] => "dark".to_owned(),
        [Reach::Everyone] => "released".to_owned(),
        [Reach::Some(whom)] => format!("released to {whom}"),
        _ => "partly released".to_owned(),
    })
}
