//! When a release starts, grows, stops or is taken off by itself.

use crate::decide::Work;
use crate::decision;
use crate::deployment::entry::decision_reason;
use crate::event::{BaselineBlocked, NeedContradicted, NeedRestored, ReleaseArmed, ReleaseExposed, ReleasePaused, ReleaseRefused, ReleaseStageStarted, WithdrawalPartial};
use crate::hold::Plane;
use crate::id::Name;
use crate::link;
use crate::refusal::{Reason, ReasonCode, Refusal, argument};
use crate::release::plan::Mode;
use crate::release::release::{Course, CourseKind, Release};
use crate::state::State;
use crate::time::{At, Span};

/// The publisher says at the deadline who has not acknowledged; if it does not, nobody is known to have.
const UNHEARD: Span = Span::secs(2);

/// After a start of its own Greenroom has not looked at the fleet yet; what is due meanwhile waits this long for it.
const UNSEEN: Span = Span::secs(120);

/// Whether what was due at `due` waits for the fleet to be looked at: until then not every reason is known.
fn unseen_yet(reasons: &[Reason], due: At, now: At) -> bool {
    now < due + UNSEEN && reasons.iter().any(|r| r.code == ReasonCode::NeedStale)
}

/// The moments at which time alone changes something about `release`, in any environment.
pub(crate) fn deadlines(release: &Release) -> impl Iterator<Item = At> + '_ {
    release.environments.values().flat_map(|inside| {
        let course = match &inside.course {
            Course::Armed => match release.spec.mode {
                Mode::Scheduled(at) => [Some(at), Some(at + UNSEEN)],
                Mode::OnDeploy => [release.spec.expires, None],
                Mode::Manual => [None, None],
            },
            Course::Exposing { stage, since } => {
                let end = dwell_ends(release, *stage, *since);
                [end, end.map(|end| end + UNSEEN)]
            }
            Course::Withdrawing { deadline, partial: false, .. } => [Some(*deadline + UNHEARD), None],
            _ => [None, None],
        };
        course.into_iter().flatten().chain(inside.contradicted.values().map(|since| *since + link::UNMET_AFTER))
    })
}

fn dwell_ends(release: &Release, stage: u32, since: At) -> Option<At> {
    let index = usize::try_from(stage).ok()?.checked_sub(1)?;
    release.spec.stages.get(index)?.dwell.map(|dwell| since + dwell)
}

/// What stands in the way of starting or growing `release` in `environment` now: needs, decisions, holds, kills, and
/// claims that say otherwise. Asked when a person asks, and again whenever something fires (R2).
#[must_use]
pub fn growth(state: &State, release: &Release, environment: &Name, now: At, seen: &link::Seen, automatic: bool) -> Vec<Reason> {
    let mut reasons = decisions(state, release, now);
    reasons.extend(holds(state, release, environment, now, automatic));
    // unflagged builds come with the start itself: until the first stage only what they do not bring must hold
    let before_stage_one = release
        .environments
        .get(environment)
        .is_some_and(|i| matches!(i.course, Course::Draft | Course::Planned | Course::Armed | Course::Exposing { stage: 0, .. } | Course::Paused { stage: 0, .. }));
    let needs = if before_stage_one { link::start } else { link::growth };
    reasons.extend(needs(state, release, environment, now, seen));
    for item in &release.spec.features {
        let subject = format!("feature/{}", item.key);
        match state.features.get(&item.key) {
            None => reasons.push(Reason::new(ReasonCode::UnknownReference, subject, format!("feature `{}` is gone", item.key)).remedy("re-plan the release")),
            Some(f) if f.kills.contains_key(environment) => {
                reasons.push(
                    Reason::new(ReasonCode::Hold, subject, format!("`{}` is killed in `{environment}`", item.key))
                        .remedy(format!("greenroom feature restore {} --env {environment}", argument(item.key.as_str()))),
                );
            }
            Some(f) if !f.spec.variants.contains_key(&item.variant) => {
                reasons
                    .push(Reason::new(ReasonCode::UnknownReference, subject, format!("`{}` has no variant `{}` any more", item.key, item.variant)).remedy("re-plan the release"));
            }
            Some(_) => {}
        }
    }
    // what is in the baseline holds no claim: whoever claims the feature comes before it
    if !release.environments.get(environment).is_some_and(|i| matches!(i.course, Course::Closed { .. })) {
        reasons.extend(conflicts(state, release, environment));
    }
    reasons
}

fn decisions(state: &State, release: &Release, now: At) -> Vec<Reason> {
    decision::missing(&release.spec.decisions, &release.decisions, &release.scope, &release.authors, state.separation, now)
        .iter()
        .map(|m| decision_reason(m, format!("release/{}", release.name), &format!("greenroom decide release {}", release.name)))
        .collect()
}

fn holds(state: &State, release: &Release, environment: &Name, now: At, automatic: bool) -> Vec<Reason> {
    let features = || release.spec.features.iter().map(|f| f.key.clone());
    state
        .holds
        .values()
        .filter(|h| h.stands(now) && h.plane.covers(Plane::Release) && h.stops.stops(automatic) && h.scope.covers_release(environment, &release.name, features()))
        .map(|h| h.reason())
        .collect()
}

/// Two open claims on a feature must give the same variant.
fn conflicts(state: &State, release: &Release, environment: &Name) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for other in state.releases.values().filter(|o| o.name != release.name && o.serving_stage(environment).is_some()) {
        for item in &release.spec.features {
            if let Some(theirs) = other.spec.features.iter().find(|f| f.key == item.key && f.variant != item.variant) {
                reasons.push(
                    Reason::new(
                        ReasonCode::VariantConflict,
                        format!("feature/{}", item.key),
                        format!("release `{}` serves `{}` as `{}`, this one wants `{}`", other.name, item.key, theirs.variant, item.variant),
                    )
                    .remedy("withdraw or close the other release first, or serve the same variant"),
                );
            }
        }
    }
    reasons
}

pub(super) fn release(work: &mut Work<'_>, name: &Name) {
    let Some(release) = work.state.releases.get(name).cloned() else { return };
    for environment in release.environments.keys() {
        in_environment(work, name, environment);
    }
}

fn in_environment(work: &mut Work<'_>, name: &Name, environment: &Name) {
    track_needs(work, name, environment);
    let Some(release) = work.state.releases.get(name).cloned() else { return };
    let Some(inside) = release.environments.get(environment) else { return };
    match &inside.course {
        Course::Planned if inside.refused.is_empty() && release.spec.mode != Mode::Manual => {
            work.push(ReleaseArmed { name: name.clone(), environment: environment.clone(), features: Vec::new() });
        }
        Course::Armed => armed(work, &release, environment),
        Course::Exposing { stage, since } => exposing(work, &release, environment, *stage, *since),
        Course::Withdrawing { deadline, partial: false, .. } if *deadline + UNHEARD <= work.now => {
            work.push(WithdrawalPartial { name: name.clone(), environment: environment.clone(), in_contact: 0, acknowledged: 0, laggards: Vec::new(), features: Vec::new() });
        }
        _ => {}
    }
}

fn armed(work: &mut Work<'_>, release: &Release, environment: &Name) {
    let due = match release.spec.mode {
        Mode::Scheduled(at) => at <= work.now,
        Mode::OnDeploy => true,
        Mode::Manual => false,
    };
    if !due {
        return;
    }
    let mut reasons = growth(&work.state, release, environment, work.now, work.seen, true);
    if reasons.is_empty() {
        match begin(work, release, environment) {
            Ok(()) => return,
            Err(refusal) => reasons = refusal.reasons,
        }
    }
    match release.spec.mode {
        Mode::Scheduled(at) if unseen_yet(&reasons, at, work.now) => {}
        // fails closed, and says so
        Mode::Scheduled(_) => work.push(ReleaseRefused { name: release.name.clone(), environment: environment.clone(), wanted: "start".to_owned(), reasons, features: Vec::new() }),
        Mode::OnDeploy if release.spec.expires.is_some_and(|end| end <= work.now) => expire(work, release, environment),
        Mode::OnDeploy | Mode::Manual => {}
    }
}

fn expire(work: &mut Work<'_>, release: &Release, environment: &Name) {
    use crate::event::HoldSet;
    use crate::hold::{Hold, Scope, Stops, Why};
    let reasons = vec![Reason::new(ReasonCode::Hold, format!("release/{}", release.name), "not started before it expired; it is held")];
    work.push(ReleaseRefused { name: release.name.clone(), environment: environment.clone(), wanted: "start".to_owned(), reasons, features: Vec::new() });
    let hold = Hold {
        id: crate::id::HoldId::new(work.id()),
        number: work.state.numbers.holds + 1,
        scope: Scope { environment: Some(environment.clone()), release: Some(release.name.clone()), ..Scope::default() },
        plane: Plane::Release,
        stops: Stops::Automation,
        why: Why::Expired { release: release.name.clone() },
        owner: release.authors.first().copied().unwrap_or(work.actor),
        at: work.now,
        expires: None,
    };
    work.push(HoldSet { hold });
}

/// Starts the release: first its unflagged builds, if any, else stage 1. Refused builds leave it as it was.
pub(crate) fn begin(work: &mut Work<'_>, release: &Release, environment: &Name) -> Result<(), Refusal> {
    let before = work.mark();
    let first = u32::from(release.spec.services.is_empty());
    work.push(ReleaseStageStarted { name: release.name.clone(), environment: environment.clone(), stage: first, features: Vec::new() });
    if first == 1 {
        finish_if_last(work, &release.name, environment);
        return Ok(());
    }
    let Some(env) = work.state.environments.get(environment).cloned() else { return Ok(()) };
    // where it runs already, or something newer does, nothing is deployed: a start never takes anybody back
    let builds: Vec<_> = release.spec.services.iter().filter_map(|label| work.state.build(label).cloned()).filter(|b| !link::reached(&work.state, environment, b)).collect();
    if builds.is_empty() {
        return Ok(());
    }
    let plan = crate::decide::Plan::new(crate::deployment::deployment::Motive::Promote);
    crate::decide::request(work, &env, &builds, plan).map(drop).inspect_err(|_| work.back_to(before))
}

fn exposing(work: &mut Work<'_>, release: &Release, environment: &Name, stage: u32, since: At) {
    if stage == 0 {
        let there = link::growth(&work.state, release, environment, work.now, work.seen).is_empty();
        if there && growth(&work.state, release, environment, work.now, work.seen, true).is_empty() {
            advance(work, &release.name, environment, 1);
        }
        return;
    }
    if stage >= release.last_stage() {
        return finish_if_last(work, &release.name, environment);
    }
    let Some(due) = dwell_ends(release, stage, since).filter(|end| *end <= work.now) else { return };
    let reasons = growth(&work.state, release, environment, work.now, work.seen, true);
    if reasons.is_empty() {
        return advance(work, &release.name, environment, stage + 1);
    }
    // a stage that may not start yet freezes where it is, and says why once; what changes touches it again
    let said = release.environments.get(environment).is_some_and(|i| !i.refused.is_empty());
    if !said && !unseen_yet(&reasons, due, work.now) {
        work.push(ReleaseRefused { name: release.name.clone(), environment: environment.clone(), wanted: format!("go to stage {}", stage + 1), reasons, features: Vec::new() });
    }
}

/// Starts `stage`, and says when it was the last.
pub(crate) fn advance(work: &mut Work<'_>, name: &Name, environment: &Name, stage: u32) {
    work.push(ReleaseStageStarted { name: name.clone(), environment: environment.clone(), stage, features: Vec::new() });
    finish_if_last(work, name, environment);
}

pub(crate) fn finish_if_last(work: &mut Work<'_>, name: &Name, environment: &Name) {
    let Some(release) = work.state.releases.get(name).cloned() else { return };
    let last = release.environments.get(environment).is_some_and(|i| matches!(i.course, Course::Exposing { stage, .. } if stage >= release.last_stage()));
    if last {
        work.push(ReleaseExposed { name: name.clone(), environment: environment.clone(), features: Vec::new() });
    }
}

/// Marks needs that became contradicted, clears those that no longer are, and takes off what stayed contradicted.
fn track_needs(work: &mut Work<'_>, name: &Name, environment: &Name) {
    let Some(release) = work.state.releases.get(name).cloned() else { return };
    let Some(inside) = release.environments.get(environment) else { return };
    let serving = match &inside.course {
        Course::Exposing { stage, .. } | Course::Paused { stage, off: false, .. } => *stage > 0,
        Course::Exposed { .. } => true,
        // its unflagged builds alone cannot be taken off by anything but a rollback
        Course::Closed { .. } => !release.spec.features.is_empty() && link::binds(&work.state, &release, environment).is_some(),
        _ => false,
    };
    if !serving {
        return;
    }
    let now = link::contradictions(&work.state, &release, environment, work.now, work.seen);
    for service in inside.contradicted.keys().filter(|s| !now.contains_key(*s)) {
        work.push(NeedRestored { release: name.clone(), environment: environment.clone(), service: service.clone() });
    }
    let mut broken = None;
    for (service, (need, placement)) in now {
        // nobody is taken off for what was seen once: whoever looks again judges again
        if !work.seen.fresh(&placement, work.now) {
            continue;
        }
        match inside.contradicted.get(&service) {
            None => work.push(NeedContradicted { release: name.clone(), environment: environment.clone(), need, placement }),
            Some(since) if work.now >= *since + link::UNMET_AFTER => broken = Some((need, placement)),
            Some(_) => {}
        }
    }
    let Some((need, placement)) = broken else { return };
    if inside.course.kind() == CourseKind::Closed {
        work.push(BaselineBlocked { release: name.clone(), environment: environment.clone(), need, features: Vec::new() });
        return;
    }
    let why = vec![
        Reason::new(ReasonCode::NeedUnmet, format!("service/{}", need.service), format!("`{need}` was not met on `{}` for {}", placement.target, link::UNMET_AFTER))
            .remedy(format!("deploy a build that meets it, then: greenroom release resume {name}")),
    ];
    work.push(ReleasePaused { name: name.clone(), environment: environment.clone(), off: true, why, features: Vec::new() });
}
