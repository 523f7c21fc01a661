//! Releases, decisions and holds.

use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::requests::{self, OnRelease};
use greenroom_api::{Problem, views};
use greenroom_domain::actor::Actor;
use greenroom_domain::command::Command;
use greenroom_domain::decision::About;
use greenroom_domain::event::Event;
use greenroom_domain::id::Name;
use greenroom_domain::state::Recorded;

use super::{NoQuery, Paging, missing, page};
use crate::http::Look;
use crate::http::routes::{Ask, Asked, Params, Routes};
use crate::view::{people, release as view};

pub fn routes(routes: Routes) -> Routes {
    routes
        .read("/releases", Action::ReleasesRead, "Releases, newest first", releases)
        .read("/releases/{name}", Action::ReleasesRead, "One release: contents, needs, readiness, decisions", release)
        .command("PUT", "/releases/{name}", "release.plan", "Plan a release, or change its plan; an edit voids decisions", plan)
        .command("POST", "/releases/{name}/start", "release.start", "Start a release, or its next stage", start)
        .command("POST", "/releases/{name}/pause", "release.pause", "Stop growing", pause)
        .command("POST", "/releases/{name}/resume", "release.resume", "Go on growing, or serve again", resume)
        .command("POST", "/releases/{name}/withdraw", "release.withdraw", "Take everything back from users; never refused for a policy's sake", withdraw)
        .command("POST", "/releases/{name}/close", "release.close", "Fold the release into the baseline", close)
        .command("POST", "/releases/{name}/cancel", "release.cancel", "Give up a release that has not started", cancel)
        .command("POST", "/decisions", "decide", "Record a go or no-go on a release or deployment", decide)
        .read("/holds", Action::ReleasesRead, "Holds that stand", holds)
        .command("POST", "/holds", "hold.set", "Stop automation or people, here or everywhere", set_hold)
        .command("POST", "/holds/{number}/lift", "hold.lift", "Lift a hold", lift_hold)
}

fn releases(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Release>, Problem> {
    let look = asked.look;
    let mut all: Vec<_> = look.state.releases.values().collect();
    all.sort_by_key(|r| std::cmp::Reverse(r.number));
    page(all.into_iter().map(|r| view::release(&look, r)), &paging, |r| r.name.to_string())
}

fn release(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<views::Release, Problem> {
    let name: Name = params.get("name")?;
    asked.look.state.releases.get(&name).map(|r| view::release(&asked.look, r)).ok_or_else(|| missing("release", name))
}

fn shown(name: Name) -> impl FnOnce(&Look<'_>, &[Recorded]) -> Result<views::Release, Problem> + Send + 'static {
    move |look, _| look.state.releases.get(&name).map(|r| view::release(look, r)).ok_or_else(|| missing("release", name))
}

fn plan(asked: &Asked<'_>, params: &Params, request: requests::PlanRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    let action = if asked.look.state.releases.contains_key(&name) { Action::ReleaseEdit } else { Action::ReleasePlan };
    Ok(Ask::new(action, Resource::Release, Command::PlanRelease { name: name.clone(), spec: request.spec }, shown(name)))
}

fn start(_: &Asked<'_>, params: &Params, request: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    Ok(Ask::new(Action::ReleaseStart, Resource::Release, Command::StartRelease { name: name.clone(), environment: request.environment, stage: request.stage }, shown(name)))
}

fn pause(_: &Asked<'_>, params: &Params, request: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    let command = Command::PauseRelease { name: name.clone(), environment: request.environment, note: request.note.unwrap_or_default() };
    Ok(Ask::new(Action::ReleasePause, Resource::Release, command, shown(name)))
}

fn resume(_: &Asked<'_>, params: &Params, request: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    Ok(Ask::new(Action::ReleaseResume, Resource::Release, Command::ResumeRelease { name: name.clone(), environment: request.environment }, shown(name)))
}

fn withdraw(_: &Asked<'_>, params: &Params, request: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    let command = Command::WithdrawRelease { name: name.clone(), environment: request.environment, confirm: request.confirm, note: request.note };
    Ok(Ask::new(Action::ReleaseWithdraw, Resource::Release, command, shown(name)))
}

fn close(_: &Asked<'_>, params: &Params, request: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    Ok(Ask::new(Action::ReleaseClose, Resource::Release, Command::CloseRelease { name: name.clone(), environment: request.environment }, shown(name)))
}

fn cancel(_: &Asked<'_>, params: &Params, _: OnRelease) -> Result<Ask<views::Release>, Problem> {
    let name: Name = params.get("name")?;
    Ok(Ask::new(Action::ReleaseCancel, Resource::Release, Command::CancelRelease { name: name.clone() }, shown(name)))
}

fn decide(asked: &Asked<'_>, _: &Params, request: requests::Decide) -> Result<Ask<views::Decision>, Problem> {
    let Actor::Person(by) = asked.caller.actor() else {
        return Err(Problem::new(Code::Forbidden, "only people decide").detail("sign in as a person"));
    };
    let about = request.about.clone();
    let command = Command::Decide { about: request.about, role: request.role, verdict: request.verdict, by, note: request.note, valid_for: request.valid_for };
    let role = request.role;
    let ask = Ask::new(Action::Decide(role), Resource::Any, command, move |look, events| {
        let scope = match &about {
            About::Deployment(id) => look.state.deployments.get(id).map(|d| (d.scope.clone(), vec![d.by])),
            About::Release(name) => look.state.releases.get(name).map(|r| (r.scope.clone(), r.authors.clone())),
        };
        let (scope, authors) = scope.ok_or_else(|| missing("decision", "scope"))?;
        let made = events.iter().find_map(|e| if let Event::DecisionRecorded(d) = &e.event { Some(d.decision.clone()) } else { None });
        let known = || look.state.decisions_of(&about).iter().rev().find(|d| d.by == by && d.role == role).cloned();
        made.or_else(known).map(|d| people::decision(look, &d, &scope, &authors)).ok_or_else(|| missing("decision", "new"))
    });
    Ok(ask.status(201))
}

fn holds(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Hold>, Problem> {
    let look = asked.look;
    page(look.state.holds.values().map(|h| people::hold(&look, h)), &paging, |h| h.id.to_string())
}

fn set_hold(_: &Asked<'_>, _: &Params, request: requests::SetHold) -> Result<Ask<views::Hold>, Problem> {
    let command = Command::SetHold { scope: request.scope, plane: request.plane, stops: request.stops, reason: request.reason.clone(), expires: request.expires };
    let ask = Ask::new(Action::HoldSet, Resource::Any, command, move |look, events| {
        let made = events.iter().find_map(|e| if let Event::HoldSet(h) = &e.event { Some(h.hold.clone()) } else { None });
        let hold = made.ok_or_else(|| missing("hold", "new"))?;
        // the reason is sealed with this very command
        Ok(views::Hold { reason: request.reason, ..people::hold(look, &hold) })
    });
    Ok(ask.status(201))
}

fn lift_hold(asked: &Asked<'_>, params: &Params, _: requests::Nothing) -> Result<Ask<views::Done>, Problem> {
    let text = params.text("number").trim_start_matches('#');
    let found = asked.look.state.holds.values().find(|h| h.number.to_string() == text || h.id.to_string() == text).ok_or_else(|| missing("hold", text))?;
    Ok(Ask::new(Action::HoldLift, Resource::Any, Command::LiftHold { id: found.id }, |look, _| Ok(views::Done { seq: look.state.seq })))
}
