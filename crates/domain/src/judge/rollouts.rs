//! When a rollout may start, when it is too late, and what comes to an environment by itself.

use std::sync::Arc;

use crate::actor::Actor;
use crate::decide::{self, Plan, Work};
use crate::decision::Decision;
use crate::deployment::build::Build;
use crate::deployment::deployment::{AwaitedWithdrawal, Motive, Urgency};
use crate::deployment::entry::{self, Ask, Entry};
use crate::deployment::environment::Environment;
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::event::{BuildQuarantined, HoldSet, RolloutMoved};
use crate::hold::{Hold, Plane, Scope, Stops, Why};
use crate::id::{Digest, HoldId, Name, PlacementKey, RolloutId};
use crate::link::{self, Through};
use crate::refusal::{Reason, ReasonCode};
use crate::release::release::Course;
use crate::state::State;
use crate::time::{At, Span};

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
) -> Ask<'a> {
    let key = PlacementKey { environment: environment.name.clone(), target: target.clone(), service: build.spec.service.clone() };
    let back = state.placements.get(&key).is_some_and(|p| {
        let is = |pair: &Option<crate::deployment::placement::Pair>| pair.as_ref().is_some_and(|pair| pair.build == build.digest);
        is(&p.previous) || is(&p.stable)
    });
    Ask { environment, target, build, rollout, urgency, automatic, by, scope, decisions, back }
}

/// Entry rules and the link together.
pub(crate) fn judge_entry(state: &State, ask: &Ask<'_>, awaits: &[AwaitedWithdrawal], now: At) -> Entry {
    let mut entry = entry::judge(state, ask, now);
    for awaited in awaits {
        let course = state.releases.get(&awaited.release).and_then(|r| r.environments.get(&awaited.environment)).map(|i| &i.course);
        if let Some(Course::Withdrawing { partial: false, deadline, .. }) = course {
            entry.wait.push(
                Reason::new(ReasonCode::Withdrawal, format!("release/{}", awaited.release), format!("release `{}` is being withdrawn", awaited.release)).until(*deadline),
            );
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
    work.push(RolloutMoved { rollout: r.id, deployment: r.deployment, key: r.key.clone(), from: r.step.kind(), to, op: r.op() });
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
    let contact = placement.is_some_and(|p| p.contact_lost.is_none()) && work.seen.0.get(&r.key).is_some_and(|at| work.now.since(*at) <= link::FRESH);
    let step = r.step.kind();
    let reason = |text: String| vec![Reason::new(ReasonCode::Invalid, format!("rollout/{}", r.id), text)];
    if contact {
        let why = reason(format!("not live before its deadline: still {step}"));
        moved(work, r, Step::Failed { why: why.clone() });
        after_failure(work, r, &why, step == StepKind::Verifying);
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
    let automatic = matches!(deployment.by, Actor::System(_));
    let ask = ask(&work.state, &env, &r.key.target, &build, Some(r.id), deployment.urgency, automatic, deployment.by, &deployment.scope, &deployment.decisions);
    let mut entry = judge_entry(&work.state, &ask, &deployment.awaits, work.now);
    let earlier = deployment
        .rollouts
        .iter()
        .filter_map(|id| work.state.rollouts.get(id))
        .filter(|o| o.wave < r.wave && o.step.kind() != StepKind::Live)
        .map(|o| o.key.target.clone())
        .next();
    if let Some(target) = earlier {
        entry.wait.push(Reason::new(ReasonCode::Earlier, format!("target/{target}"), format!("`{target}` goes first (wave before this one)")));
    }
    if !entry.deny.is_empty() {
        return moved(work, r, Step::Cancelled { why: entry.deny });
    }
    if entry.wait.is_empty() {
        let limit = work.state.configs.get(&r.config).map_or(Span::secs(60), |c| c.recipe.deadline());
        return moved(work, r, Step::Applying { deadline: work.now + limit });
    }
    if entry.wait != old || review <= work.now {
        moved(work, r, Step::Waiting { reasons: entry.wait, review: work.now + Span::secs(24 * 3600) });
    }
}

/// What a failed rollout brings about in the same batch: quarantine, a visible hold and, where the new build serves
/// already, the way back.
pub(crate) fn after_failure(work: &mut Work<'_>, r: &Rollout, why: &[Reason], serves: bool) {
    let text = why.first().map_or("a rollout failed", |x| x.message.as_str()).to_owned();
    let Some(deployment) = work.state.deployments.get(&r.deployment).cloned() else { return };
    // once per deployment, and what takes back is not taken back again
    if deployment.urgency != Urgency::Normal || deployment.motive == Motive::Rollback {
        return;
    }
    if work.state.builds.get(&r.build).is_some_and(|b| b.quarantined.is_none()) {
        work.push(BuildQuarantined { service: r.key.service.clone(), build: r.build.clone(), why: text });
    }
    let Some(env) = work.state.environments.get(&r.key.environment).cloned() else { return };
    if !serves {
        return;
    }
    hold_automation(work, &r.key.environment, &r.key.service);
    if !entry::rolls_back_itself(&work.state, &env) {
        return;
    }
    let Some(placement) = work.state.placements.get(&r.key).cloned() else { return };
    // no earlier good build, or the very same one again: failed, held, and a person is needed
    let Some(pair) = placement.stable.clone().filter(|p| p.build != r.build) else { return };
    let Some(build) = work.state.builds.get(&pair.build).cloned() else { return };
    let bound = link::would_unmet(&work.state, &env.name, &r.key.service, Some(&build));
    if !decide::all_clean(work, &bound) {
        return;
    }
    let Ok(awaits) = decide::withdraw_for(work, &env.name, &bound, None) else { return };
    let mut plan = Plan::new(Motive::Rollback);
    plan.urgency = Urgency::Automatic;
    plan.awaits = awaits;
    plan.undoes = Some(deployment.id);
    plan.restore.insert(r.key.clone(), pair);
    // a refusal here leaves the rollout failed and the hold standing: a person is needed
    let _ = decide::request(work, &env, &[build], plan);
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
    // what was tried here and did not stay is not tried again by itself, nor is anything older than what runs
    let tried = work.state.tried.contains(&(environment.clone(), build.digest.clone()));
    let older = here.iter().any(|p| p.stable.as_ref().and_then(|s| work.state.builds.get(&s.build)).is_some_and(|b| b.sequence > build.sequence));
    if build.quarantined.is_some() || tried || older {
        return;
    }
    let _ = decide::request(work, &env, &[build], Plan::new(Motive::Promote));
}

/// The one build that is live and verified on every placement of every environment before `env`.
fn candidate(state: &State, env: &Environment, service: &Name) -> Option<Arc<Build>> {
    let mut found: Option<&Digest> = None;
    for before in &env.spec.after {
        for placement in state.placements_of(before, service) {
            let stable = placement.stable.as_ref().filter(|_| placement.active.is_none() && placement.verified_at.is_some())?;
            if found.is_some_and(|f| *f != stable.build) {
                return None;
            }
            found = Some(&stable.build);
        }
    }
    state.builds.get(found?).cloned()
}
