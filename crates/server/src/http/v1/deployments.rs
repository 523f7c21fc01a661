//! Deployments, rollbacks, rollouts and adoption.

use std::sync::Arc;

use greenroom_access::{Action, Resource};
use greenroom_api::{Problem, requests, views};
use greenroom_domain::command::Command;
use greenroom_domain::deployment::deployment::Deployment;
use greenroom_domain::event::Event;
use greenroom_domain::id::{DeploymentId, Name, PlacementKey, RolloutId};
use greenroom_domain::state::{Recorded, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{NoQuery, Paging, environment, missing, page};
use crate::engine::fleet::first_look;
use crate::http::Look;
use crate::http::routes::{Ask, Asked, Params, Routes};
use crate::view::deployment as view;

pub fn routes(routes: Routes) -> Routes {
    routes
        .read("/deployments", Action::DeploymentsRead, "Deployments, newest first", deployments)
        .command("POST", "/deployments", "deployment.request", "Ask for builds to become the running ones in an environment", deploy)
        .read("/deployments/{id}", Action::DeploymentsRead, "One deployment, by id or number", deployment)
        .command("POST", "/deployments/{id}/cancel", "deployment.cancel", "Stop a deployment; finished only when observed", cancel)
        .command("POST", "/rollbacks", "deployment.rollback", "Go back to an earlier build, withdrawing first where asked", rollback)
        .command("POST", "/rollouts/{id}/abandon", "rollout.abandon", "Give up on a rollout whose outcome nobody knows", abandon)
        .command("POST", "/placements/adopt", "deployment.adopt", "Take over what runs already, without deploying", adopt)
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DeploymentsQuery {
    environment: Option<Name>,
    service: Option<Name>,
    /// Only those still under way (or only those over).
    open: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn deployments(asked: &Asked<'_>, _: &Params, query: DeploymentsQuery) -> Result<views::Page<views::Deployment>, Problem> {
    let look = asked.look;
    let wanted = |d: &&Arc<Deployment>| {
        query.environment.as_ref().is_none_or(|e| d.environment == *e)
            && query.service.as_ref().is_none_or(|s| d.items.iter().any(|i| i.service == *s))
            && query.open.is_none_or(|open| d.ended.is_none() == open)
    };
    if let Some(name) = &query.environment {
        environment(look.state, name)?;
    }
    let newest = look.state.by_number.iter().rev().filter_map(|(_, id)| look.state.deployments.get(id));
    // of a service that was removed the deployments stay
    if let Some(name) = query.service.as_ref().filter(|s| !look.state.services.contains_key(*s) && !newest.clone().any(|d| d.items.iter().any(|i| i.service == **s))) {
        return Err(missing("service", name));
    }
    page(newest.filter(wanted).map(|d| view::deployment(&look, d)), &Paging { limit: query.limit, cursor: query.cursor.clone() }, |d| d.id.to_string())
}

fn find(state: &State, params: &Params) -> Result<Arc<Deployment>, Problem> {
    let text = params.text("id").trim_start_matches('#');
    let id: Option<DeploymentId> = text.parse::<u64>().ok().and_then(|n| state.by_number.get(&n).copied()).or_else(|| text.parse().ok());
    id.and_then(|id| state.deployments.get(&id)).cloned().ok_or_else(|| missing("deployment", params.text("id")))
}

fn deployment(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<views::Deployment, Problem> {
    Ok(view::deployment(&asked.look, &*find(asked.look.state, params)?))
}

/// The deployment that a command made, or the one it is about.
fn shown(known: Option<DeploymentId>) -> impl FnOnce(&Look<'_>, &[Recorded]) -> Result<views::Deployment, Problem> + Send + 'static {
    move |look, events| {
        let made = events.iter().find_map(|e| if let Event::DeploymentRequested(d) = &e.event { Some(d.id) } else { None });
        made.or(known).and_then(|id| look.state.deployments.get(&id)).map(|d| view::deployment(look, d)).ok_or_else(|| missing("deployment", "new"))
    }
}

fn deploy(asked: &Asked<'_>, _: &Params, request: requests::Deploy) -> Result<Ask<views::Deployment>, Problem> {
    let resource = environment(asked.look.state, &request.environment)?;
    let command = Command::Deploy { environment: request.environment, builds: request.builds, motive: request.motive, note: request.note };
    Ok(Ask::new(Action::DeploymentRequest, resource, command, shown(None)).status(202))
}

fn cancel(asked: &Asked<'_>, params: &Params, _: requests::Nothing) -> Result<Ask<views::Deployment>, Problem> {
    let found = find(asked.look.state, params)?;
    let resource = environment(asked.look.state, &found.environment)?;
    Ok(Ask::new(Action::DeploymentCancel, resource, Command::CancelDeployment { id: found.id }, shown(Some(found.id))))
}

fn rollback(asked: &Asked<'_>, _: &Params, request: requests::Rollback) -> Result<Ask<views::Deployment>, Problem> {
    let resource = environment(asked.look.state, &request.environment)?;
    let action = if request.emergency { Action::DeploymentEmergency } else { Action::DeploymentRollback };
    let needs_withdraw = request.withdraw_first;
    let command = Command::Rollback {
        environment: request.environment,
        service: request.service,
        to: request.to,
        withdraw_first: request.withdraw_first,
        emergency: request.emergency,
        note: request.note,
    };
    let mut ask = Ask::new(action, resource, command, shown(None)).status(202);
    if needs_withdraw {
        ask.needs.push((Action::ReleaseWithdraw, Resource::Release));
    }
    Ok(ask)
}

fn abandon(asked: &Asked<'_>, params: &Params, _: requests::Nothing) -> Result<Ask<views::Deployment>, Problem> {
    let id: RolloutId = params.get("id")?;
    let rollout = asked.look.state.rollouts.get(&id).ok_or_else(|| missing("rollout", id))?;
    let resource = environment(asked.look.state, &rollout.key.environment)?;
    Ok(Ask::new(Action::RolloutAbandon, resource, Command::AbandonRollout { id }, shown(Some(rollout.deployment))))
}

fn adopt(asked: &Asked<'_>, _: &Params, request: requests::Adopt) -> Result<Ask<views::Done>, Problem> {
    let resource = environment(asked.look.state, &request.environment)?;
    let key = PlacementKey { environment: request.environment, target: request.target, service: request.service };
    let command = Command::Adopt { key: key.clone(), version: request.version, digest: request.digest };
    let mut ask = Ask::new(Action::DeploymentAdopt, resource, command, |look, _| Ok(views::Done { seq: look.state.seq }));
    // only what is seen to run is taken over, and nobody has looked yet where nothing was ever deployed
    let fleet = Arc::clone(&asked.api.fleet);
    ask.before = Some(Box::pin(async move { first_look(&fleet, &key).await }));
    Ok(ask)
}
