//! The board: services × environments, what runs, what is on its way and why it waits.

use std::collections::HashMap;

use greenroom_api::views::{Board, BoardCell, BoardEnvironment, BoardRow, Pending};
use greenroom_domain::deployment::deployment::Item;
use greenroom_domain::deployment::environment::{Environment, Purpose};
use greenroom_domain::deployment::placement::Health;
use greenroom_domain::deployment::rollout::Rollout;
use greenroom_domain::deployment::service::ReleaseGate;
use greenroom_domain::exposure::reaches_users;
use greenroom_domain::id::Name;

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
    let pending = pending(look);
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

/// The newest rollout under way for each cell.
fn pending<'a>(look: &Look<'a>) -> HashMap<(&'a Name, &'a Name), &'a Rollout> {
    let mut all: HashMap<(&Name, &Name), &Rollout> = HashMap::new();
    for id in look.state.active.iter().chain(look.state.waiting.iter().map(|(_, id)| id)) {
        let Some(rollout) = look.state.rollouts.get(id) else { continue };
        let key = (&rollout.key.environment, &rollout.key.service);
        if all.get(&key).is_none_or(|known| known.id < rollout.id) {
            all.insert(key, rollout);
        }
    }
    all
}

fn cell(look: &Look<'_>, environment: &Environment, service: &Name, pending: Option<&Rollout>) -> BoardCell {
    let mut health = Health::Healthy;
    let mut build = None;
    let mut verified = true;
    let mut any = false;
    for placement in look.state.placements_of(&environment.name, service) {
        let Some(seen) = &placement.observed else { continue };
        any = true;
        health = health.max(seen.health);
        verified &= placement.verified_at.is_some();
        build = build.or_else(|| seen.serving.keys().find_map(|d| look.state.builds.get(d)));
    }
    let production = environment.spec.purpose == Purpose::Production;
    BoardCell {
        environment: environment.name.clone(),
        version: build.map(|b| b.spec.version.clone()),
        health: if any { health } else { Health::Down },
        verified: any && verified,
        exposure: build.filter(|_| production).and_then(|b| exposure(look, environment, b)),
        pending: pending.and_then(|r| {
            let deployment = look.state.deployments.get(&r.deployment)?;
            let item: &Item = deployment.items.iter().find(|i| i.service == *service)?;
            Some(Pending { deployment: deployment.number, version: item.version.clone(), state: r.step.kind().to_string(), reasons: r.step.reasons().to_vec() })
        }),
    }
}

/// Dark or released: what users see of the features that the build reads, or of the build itself.
fn exposure(look: &Look<'_>, environment: &Environment, build: &greenroom_domain::deployment::build::Build) -> Option<String> {
    if build.spec.reads.is_empty() {
        let gated = look.state.services.get(&build.spec.service).is_some_and(|s| s.spec.release == ReleaseGate::Required);
        return gated.then(|| "released".to_owned());
    }
    let shown = build.spec.reads.keys().filter(|key| look.state.features.get(*key).is_some_and(|f| reaches_users(look.state, &environment.name, f))).count();
    Some(
        match shown {
            0 => "dark",
            n if n == build.spec.reads.len() => "released",
            _ => "partly released",
        }
        .to_owned(),
    )
}
