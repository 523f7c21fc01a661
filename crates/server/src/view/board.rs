//! The board: services × environments, what runs, what is on its way or did not arrive, and why.

use std::collections::{BTreeSet, HashMap};

use greenroom_api::views::{Board, BoardCell, BoardEnvironment, BoardRow, Pending};
use greenroom_domain::deployment::build::Build;
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::deployment::Item;
use greenroom_domain::deployment::environment::{Environment, Purpose};
use greenroom_domain::deployment::placement::{Health, Placement};
use greenroom_domain::deployment::rollout::{Rollout, StepKind};
use greenroom_domain::deployment::service::ReleaseGate;
use greenroom_domain::id::{Digest, Name};

use super::people::in_words;
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
    let grid = Grid::new(look, &environments);
    let (placed, coming) = (placed(look, &grid), coming(look, &grid));
    let mut at = 0..grid.cells();
    let mut row = |service: &Name| {
        let cells = environments.iter().zip(at.by_ref()).map(|(environment, at)| {
            let placed = placed.get(at).map(Vec::as_slice).unwrap_or_default();
            cell(look, environment, service, placed, coming.get(at).copied().flatten())
        });
        BoardRow { service: service.clone(), cells: cells.collect() }
    };
    Board {
        services: look.state.services.keys().map(&mut row).collect(),
        environments: environments.iter().map(|e| BoardEnvironment { name: e.name.clone(), purpose: e.spec.purpose }).collect(),
        at: look.now,
        seq: look.state.seq,
    }
}

/// Where the cell of an environment and a service stands, so that each kind of thing is gone through once.
struct Grid<'a> {
    services: HashMap<&'a Name, usize>,
    environments: HashMap<&'a Name, usize>,
}

impl<'a> Grid<'a> {
    fn new(look: &Look<'a>, environments: &[&'a Environment]) -> Self {
        Self {
            services: look.state.services.keys().enumerate().map(|(i, name)| (name, i)).collect(),
            environments: environments.iter().enumerate().map(|(i, e)| (&e.name, i)).collect(),
        }
    }

    fn cells(&self) -> usize {
        self.services.len() * self.environments.len()
    }

    fn at(&self, environment: &Name, service: &Name) -> Option<usize> {
        let column = self.environments.get(environment)?;
        Some(self.services.get(service)? * self.environments.len() + column)
    }
}

/// What is placed in each cell, by target.
fn placed<'a>(look: &Look<'a>, grid: &Grid<'_>) -> Vec<Vec<&'a Placement>> {
    let mut cells: Vec<Vec<&Placement>> = vec![Vec::new(); grid.cells()];
    for placement in look.state.placements.values() {
        if let Some(cell) = grid.at(&placement.key.environment, &placement.key.service).and_then(|at| cells.get_mut(at)) {
            cell.push(placement);
        }
    }
    for cell in &mut cells {
        cell.sort_unstable_by_key(|p| &p.key.target);
    }
    cells
}

/// For each cell the newest rollout under way, else the last one if it did not arrive and nobody asked for anything since.
fn coming<'a>(look: &Look<'a>, grid: &Grid<'_>) -> Vec<Option<&'a Rollout>> {
    let state = look.state;
    let mut cells: Vec<Option<&Rollout>> = vec![None; grid.cells()];
    for id in state.active.iter().chain(state.waiting.iter().map(|(_, id)| id)) {
        let Some(rollout) = state.rollouts.get(id) else { continue };
        let Some(cell) = grid.at(&rollout.key.environment, &rollout.key.service).and_then(|at| cells.get_mut(at)) else { continue };
        if cell.is_none_or(|known| known.id < rollout.id) {
            *cell = Some(rollout);
        }
    }
    for ((environment, service), (_, deployment)) in &state.latest {
        let Some(cell) = grid.at(environment, service).and_then(|at| cells.get_mut(at)).filter(|cell| cell.is_none()) else { continue };
        let rollouts = state.deployments.get(deployment).into_iter().flat_map(|d| &d.rollouts).filter_map(|id| state.rollouts.get(id));
        *cell = rollouts.filter(|r| r.key.service == *service).find(|r| matches!(r.step.kind(), StepKind::Failed | StepKind::RolledBack)).map(|r| &**r);
    }
    cells
}

fn cell(look: &Look<'_>, environment: &Environment, service: &Name, placed: &[&Placement], pending: Option<&Rollout>) -> BoardCell {
    let mut health = Health::Healthy;
    let mut build = None;
    let mut verified = true;
    let mut any = false;
    let mut ails = Vec::new();
    for placement in placed {
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
        health: any.then_some(health),
        verified: any && verified,
        ails,
        exposure: build.filter(|_| production).and_then(|b| exposure(look, environment, b)),
        pending: pending.and_then(|r| {
            let deployment = look.state.deployments.get(&r.deployment)?;
            let item: &Item = deployment.items.iter().find(|i| i.service == *service)?;
            Some(Pending {
                deployment: deployment.number,
                version: item.version.clone(),
                state: r.step.kind().to_string(),
                reasons: in_words(&look.engine.directory, look.state, r.step.reasons().to_vec()),
            })
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
