//! When a rollout may start, when it is too late, and what comes to an environment by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::actor::Actor;
use crate::decide::{self, Plan, Work};
use crate::decision::Decision;
use crate::deployment::build::Build;
use crate::deployment::deployment::{AwaitedWithdrawal, Deployment, Item, Motive, Urgency};
use crate::deployment::entry::{self, Ask, Entry};
use crate::deployment::environment::Environment;
use crate::deployment::placement::Pair;
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::event::{BuildQuarantined, HoldSet};
use crate::hold::{Hold, Plane, Scope, Stops, Why};
use crate::id::{Digest, HoldId, Name, PlacementKey, RolloutId};
use crate::link::{self, Through};
use crate::refusal::{Reason, ReasonCode};
use crate::release::release::Course;
use crate::state::State;
use crate::time::{At, Span};

/// A target under change that was not seen for this long is out of contact: what became of the change is not known.
const IN_CONTACT: Span = Span::secs(10);

/// The question that [`judge_entry`] answers.
#[allow(clippy::too_many_arguments, reason = "each is a fact of the question, and there are two callers")]
pub(crate) fn ask<'a>(
    state: &State,
    environment: &'a Environment,
    target: &'a Name,
    build: &'a Build,
    rollout: Option<RolloutId>,
    urgency: Urgency,
    automatic: bool,
    by: Actor,
    scope: &'a Digest,
    decisions: &'a [Decision],
    items: &'a [Item],
) -> Ask<'a> {
    let key = PlacementKey { environment: environment.name.clone(), target: target.clone(), service: build.spec.service.clone() };
    let back = state.placements.get(&key).is_some_and(|p| {
        let is = |pair: &Option<Pair>| pair.as_ref().is_some_and(|pair| pair.build == build.digest);
        is(&p.previous) || is(&p.stable)
    });
    Ask { environment, target, build, rollout, urgency, automatic, by, scope, decisions, items, back }
}

/// Entry rules and the link together.
pub(crate) fn judge_entry(state: &State, ask: &Ask<'_>, awaits: &[AwaitedWithdrawal], now: At) -> Entry {
    let mut entry = entry::judge(state, ask, now);
    for awaited in awaits {
        let course = state.releases.get(&awaited.release).and_then(|r| r.environments.get(&awaited.environment)).map(|i| &i.course);
        if let Some(Course::Withdrawing { partial: false, deadline, .. }) = course {
            entry
                .wait
                .push(Reason::new(ReasonCode::Withdrawal, format!("release/{}", awaited.release), format!("release `{}` is being withdrawn", awaited.release)).until(*deadline));
        }
    }
    if ask.urgency == Urgency::Emergency {
        return entry;
    }
    entry.deny.extend(link::released(state, &ask.environment.name, ask.build).filter(|_| ask.urgency == Urgency::Normal && !ask.back));
    for bound in link::would_unmet(state, &ask.environment.name, &ask.build.spec.service, Some(ask.build)) {
        let reason = link::would_unmet_reason(&ask.environment.name, &bound);
        match bound.through {
            Through::Withdrawing => {
                if !entry.wait.iter().any(|r| r.subject == reason.subject && r.code == ReasonCode::Withdrawal) {
                    entry.wait.push(reason);
                }
            }
            // what already serves a need unmet is not made worse; taking it back automatically is never refused
            Through::Claim | Through::Baseline if ask.urgency == Urgency::Automatic => {}
            Through::Claim | Through::Baseline => entry.deny.push(reason),
        }
    }
    entry
}

fn moved(work: &mut Work<'_>, r: &Rollout, to: Step) {
    if !r.step.kind().may_become(to.kind()) {
        return;
    }
    work.push(r.moved(to));
}

pub(super) fn rollout(work: &mut Work<'_>, id: RolloutId) {
    let Some(r) = work.state.rollouts.get(&id).cloned() else { return };
    match &r.step {
        Step::Waiting { reasons, review } => waiting(work, &r, reasons, *review),
        Step::Applying { deadline } | Step::Observing { deadline } | Step::Verifying { deadline } => {
            if *deadline <= work.now {
                overdue(work, &r);
            }
        }
        Step::Live { .. } | Step::Failed { .. } | Step::RolledBack { .. } | Step::Superseded { .. } | Step::Cancelled { .. } | Step::Unknown { .. } => {}
    }
}

/// A deadline without contact leaves the outcome unknown; with contact it is a failure.
fn overdue(work: &mut Work<'_>, r: &Rollout) {
    let placement = work.state.placements.get(&r.key);
    let contact = placement.is_some_and(|p| p.contact_lost.is_none()) && work.seen.0.get(&r.key).is_some_and(|at| work.now.since(*at) <= IN_CONTACT);
    let step = r.step.kind();
    let reason = |text: String| vec![Reason::new(ReasonCode::Invalid, format!("rollout/{}", r.id), text)];
    if contact {
        let why = reason(format!("not live before its deadline: still {step}"));
        moved(work, r, Step::Failed { why: why.clone() });
        after_failure(work, r, &why, false);
    } else {
        moved(work, r, Step::Unknown { since: work.now, why: reason(format!("the deadline passed while {step}, without contact to `{}`", r.key.target)) });
    }
}

fn waiting(work: &mut Work<'_>, r: &Rollout, old: &[Reason], review: At) {
    let Some(deployment) = work.state.deployments.get(&r.deployment).cloned() else { return };
    let (Some(env), Some(build)) = (work.state.environments.get(&r.key.environment).cloned(), work.state.builds.get(&r.build).cloned()) else {
        let why = vec![Reason::new(ReasonCode::NotFound, format!("environment/{}", r.key.environment), "the environment or the build is gone")];
        return moved(work, r, Step::Cancelled { why });
    };
    if !env.target(&r.key.target).is_some_and(|t| t.hosts(&r.key.service)) || !work.state.services.contains_key(&r.key.service) {
        let why = vec![Reason::new(ReasonCode::NotFound, format!("environment/{}", env.name), format!("`{}` does not run `{}` any more", r.key.target, r.key.service))];
        return moved(work, r, Step::Cancelled { why });
    }
    let automatic = matches!(deployment.by, Actor::System(_));
    let ask = ask(&work.state, &env, &r.key.target, &build, Some(r.id), deployment.urgency, automatic, deployment.by, &deployment.scope, &deployment.decisions, &deployment.items);
    let mut entry = judge_entry(&work.state, &ask, &deployment.awaits, work.now);
    let earlier = deployment
        .rollouts
        .iter()
        .filter_map(|id| work.state.rollouts.get(id))
        .find(|o| o.wave < r.wave && o.step.kind() != StepKind::Live && !waits_for(&work.state, &deployment, o, r));
    if let Some(first) = earlier {
        let (target, step) = (&first.key.target, first.step.kind());
        if step.ended() {
            entry.deny.push(Reason::new(ReasonCode::Earlier, format!("target/{target}"), format!("`{target}` goes first (wave before this one) and ended {step}")));
        } else {
            entry.wait.push(Reason::new(ReasonCode::Earlier, format!("target/{target}"), format!("`{target}` goes first (wave before this one)")));
        }
    }
    if !entry.deny.is_empty() {
        return moved(work, r, Step::Cancelled { why: entry.deny });
    }
    if entry.wait.is_empty() {
        // what began to serve since this was asked for goes first: withdrawing touches who waits here, so it is judged again
        let bound = serving_on(&work.state, &env.name, &build, deployment.urgency);
        if !bound.is_empty() {
            if deployment.urgency == Urgency::Automatic && !decide::all_clean(work, &bound) {
                let why = bound.iter().map(|b| link::would_unmet_reason(&env.name, b)).collect();
                return moved(work, r, Step::Cancelled { why });
            }
            decide::withdraw_for(work, &env.name, &bound, None);
            if deployment.urgency == Urgency::Automatic {
                return;
            }
        }
        // what nobody knows the outcome of stands in nobody's way here but an emergency's, which takes its place
        let other = work.state.placements.get(&r.key).and_then(|p| p.active).and_then(|id| work.state.rollouts.get(&id)).cloned();
        if let Some(other) = other {
            let why = vec![Reason::new(ReasonCode::Earlier, format!("placement/{}", r.key), format!("overtaken by deployment #{}", deployment.number))];
            moved(work, &other, Step::Superseded { why });
        }
        let limit = work.state.configs.get(&r.config).map_or(Span::secs(60), |c| c.recipe.deadline());
        return moved(work, r, Step::Applying { deadline: work.now + limit });
    }
    if entry.wait != old || review <= work.now {
        moved(work, r, Step::Waiting { reasons: entry.wait, review: work.now + Span::secs(24 * 3600) });
    }
}

/// Whether `first`, whose wave comes before that of `then`, waits until the service of `then` has come to all targets.
fn waits_for(state: &State, deployment: &Deployment, first: &Rollout, then: &Rollout) -> bool {
    if !matches!(&first.step, Step::Waiting { reasons, .. } if reasons.iter().any(|r| r.code == ReasonCode::Requires)) {
        return false;
    }
    let (mut todo, mut known) = (vec![&first.build], BTreeSet::new());
    while let Some(build) = todo.pop().filter(|build| known.insert(*build)).and_then(|build| state.builds.get(build)) {
        for need in &build.spec.requires {
            if need.service == then.key.service {
                return true;
            }
            todo.extend(deployment.items.iter().filter(|item| item.service == need.service).map(|item| &item.build));
        }
    }
    false
}

/// Releases under which a build that nobody's needs refuse would pull the floor away now.
fn serving_on(state: &State, environment: &Name, build: &Build, urgency: Urgency) -> Vec<link::Bound> {
    match urgency {
        // refused by its entry already
        Urgency::Normal => Vec::new(),
        Urgency::Automatic | Urgency::Emergency => {
            link::would_unmet(state, environment, &build.spec.service, Some(build)).into_iter().filter(|b| b.through != Through::Withdrawing).collect()
        }
    }
}

/// What a failed rollout brings about in the same batch: quarantine, if the build is to be `blamed`, and, where it serves
/// already, a visible hold and the way back. `r` is the rollout as it was before it failed.
pub(crate) fn after_failure(work: &mut Work<'_>, r: &Rollout, why: &[Reason], blamed: bool) {
    let text = why.first().map_or("a rollout failed", |x| x.message.as_str()).to_owned();
    let Some(deployment) = work.state.deployments.get(&r.deployment).cloned() else { return };
    // what takes back is not taken back again, and what a person stops is no verdict on the build
    if deployment.urgency != Urgency::Normal || deployment.motive == Motive::Rollback || r.cancelling {
        return;
    }
    if blamed && work.state.builds.get(&r.build).is_some_and(|b| b.quarantined.is_none()) {
        work.push(BuildQuarantined { service: r.key.service.clone(), build: r.build.clone(), why: text });
    }
    let serves = work.state.placements.get(&r.key).and_then(|p| p.observed.as_ref()).is_some_and(|o| o.serving.contains_key(&r.build));
    if !serves {
        return;
    }
    hold_automation(work, &r.key.environment, &r.key.service);
    let Some(env) = work.state.environments.get(&r.key.environment).cloned() else { return };
    if entry::rolls_back_itself(&work.state, &env) {
        take_back(work, &env, &deployment, r);
    }
}

/// Brings the last good pair of build and configuration back to every place that `failed` has changed. Once.
fn take_back(work: &mut Work<'_>, env: &Environment, failed: &Deployment, r: &Rollout) {
    let under_way = |id: &RolloutId| work.state.rollouts.get(id).and_then(|o| work.state.deployments.get(&o.deployment)).is_some_and(|d| d.undoes == Some(failed.id));
    if work.state.waiting.iter().map(|(_, id)| id).chain(work.state.active.iter()).any(under_way) {
        return;
    }
    let changed = failed
        .rollouts
        .iter()
        .filter_map(|id| work.state.rollouts.get(id))
        .filter(|o| o.key.service == r.key.service && (o.id == r.id || o.step.kind() == StepKind::Live || o.step.kind().holds()));
    let mut restore: BTreeMap<PlacementKey, Pair> =
        changed.filter_map(|o| work.state.placements.get(&o.key)).filter_map(|p| Some((p.key.clone(), p.good_without(&r.build)?.clone()))).collect();
    // no earlier good build, or one that the failed build's schema has left behind: a person is needed
    let Some(back) = restore.get(&r.key).and_then(|pair| work.state.builds.get(&pair.build)).cloned() else { return };
    restore.retain(|_, pair| pair.build == back.digest);
    if work.state.builds.get(&r.build).is_none_or(|b| entry::apart(b, &back).is_some()) {
        return;
    }
    let bound = link::would_unmet(&work.state, &env.name, &r.key.service, Some(&back));
    if !decide::all_clean(work, &bound) {
        return;
    }
    let before = work.mark();
    let mut plan = Plan::new(Motive::Rollback);
    plan.urgency = Urgency::Automatic;
    plan.awaits = decide::withdraw_for(work, &env.name, &bound, None);
    plan.undoes = Some(failed.id);
    plan.only = Some(restore.keys().cloned().collect());
    plan.restore = restore;
    // a refusal leaves the rollout failed, nothing withdrawn and the hold standing: a person is needed
    if decide::request(work, env, &[back], plan).is_err() {
        work.back_to(before);
    }
}

/// A rollback says so: no automation brings the newer build back until a person lifts the hold.
pub(crate) fn hold_automation(work: &mut Work<'_>, environment: &Name, service: &Name) {
    let why = Why::RolledBack { service: service.clone(), environment: environment.clone() };
    if work.state.holds.values().any(|h| h.why == why) {
        return;
    }
    let hold = Hold {
        id: HoldId::new(work.id()),
        number: work.state.numbers.holds + 1,
        scope: Scope { environment: Some(environment.clone()), service: Some(service.clone()), release: None, feature: None },
        plane: Plane::Deploy,
        stops: Stops::Automation,
        why,
        owner: work.actor,
        at: work.now,
        expires: None,
    };
    work.push(HoldSet { hold });
}

/// Whether the build that is verified upstream should come here by itself.
pub(super) fn promotion(work: &mut Work<'_>, environment: &Name, service: &Name) {
    let Some(env) = work.state.environments.get(environment).cloned() else { return };
    if env.spec.after.is_empty() || !entry::promotes_itself(&work.state, &env) {
        return;
    }
    let Some(build) = candidate(&work.state, &env, service) else { return };
    let same = |d: &Digest| *d == build.digest;
    let here: Vec<_> = work.state.placements_of(environment, service).cloned().collect();
    if here.iter().any(|p| p.desired.as_ref().is_some_and(|d| same(&d.build)) || p.stable.as_ref().is_some_and(|d| same(&d.build))) {
        return;
    }
    // what was here, or was tried and did not stay, does not come again by itself, nor does anything older than what runs
    let place = (environment.clone(), build.digest.clone());
    let tried = work.state.tried.contains(&place) || work.state.lived.contains(&place);
    let older = here.iter().any(|p| p.stable.as_ref().and_then(|s| work.state.builds.get(&s.build)).is_some_and(|b| b.sequence > build.sequence));
    if build.quarantined.is_some() || tried || older || asked_by_someone(&work.state, environment, service) {
        return;
    }
    let _ = decide::request(work, &env, &[build], Plan::new(Motive::Promote));
}

/// Whether a person's deployment, or one that takes a build back, waits or is under way there: automation never overtakes it.
fn asked_by_someone(state: &State, environment: &Name, service: &Name) -> bool {
    let here = |id: &RolloutId| {
        state
            .rollouts
            .get(id)
            .filter(|r| r.key.environment == *environment && r.key.service == *service)
            .is_some_and(|r| state.deployments.get(&r.deployment).is_some_and(|d| d.urgency != Urgency::Normal || !matches!(d.by, Actor::System(_))))
    };
    state.waiting_in(environment).any(here) || state.active.iter().any(here)
}

/// The one build that is live and verified on every placement of every environment before `env`.
fn candidate(state: &State, env: &Environment, service: &Name) -> Option<Arc<Build>> {
    let mut found: Option<&Digest> = None;
    for before in &env.spec.after {
        for placement in state.placements_of(before, service) {
            let stable = placement.stable.as_ref().filter(|_| placement.active.is_none() && placement.verified_at.is_some())?;
            if placement.observed.as_ref().and_then(|o| o.build()) != Some(&stable.build) {
                return None;
            }
            if found.is_some_and(|f| *f != stable.build) {
                return None;
            }
            found = Some(&stable.build);
        }
    }
    state.builds.get(found?).cloned()
}
