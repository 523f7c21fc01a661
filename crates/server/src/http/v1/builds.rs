//! Builds and checks.

use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::{Problem, requests, views};
use greenroom_domain::command::{Command, RecordCheck};
use greenroom_domain::deployment::build::BuildSpec;
use greenroom_domain::event::Event;
use greenroom_domain::id::{BuildLabel, Digest, Name};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{NoQuery, Paging, environment, missing, page};
use crate::engine::now;
use crate::http::routes::{Ask, Asked, Params, Routes};
use crate::view::deployment as view;

pub fn routes(routes: Routes) -> Routes {
    routes
        .read("/builds", Action::BuildsRead, "Builds, newest first", builds)
        .command("POST", "/builds", "build.register", "Register a build; the same again changes nothing", register)
        .read("/builds/{service}/{version}", Action::BuildsRead, "One build", build)
        .command("POST", "/builds/{service}/{version}/clear", "build.clear", "Say that a quarantined build may be deployed again", clear)
        .read("/checks", Action::DeploymentsRead, "The latest result of each check on each build, newest first", checks)
        .command("POST", "/checks", "check.record", "Record a check that ran elsewhere, with its evidence", record)
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct BuildsQuery {
    service: Option<Name>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn builds(asked: &Asked<'_>, _: &Params, query: BuildsQuery) -> Result<views::Page<views::Build>, Problem> {
    let state = asked.look.state;
    let mut all: Vec<_> = match &query.service {
        Some(service) => state.builds_of.iter().filter(|(s, _, _)| s == service).filter_map(|(_, _, d)| state.builds.get(d)).collect(),
        None => state.builds.values().collect(),
    };
    if let Some(name) = query.service.as_ref().filter(|s| all.is_empty() && !state.services.contains_key(*s)) {
        return Err(missing("service", name));
    }
    all.sort_by(|a, b| (b.at, b.sequence, &b.spec.service).cmp(&(a.at, a.sequence, &a.spec.service)));
    page(all.into_iter().map(|b| view::build(b)), &Paging { limit: query.limit, cursor: query.cursor }, |b| b.digest.to_string())
}

fn build(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<views::Build, Problem> {
    let label = BuildLabel { service: params.get("service")?, version: params.get("version")? };
    asked.look.state.build(&label).map(|b| view::build(b)).ok_or_else(|| missing("build", label))
}

fn register(_: &Asked<'_>, _: &Params, build: BuildSpec) -> Result<Ask<views::Build>, Problem> {
    let label = build.label();
    let ask = Ask::new(Action::BuildRegister, Resource::Any, Command::RegisterBuild { build }, move |look, _| {
        look.state.build(&label).map(|b| view::build(b)).ok_or_else(|| missing("build", label))
    });
    Ok(ask.status(201))
}

fn clear(_: &Asked<'_>, params: &Params, request: requests::ClearBuild) -> Result<Ask<views::Build>, Problem> {
    let build = BuildLabel { service: params.get("service")?, version: params.get("version")? };
    let label = build.clone();
    Ok(Ask::new(Action::BuildClear, Resource::Any, Command::ClearBuild { build, note: request.note }, move |look, _| {
        look.state.build(&label).map(|b| view::build(b)).ok_or_else(|| missing("build", label))
    }))
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ChecksQuery {
    environment: Option<Name>,
    service: Option<Name>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn checks(asked: &Asked<'_>, _: &Params, query: ChecksQuery) -> Result<views::Page<views::Check>, Problem> {
    if let Some(name) = &query.environment {
        environment(asked.look.state, name)?;
    }
    let wanted =
        |key: &greenroom_domain::state::CheckKey| query.environment.as_ref().is_none_or(|e| key.environment == *e) && query.service.as_ref().is_none_or(|s| key.service == *s);
    let mut all: Vec<_> = asked.look.state.checks.iter().filter(|(key, _)| wanted(key)).map(|(_, r)| r).collect();
    if let Some(name) = query.service.as_ref().filter(|s| all.is_empty() && !asked.look.state.services.contains_key(*s)) {
        return Err(missing("service", name));
    }
    all.sort_by_key(|r| std::cmp::Reverse((r.at, r.id)));
    page(all.into_iter().map(|r| view::check(r)), &Paging { limit: query.limit, cursor: query.cursor.clone() }, |c| c.id.to_string())
}

fn record(asked: &Asked<'_>, _: &Params, request: requests::RecordCheck) -> Result<Ask<views::Check>, Problem> {
    let resource = environment(asked.look.state, &request.environment)?;
    crate::http::routes::allowed(asked.api, asked.look.state, asked.caller, Action::CheckRecord, &resource)?;
    let mut evidence = Vec::new();
    for item in &request.evidence {
        // synced before the event that names it
        let id = tokio::task::block_in_place(|| asked.look.engine.blobs.put(&item.kind, now().0, item.text.as_bytes()));
        let id = id.map_err(|error| Problem::new(Code::StorageUnavailable, error.to_string()).detail(error.remedy()))?;
        evidence.extend(Digest::new(format!("sha256:{id}")).ok());
    }
    let record = RecordCheck {
        id: None,
        environment: request.environment,
        service: request.service,
        check: request.check,
        outcome: request.outcome,
        summary: request.summary,
        set: request.set,
        rollout: request.rollout,
        evidence,
        requirements: request.requirements,
    };
    let (environment, service, name) = (record.environment.clone(), record.service.clone(), record.check.clone());
    let ask = Ask::new(Action::CheckRecord, resource, Command::RecordCheck(record), move |look, events| {
        let recorded = events.iter().find_map(|e| if let Event::CheckRecorded(c) = &e.event { Some(view::check(&c.result)) } else { None });
        let known = || {
            look.state
                .checks
                .iter()
                .filter(|(k, _)| k.environment == environment && k.service == service && k.name == name)
                .map(|(_, r)| r)
                .max_by_key(|r| r.at)
                .map(|r| view::check(r))
        };
        recorded.or_else(known).ok_or_else(|| missing("check", name.clone()))
    });
    Ok(ask.status(201))
}
