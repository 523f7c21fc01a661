//! Releases, features, decisions and holds, as people ask for them.

use super::{Stop, Work};
use crate::decision::{About, Decision, Verdict};
use crate::deployment::entry;
use crate::deployment::policy::WithdrawalRule;
use crate::event::{
    BaselineRestored, DecisionRecorded, FeatureKilled, FeatureRestored, HoldLifted, HoldSet, KillEffective, KillPartial, ReleaseCancelled, ReleaseClosed, ReleasePaused,
    ReleaseRefused, ReleaseResumed, ReleaseWithdrawing, ReleaseWithdrawn, WithdrawalPartial,
};
use crate::hold::{Hold, Plane, Scope, Stops, Why};
use crate::id::{DecisionId, FeatureKey, HoldId, Name, PersonId};
use crate::judge::releases as judge;
use crate::link::Through;
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::plan::{ReleaseFeature, WithdrawSafety};
use crate::release::release::{Course, CourseKind, Release};
use crate::role::Role;
use crate::time::{At, Span};
use crate::withdrawal::Withdrawn;

/// A decision counts this long unless it says otherwise.
const DECISION_VALID: Span = Span::secs(7 * 24 * 3600);

fn find(work: &Work<'_>, name: &Name) -> Result<Release, Stop> {
    work.release(name)?.map(|r| Release::clone(&r)).ok_or_else(|| Refusal::not_found("release", name).into())
}

/// The environments that a command on a release means.
fn chosen(release: &Release, environment: Option<&Name>) -> Result<Vec<Name>, Refusal> {
    match environment {
        Some(e) if release.environments.contains_key(e) => Ok(vec![e.clone()]),
        Some(e) => Err(Refusal::invalid(format!("release/{}", release.name), format!("the release does not name environment `{e}`"), "name one of its environments")),
        None => Ok(release.environments.keys().cloned().collect()),
    }
}

fn wrong_state(release: &Release, environment: &Name, wanted: &str, remedy: &str) -> Refusal {
    let kind = release.environments.get(environment).map_or(CourseKind::Draft, |i| i.course.kind());
    Refusal::conflict(
        ReasonCode::WrongState,
        format!("release/{}", release.name),
        format!("release `{}` is {kind} in `{environment}`: it cannot be {wanted}", release.name),
        remedy,
    )
}

/// Does `one` in every environment that the command means. Named, an environment in a state that does not fit is a
/// refusal; without a name it is passed over, as long as there is one that fits.
fn each(release: &Release, environment: Option<&Name>, wanted: &str, remedy: &str, mut one: impl FnMut(&Name, &Course) -> Result<bool, Stop>) -> Result<(), Stop> {
    let mut any = false;
    let mut unfit = None;
    for name in chosen(release, environment)? {
        let Some(inside) = release.environments.get(&name) else { continue };
        if one(&name, &inside.course)? {
            any = true;
        } else if unfit.is_none() {
            unfit = Some(wrong_state(release, &name, wanted, remedy));
        }
    }
    match unfit {
        Some(refusal) if !any => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// Starts a planned release, or goes to the next stage of one under way. Who names neither environment nor stage starts
/// what has not begun yet, where there is any; only then does what is under way grow. A stage that is named must be next.
pub(super) fn start(work: &mut Work<'_>, name: &Name, environment: Option<&Name>, stage: Option<u32>) -> Result<(), Stop> {
    let release = find(work, name)?;
    let begins = environment.is_none() && stage.is_none() && release.environments.values().any(|i| matches!(i.course, Course::Planned | Course::Armed));
    let wanted = stage.map_or_else(|| "started".to_owned(), |stage| format!("brought to stage {stage} now"));
    each(&release, environment, &wanted, &format!("see how far it is: greenroom release show {name}"), |environment, course| {
        let grow = |work: &Work<'_>| Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, environment, work.now, work.seen, work.automatic()));
        match course {
            Course::Planned | Course::Armed if stage.is_none_or(|wanted| wanted == 1) => {
                grow(work)?;
                judge::begin(work, &release, environment)?;
            }
            Course::Exposing { stage: at, .. } if !begins && *at > 0 && *at < release.last_stage() && stage.is_none_or(|wanted| wanted == at + 1) => {
                grow(work)?;
                judge::advance(work, name, environment, at + 1);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}

pub(super) fn pause(work: &mut Work<'_>, name: &Name, environment: Option<&Name>, note: &str) -> Result<(), Stop> {
    let release = find(work, name)?;
    each(&release, environment, "paused", "only what is being exposed can be paused", |environment, course| {
        match course.kind() {
            CourseKind::Exposing | CourseKind::Exposed => {
                let text = if note.is_empty() { "paused by a person".to_owned() } else { format!("paused by a person: {}", note.chars().take(200).collect::<String>()) };
                let why = vec![Reason::new(ReasonCode::Hold, format!("release/{name}"), text).remedy(format!("greenroom release resume {name}"))];
                work.push(ReleasePaused { name: name.clone(), environment: environment.clone(), off: false, why, features: Vec::new() });
            }
            CourseKind::Paused => {}
            CourseKind::Armed => disarm(work, name, environment, "paused"),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// What was about to start by itself does not, once a person has stopped the release: it waits for a person.
fn disarm(work: &mut Work<'_>, name: &Name, environment: &Name, done: &str) {
    let reasons = vec![
        Reason::new(ReasonCode::Hold, format!("release/{name}"), format!("the release was {done} by a person before it started in `{environment}`"))
            .remedy(format!("greenroom release start {name} --env {environment}, or plan it anew")),
    ];
    work.push(ReleaseRefused { name: name.clone(), environment: environment.clone(), wanted: "start".to_owned(), reasons, features: Vec::new() });
}

/// Serving again, or growing again, asks what starting asks.
pub(super) fn resume(work: &mut Work<'_>, name: &Name, environment: Option<&Name>) -> Result<(), Stop> {
    let release = find(work, name)?;
    each(&release, environment, "resumed", "only what is paused can be resumed", |environment, course| {
        match course {
            Course::Paused { .. } => {
                Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, environment, work.now, work.seen, work.automatic()))?;
                work.push(ReleaseResumed { name: name.clone(), environment: environment.clone(), features: Vec::new() });
                judge::finish_if_last(work, name, environment);
            }
            Course::Closed { .. } if release.spec.features.iter().any(|f| blocked(work, f, name, environment)) => {
                Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, environment, work.now, work.seen, work.automatic()))?;
                work.push(BaselineRestored { release: name.clone(), environment: environment.clone(), features: Vec::new() });
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Whether the entry that a closed release left in the baseline was taken off.
fn blocked(work: &Work<'_>, item: &ReleaseFeature, release: &Name, environment: &Name) -> bool {
    let baseline = work.state.features.get(&item.key).and_then(|f| f.baselines.get(environment));
    baseline.is_some_and(|b| b.entries.iter().any(|e| e.release.as_ref() == Some(release) && e.off.is_some()))
}

/// R1: shrinking is never refused for a policy's sake. Only what is not `clean` asks for a confirmation first.
pub(super) fn withdraw(work: &mut Work<'_>, name: &Name, environment: Option<&Name>, confirm: bool, note: Option<&str>) -> Result<(), Stop> {
    let release = find(work, name)?;
    let delicate: Vec<_> = release.spec.features.iter().filter(|f| f.withdraw_safety != WithdrawSafety::Clean).map(|f| f.key.to_string()).collect();
    if !delicate.is_empty() && !confirm {
        return Err(Refusal::one(
            RefusalKind::Refused,
            Reason::new(ReasonCode::ConfirmRequired, format!("release/{name}"), format!("{} cannot simply be taken back", delicate.join(", ")))
                .remedy("look at the preview (--dry-run), then repeat with --confirm"),
        )
        .into());
    }
    let mut any = false;
    for environment in chosen(&release, environment)? {
        let Some(inside) = release.environments.get(&environment) else { continue };
        match inside.course.kind() {
            CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused | CourseKind::Closed => {
                any = true;
                begin_withdrawal(work, name, &environment, note);
            }
            CourseKind::Withdrawing | CourseKind::Withdrawn => any = true,
            CourseKind::Armed => {
                any = true;
                disarm(work, name, &environment, "withdrawn");
            }
            CourseKind::Draft | CourseKind::Planned | CourseKind::Cancelled => {}
        }
    }
    if any {
        return Ok(());
    }
    Err(Refusal::conflict(
        ReasonCode::WrongState,
        format!("release/{name}"),
        format!("release `{name}` has not started: nobody is served through it"),
        "greenroom release cancel takes it off the list",
    )
    .into())
}

pub(super) fn begin_withdrawal(work: &mut Work<'_>, name: &Name, environment: &Name, note: Option<&str>) {
    let note = note.map(|n| work.seal(n));
    let WithdrawalRule { acknowledged: share, deadline } = entry::withdrawal_rule(&work.state, environment);
    work.push(ReleaseWithdrawing { name: name.clone(), environment: environment.clone(), deadline: work.now + deadline, share, note, features: Vec::new() });
}

/// `counted`: evaluators in contact, and those of them that have acknowledged.
pub(super) fn report_withdrawal(work: &mut Work<'_>, what: &Withdrawn, environment: &Name, seq: u64, counted: (u64, u64), laggards: &[String], effective: bool) {
    let mut open = match what {
        Withdrawn::Release(name) => work.state.releases.get(name).into_iter().flat_map(|r| r.withdrawals()).collect::<Vec<_>>(),
        Withdrawn::Feature(key) => work.state.features.get(key).into_iter().flat_map(|f| f.withdrawals()).collect(),
    };
    open.retain(|w| w.environment == *environment && w.seq == seq);
    let Some(open) = open.pop() else { return };
    let (environment, (in_contact, acknowledged)) = (open.environment, counted);
    // so many stand in the ledger by name; the rest is in the numbers
    let named = || laggards.iter().take(100).cloned().collect();
    match open.what {
        Withdrawn::Release(name) if effective => work.push(ReleaseWithdrawn { name, environment, in_contact, acknowledged, effective: work.now, features: Vec::new() }),
        Withdrawn::Feature(feature) if effective => work.push(KillEffective { feature, environment, in_contact, acknowledged }),
        _ if open.partial => {}
        Withdrawn::Release(name) => work.push(WithdrawalPartial { name, environment, in_contact, acknowledged, laggards: named(), features: Vec::new() }),
        Withdrawn::Feature(feature) => work.push(KillPartial { feature, environment, in_contact, acknowledged, laggards: named() }),
    }
}

pub(super) fn close(work: &mut Work<'_>, name: &Name, environment: Option<&Name>) -> Result<(), Stop> {
    let release = find(work, name)?;
    each(&release, environment, "closed", "close a release once it is exposed to everyone it is for", |environment, course| {
        match course.kind() {
            CourseKind::Exposed => work.push(ReleaseClosed { name: name.clone(), environment: environment.clone(), features: Vec::new() }),
            CourseKind::Closed => {}
            _ => return Ok(false),
        }
        Ok(true)
    })
}

pub(super) fn cancel(work: &mut Work<'_>, name: &Name) -> Result<(), Stop> {
    let release = find(work, name)?;
    for (environment, inside) in &release.environments {
        match inside.course.kind() {
            CourseKind::Draft | CourseKind::Planned | CourseKind::Armed | CourseKind::Withdrawn => {
                work.push(ReleaseCancelled { name: name.clone(), environment: environment.clone(), features: Vec::new() });
            }
            CourseKind::Cancelled => {}
            CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused | CourseKind::Withdrawing | CourseKind::Closed => {
                return Err(wrong_state(&release, environment, "cancelled", &format!("greenroom release withdraw {name}")).into());
            }
        }
    }
    Ok(())
}

pub(super) fn feature_in(work: &Work<'_>, feature: &FeatureKey, environment: &Name) -> Result<std::sync::Arc<crate::release::feature::Feature>, Refusal> {
    if !work.state.environments.contains_key(environment) {
        return Err(Refusal::not_found("environment", environment));
    }
    work.state.features.get(feature).cloned().ok_or_else(|| Refusal::not_found("feature", feature))
}

/// Never refused for a policy's sake (R1).
pub(super) fn kill(work: &mut Work<'_>, feature: &FeatureKey, environment: &Name, reason: &str) -> Result<(), Refusal> {
    let found = feature_in(work, feature, environment)?;
    if found.kills.contains_key(environment) {
        return Ok(());
    }
    let silenced = work
        .state
        .releases
        .values()
        .filter(|r| r.spec.features.iter().any(|f| f.key == *feature) && crate::link::binds(&work.state, r, environment).is_some())
        .map(|r| r.name.clone())
        .collect();
    let reason = work.seal(reason);
    let WithdrawalRule { acknowledged: share, deadline } = entry::withdrawal_rule(&work.state, environment);
    let deadline = Some(work.now + deadline);
    work.push(FeatureKilled { feature: feature.clone(), environment: environment.clone(), silenced, reason, deadline, share });
    Ok(())
}

/// Lifting a kill is growing: it needs what every release needs that would serve the feature then, whether it did when
/// the feature was killed or started since.
pub(super) fn restore(work: &mut Work<'_>, feature: &FeatureKey, environment: &Name) -> Result<(), Refusal> {
    let found = feature_in(work, feature, environment)?;
    let Some(kill) = found.kills.get(environment) else { return Ok(()) };
    let mut reasons = Vec::new();
    let concerns = |r: &Release| kill.silenced.contains(&r.name) || r.spec.features.iter().any(|f| f.key == *feature);
    let serves = |r: &Release| matches!(crate::link::binds(&work.state, r, environment), Some((Through::Claim | Through::Baseline, _)));
    for release in work.state.releases.values().filter(|r| concerns(r) && serves(r)) {
        // every feature of the release may be killed; lifting one by one must be possible
        let killed = |r: &Reason| r.code == ReasonCode::Hold && r.subject.starts_with("feature/");
        for reason in judge::growth(&work.state, release, environment, work.now, work.seen, work.automatic()) {
            if !killed(&reason) && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    work.push(FeatureRestored { feature: feature.clone(), environment: environment.clone() });
    Ok(())
}

pub(super) fn record_decision(work: &mut Work<'_>, about: &About, role: Role, verdict: Verdict, by: PersonId, note: Option<&str>, valid_for: Option<Span>) -> Result<(), Stop> {
    let scope = match about {
        About::Deployment(id) => {
            let d = work.deployment(*id)?;
            if d.ended.is_some() {
                return Err(Refusal::conflict(ReasonCode::WrongState, format!("deployment/{id}"), format!("deployment #{} is over", d.number), "there is nothing to decide").into());
            }
            d.scope.clone()
        }
        About::Release(name) => {
            let release = find(work, name)?;
            // a closed one does: lifting a kill asks for them
            if release.environments.values().all(|i| matches!(i.course.kind(), CourseKind::Cancelled | CourseKind::Withdrawn | CourseKind::Draft)) {
                return Err(
                    Refusal::conflict(ReasonCode::WrongState, format!("release/{name}"), "a draft, withdrawn or cancelled release takes no decision", "plan it first").into()
                );
            }
            release.scope
        }
    };
    let again = work.state.decisions_of(about).iter().rev().find(|d| d.by == by && d.role == role);
    if again.is_some_and(|d| d.scope == scope && d.verdict == verdict && d.expires > work.now) {
        return Ok(());
    }
    let id = DecisionId::new(work.id());
    let note = note.map(|n| work.seal(n));
    let expires = work.now + valid_for.unwrap_or(DECISION_VALID);
    work.push(DecisionRecorded { decision: Decision { id, about: about.clone(), role, verdict, by, scope, note, at: work.now, expires } });
    Ok(())
}

pub(super) fn set_hold(work: &mut Work<'_>, scope: &Scope, plane: Plane, stops: Stops, reason: &str, expires: Option<At>) -> Result<(), Stop> {
    if let Some(name) = &scope.release {
        find(work, name)?;
    }
    let state = &work.state;
    let unknown = [
        scope.environment.as_ref().filter(|n| !state.environments.contains_key(*n)).map(|n| ("environment", n.to_string())),
        scope.service.as_ref().filter(|n| !state.services.contains_key(*n)).map(|n| ("service", n.to_string())),
        scope.feature.as_ref().filter(|n| !state.features.contains_key(*n)).map(|n| ("feature", n.to_string())),
    ];
    if let Some((kind, name)) = unknown.into_iter().flatten().next() {
        return Err(Refusal::not_found(kind, name).into());
    }
    if expires.is_some_and(|e| e <= work.now) {
        return Err(
            Refusal::one(RefusalKind::Invalid, Reason::new(ReasonCode::InThePast, "hold", "the hold would have expired already").remedy("give a time in the future")).into()
        );
    }
    let hold = Hold {
        id: HoldId::new(work.id()),
        number: work.state.numbers.holds + 1,
        scope: scope.clone(),
        plane,
        stops,
        why: Why::Said(work.seal(reason)),
        owner: work.actor,
        at: work.now,
        expires,
    };
    work.push(HoldSet { hold });
    Ok(())
}

pub(super) fn lift_hold(work: &mut Work<'_>, id: HoldId) -> Result<(), Refusal> {
    if !work.state.holds.contains_key(&id) {
        return Err(Refusal::not_found("hold", id));
    }
    work.push(HoldLifted { id, scope: None, because: None });
    Ok(())
}
