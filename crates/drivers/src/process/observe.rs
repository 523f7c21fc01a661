//! What is there: records, process table, routes and one question to the process. Changes nothing.

use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::few::Few;
use greenroom_domain::id::OperationId;

use super::facts::{self, is_alive, leads_to, life_of};
use super::job::Job;
use super::record::{Pages, Phase, Record};
use super::step::Life;
use super::{ProcessDriver, recipe_of, watch};
use crate::proxy::{self, Routes};
use crate::{Desired, Diff, DriverError, Instance, NoContact, Seen, Where, now, with_causes};

/// What can be seen without asking anyone.
struct View {
    pages: Pages,
    routes: Routes,
    alive: Vec<OperationId>,
    /// Why nobody reaches the stable address.
    unreachable: Option<String>,
    /// Why the main process is dead.
    death: Option<String>,
    main: Option<Record>,
}

pub(super) async fn observe(driver: &ProcessDriver, place: &Where) -> Result<Seen, NoContact> {
    // The operation of a job only matters to steps; none is made here.
    let Some(recipe) = recipe_of(&place.recipe) else { return Err(NoContact::new("the recipe is for another driver")) };
    let job = Job::at(place, nobody()).map_err(NoContact::new)?;
    let view = driver.blocking(move |shared| look(&job, shared)).await.map_err(|e| match e {
        DriverError::NoContact(e) => e,
        e => NoContact::new(with_causes(&e)),
    })?;
    let Some(view) = view else { return Ok(nothing()) };
    let ready = match &view.main {
        Some(main) if view.alive.contains(&main.op) => watch::probe(&driver.client, main.listen, &recipe.ready.http).await,
        _ => Err("nothing runs".into()),
    };
    Ok(seen(&view, &ready))
}

fn look(job: &Job, shared: &super::drive::Shared) -> Result<Option<View>, DriverError> {
    let routes = Routes::read(&job.address)?;
    let Some(pages) = facts::pages(job, &routes)? else { return Ok(None) };
    let mut alive = Vec::new();
    for record in pages.records.values() {
        if is_alive(record)? {
            alive.push(record.op);
        }
    }
    let serving = facts::led_to(&pages, &routes)?.or_else(|| pages.current.serving.and_then(|op| pages.records.get(&op)).filter(|r| r.stable.is_none()));
    let wanted = pages.current.wanted.and_then(|op| pages.records.get(&op));
    let known = pages.current.serving.and_then(|op| pages.records.get(&op));
    let main = serving.or(wanted.filter(|r| r.verdict.is_none())).or(known).cloned();
    let unreachable = main.as_ref().and_then(|m| m.stable).and_then(|stable| proxy::trouble(&job.address, stable));
    let death = match &main {
        Some(main) => match life_of(main, job, &shared.children)? {
            Life::Dead(why) => Some(why),
            Life::Absent if main.process.is_some() => Some("gone since the machine was restarted".into()),
            Life::Absent | Life::Alive => None,
        },
        None => None,
    };
    Ok(Some(View { pages, routes, alive, unreachable, death, main }))
}

fn seen(view: &View, ready: &Result<(), String>) -> Seen {
    let current = &view.pages.current;
    let wanted = current.wanted.and_then(|op| view.pages.records.get(&op));
    let runs = |op: OperationId| view.alive.contains(&op);
    let routed = |r: &Record| leads_to(&view.routes, r.stable, r) && (r.stable.is_some() || current.serving == Some(r.op));
    let led_to = |r: &Record| (r.stable.is_some() && routed(r)) || current.serving == Some(r.op);
    let gone = |r: &Record| !runs(r.op) && !led_to(r);
    let taken_back = wanted.filter(|r| r.verdict.is_some() && gone(r)).map(|r| r.op);
    let underway = current.wanted.filter(|op| match wanted {
        None => true,
        Some(r) if r.verdict.is_some() => taken_back != Some(*op),
        Some(r) => r.phase != Phase::Done,
    });
    let main = view.main.as_ref();
    let main_runs = main.is_some_and(|m| runs(m.op));
    let serves = main.is_some_and(&routed) && main_runs;
    let old_instances: Vec<_> = view.pages.records.values().filter(|r| runs(r.op) && main.is_none_or(|m| m.op != r.op)).map(|r| instance(r, false)).collect();

    let health = if !main_runs {
        if underway.is_some() && !old_instances.is_empty() { Health::Progressing } else { Health::Down }
    } else if !serves {
        Health::Progressing
    } else if ready.is_err() || view.unreachable.is_some() {
        Health::Unhealthy
    } else if underway.is_some() || !old_instances.is_empty() {
        Health::Progressing
    } else {
        Health::Healthy
    };
    let trouble = ready.as_ref().err().filter(|_| serves).map(|why| format!("not ready: {why}"));
    let failure = wanted.and_then(|r| r.verdict.clone()).or_else(|| view.death.clone());
    let failure = failure.or_else(|| view.unreachable.clone().filter(|_| serves)).or(trouble).or_else(|| wanted.and_then(|r| r.failure.clone()));
    let settled = health == Health::Healthy && main.is_some_and(|m| m.phase == Phase::Done && m.verdict.is_none());
    Seen {
        at: now(),
        observation: Observation {
            serving: main.filter(|_| serves).map(|m| (m.build.clone(), 1)).into_iter().collect(),
            config: main.filter(|_| main_runs).map(|m| m.config.clone()),
            op: main.map(|m| m.op),
            health,
            basis: Basis::Observed,
        },
        instances: main.filter(|_| main_runs).map(|m| instance(m, ready.is_ok())).into_iter().collect(),
        old_instances,
        underway,
        failure,
        unreachable: view.unreachable.clone(),
        taken_back,
        blameless: taken_back.is_some() && wanted.is_some_and(|r| r.blameless),
        settled,
    }
}

fn instance(record: &Record, ready: bool) -> Instance {
    Instance { pid: record.process.as_ref().map(|p| p.pid), started: record.started, ready, restarts: record.restarts, digest: Some(record.build.clone()), op: Some(record.op) }
}

/// Nothing was ever deployed here, or nothing is left of it.
fn nothing() -> Seen {
    Seen {
        at: now(),
        observation: Observation { serving: Few::default(), config: None, op: None, health: Health::Down, basis: Basis::Observed },
        instances: Vec::new(),
        old_instances: Vec::new(),
        underway: None,
        failure: None,
        unreachable: None,
        taken_back: None,
        blameless: false,
        settled: false,
    }
}

pub(super) async fn plan(driver: &ProcessDriver, desired: &Desired) -> Result<Diff, NoContact> {
    let job = Job::of(desired).map_err(NoContact::new)?;
    let view = driver.blocking(move |shared| look(&job, shared)).await.map_err(|e| NoContact::new(with_causes(&e)))?;
    let main = view.and_then(|v| v.main.filter(|m| v.alive.contains(&m.op)));
    let main = main.as_ref();
    let mut diff = Diff::default();
    diff.line("build", main.map(|m| &m.label), Some(&desired.label));
    diff.line("digest", main.map(|m| &m.build), Some(&desired.digest));
    diff.line("configuration", main.map(|m| &m.config), Some(&desired.config));
    diff.line("stable address", main.and_then(|m| m.stable), desired.endpoints.get(&desired.key.service));
    Ok(diff)
}

fn nobody() -> OperationId {
    OperationId { rollout: greenroom_domain::id::RolloutId::new(Default::default()), attempt: 0 }
}
