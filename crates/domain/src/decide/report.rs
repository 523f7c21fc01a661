//! What drivers and checks report. Matched by operation id; late, repeated or reordered reports change nothing twice.

use super::{Stop, Work};
use crate::command::{RecordCheck, Report};
use crate::deployment::check::{CheckResult, Outcome};
use crate::deployment::placement::Observation;
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::event::{CheckRecorded, ContactLost, ContactRegained, PlacementObserved};
use crate::id::{CheckId, Digest, OperationId, PlacementKey};
use crate::judge::rollouts::after_failure;
use crate::refusal::{Reason, ReasonCode, Refusal};
use crate::time::Span;

/// Time for the checks of one rollout.
const VERIFY: Span = Span::secs(300);

pub(super) fn report(work: &mut Work<'_>, report: &Report) -> Result<(), Stop> {
    match report {
        Report::Observed { key, seen } => observed(work, key, seen)?,
        Report::NoContact { key, since } => {
            if work.state.placements.get(key).is_some_and(|p| p.contact_lost.is_none()) {
                work.push(ContactLost { key: key.clone(), since: *since });
            }
        }
        Report::Contact { key } => {
            if work.state.placements.get(key).is_some_and(|p| p.contact_lost.is_some()) {
                work.push(ContactRegained { key: key.clone() });
            }
        }
        Report::Applied { op } => {
            if let Some(r) = of(work, *op) {
                applied(work, &r);
            }
        }
        Report::Settled { op, seen } => settled(work, *op, seen)?,
        Report::TakenBack { op, why, blamed, seen } => {
            let Some(r) = of(work, *op) else { return Ok(()) };
            observed(work, &r.key, seen)?;
            if r.cancelling {
                moved(work, &r, Step::Cancelled { why: vec![cancelled(&r)] });
                return Ok(());
            }
            let remedy = if *blamed {
                "what served before keeps serving; fix the build and register a new one"
            } else {
                "what served before keeps serving; mend the cause and deploy again"
            };
            let why = vec![Reason::new(ReasonCode::Invalid, format!("rollout/{}", r.id), why.clone()).remedy(remedy)];
            if moved(work, &r, Step::RolledBack { why: why.clone() }) {
                after_failure(work, &r, &why, *blamed);
            }
        }
        Report::Failed { op, why } => {
            let Some(r) = of(work, *op) else { return Ok(()) };
            let why = vec![Reason::new(ReasonCode::Invalid, format!("rollout/{}", r.id), why.clone()).remedy("mend the cause and deploy again")];
            if moved(work, &r, Step::Failed { why: why.clone() }) {
                after_failure(work, &r, &why, false);
            }
        }
        Report::Overtaken { op, why } => {
            if let Some(r) = of(work, *op) {
                moved(work, &r, Step::Superseded { why: vec![Reason::new(ReasonCode::Earlier, format!("rollout/{}", r.id), why.clone())] });
            }
        }
        Report::Stopped { op } => {
            if let Some(r) = of(work, *op).filter(|r| r.cancelling) {
                moved(work, &r, Step::Cancelled { why: vec![cancelled(&r)] });
            }
        }
        Report::Lost { op, why } => {
            if let Some(r) = of(work, *op) {
                let since = work.now;
                moved(work, &r, Step::Unknown { since, why: vec![Reason::new(ReasonCode::Invalid, format!("rollout/{}", r.id), why.clone())] });
            }
        }
    }
    Ok(())
}

fn cancelled(r: &Rollout) -> Reason {
    Reason::new(ReasonCode::WrongState, format!("rollout/{}", r.id), "cancelled by a person; seen stopped")
}

/// From applying, or from an outcome that nobody knew: the target answers again and goes on with the operation.
fn applied(work: &mut Work<'_>, r: &Rollout) {
    let limit = work.state.configs.get(&r.config).map_or(Span::secs(60), |c| c.recipe.deadline());
    match r.step.kind() {
        StepKind::Applying => {
            let deadline = r.step.due().unwrap_or(work.now);
            moved(work, r, Step::Observing { deadline });
        }
        StepKind::Unknown => {
            let deadline = work.now + limit;
            moved(work, r, Step::Observing { deadline });
        }
        _ => {}
    }
}

fn of(work: &Work<'_>, op: OperationId) -> Option<Rollout> {
    work.state.rollouts.get(&op.rollout).filter(|r| r.op() == op && r.step.kind().holds()).map(|r| Rollout::clone(r))
}

fn moved(work: &mut Work<'_>, r: &Rollout, to: Step) -> bool {
    let from = r.step.kind();
    let allowed = from.may_become(to.kind());
    if allowed {
        work.push(r.moved(to));
    }
    allowed
}

/// Only a change of what is seen is an event: an idle fleet writes none.
fn observed(work: &mut Work<'_>, key: &PlacementKey, seen: &Observation) -> Result<(), Stop> {
    // a late word about a target that was taken out of its environment
    let hosted = work.state.environments.get(&key.environment).and_then(|e| e.target(&key.target)).is_some_and(|t| t.hosts(&key.service));
    if !hosted || !work.state.services.contains_key(&key.service) {
        return Ok(());
    }
    let known = work.state.placements.get(key).cloned();
    if known.as_ref().is_some_and(|p| p.contact_lost.is_some()) {
        work.push(ContactRegained { key: key.clone() });
    }
    // nothing was ever there and nothing is: not worth a word
    let nothing_yet = seen.serving.is_empty() && known.as_ref().is_none_or(|p| p.observed.is_none());
    if nothing_yet || known.is_some_and(|p| p.observed.as_ref() == Some(seen)) {
        return Ok(());
    }
    for digest in seen.serving.keys() {
        work.build_of(digest)?;
    }
    work.push(PlacementObserved { key: key.clone(), seen: seen.clone() });
    Ok(())
}

fn settled(work: &mut Work<'_>, op: OperationId, seen: &Observation) -> Result<(), Stop> {
    let Some(r) = of(work, op) else { return Ok(()) };
    observed(work, &r.key, seen)?;
    if r.step.kind() == StepKind::Applying {
        applied(work, &r);
    }
    let Some(r) = of(work, op) else { return Ok(()) };
    if matches!(r.step.kind(), StepKind::Observing | StepKind::Unknown) && seen.build() == Some(&r.build) {
        let deadline = work.now + VERIFY;
        moved(work, &r, Step::Verifying { deadline });
        finish_verifying(work, op);
    }
    Ok(())
}

/// Live once every check that the service has for this purpose has passed for this rollout.
fn finish_verifying(work: &mut Work<'_>, op: OperationId) {
    let Some(r) = of(work, op).filter(|r| r.step.kind() == StepKind::Verifying) else { return };
    let (Some(env), Some(service)) = (work.state.environments.get(&r.key.environment), work.state.services.get(&r.key.service)) else { return };
    let done = service.spec.checks.iter().filter(|c| c.purposes.contains(&env.spec.purpose)).all(|c| r.checks.get(&c.name).is_some_and(|result| result.outcome == Outcome::Pass));
    if done {
        let at = work.now;
        moved(work, &r, Step::Live { at });
    }
}

pub(super) fn check(work: &mut Work<'_>, check: &RecordCheck) -> Result<(), Stop> {
    let Some(env) = work.state.environments.get(&check.environment).cloned() else { return Err(Refusal::not_found("environment", &check.environment).into()) };
    let Some(service) = work.state.services.get(&check.service).cloned() else { return Err(Refusal::not_found("service", &check.service).into()) };
    let Some(spec) = service.spec.checks.iter().find(|c| c.name == check.check) else { return Err(Refusal::not_found("check", &check.check).into()) };
    let mut bound = if check.set.is_empty() { work.state.observed_set(&env.name) } else { check.set.clone() };
    let rollout = check.rollout.and_then(|id| work.state.rollouts.get(&id)).cloned();
    let (build, changed) = match &rollout {
        // while targets change one after another, what is checked is what runs where this rollout is: its own build, or
        // else nothing was checked that says anything about it
        Some(r) => {
            let here = work.state.placements.get(&r.key).and_then(|p| p.observed.as_ref()).and_then(|o| o.build());
            let other = |build: Option<&Digest>| build.is_some_and(|build| *build != r.build);
            (r.build.clone(), other(here) || other(check.set.get(&service.name)) || check.outcome == Outcome::Pass && here.is_none())
        }
        None => {
            let runs = work.state.observed_set(&env.name).get(&service.name).cloned();
            let Some(build) = bound.get(&service.name).or(runs.as_ref()).cloned() else {
                return Err(Refusal::conflict(
                    ReasonCode::WrongState,
                    format!("service/{}", check.service),
                    format!("no single build of `{}` is observed in `{}`", check.service, env.name),
                    "deploy it first",
                )
                .into());
            };
            // a build that is no longer what runs was not checked to the end
            let changed = check.outcome == Outcome::Pass && runs.as_ref() != Some(&build);
            (build, changed)
        }
    };
    bound.insert(service.name.clone(), build.clone());
    let (outcome, summary) = if changed && check.outcome.judged() {
        (Outcome::Inconclusive, format!("what runs in `{}` changed while it was checked", env.name))
    } else {
        (check.outcome, check.summary.chars().take(500).collect::<String>())
    };
    // what it has said already, it need not say again
    if rollout.is_some_and(|r| r.checks.get(&spec.name).is_some_and(|said| said.outcome == outcome)) {
        return Ok(());
    }
    let requirements = if check.requirements.is_empty() { spec.requirements.clone() } else { check.requirements.clone() };
    let id = check.id.unwrap_or_else(|| CheckId::new(work.id()));
    let result = CheckResult {
        id,
        environment: env.name.clone(),
        service: service.name.clone(),
        name: spec.name.clone(),
        kind: spec.kind,
        outcome,
        set: bound,
        rollout: check.rollout,
        requirements,
        evidence: check.evidence.clone(),
        summary: summary.clone(),
        at: work.now,
    };
    work.build_of(&build)?;
    work.push(CheckRecorded { result, deployment: None });
    let verified = check.rollout.and_then(|id| work.state.rollouts.get(&id)).filter(|r| r.step.kind() == StepKind::Verifying);
    let Some(r) = verified.map(|r| Rollout::clone(r)) else { return Ok(()) };
    match outcome {
        Outcome::Pass => finish_verifying(work, r.op()),
        Outcome::Fail => {
            let why = vec![Reason::new(ReasonCode::Evidence, format!("check/{}", spec.name), format!("check `{}` failed: {summary}", spec.name))];
            if moved(work, &r, Step::Failed { why: why.clone() }) {
                after_failure(work, &r, &why, true);
            }
        }
        // could not be judged: asked again until the deadline, and never counted as a pass
        Outcome::Inconclusive | Outcome::Error => {}
    }
    Ok(())
}
