//! The link: the one place where deployment and release meet.
//!
//! Nothing is shown before the builds it needs run everywhere, and nothing is rolled back from under what is shown.
//! Everything here is a pure function of the state, the time, and when each placement was last seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::deployment::build::Build;
use crate::deployment::check::checks_pass;
use crate::deployment::placement::{Basis, Health, Placement};
use crate::deployment::rollout::{Rollout, StepKind};
use crate::deployment::service::ReleaseGate;
use crate::id::{BuildLabel, Name, PlacementKey, Requirement};
use crate::refusal::{Reason, ReasonCode};
use crate::release::release::{Course, Release, audience};
use crate::state::State;
use crate::time::{At, Span};

/// An observation older than this is no ground to show anything to more people.
pub const FRESH: Span = Span::secs(60);
/// A need must be contradicted for this long before anything is taken off.
pub const UNMET_AFTER: Span = Span::secs(30);

/// When each placement was last seen; presence, not record.
#[derive(Debug, Clone, Default)]
pub struct Seen(pub Arc<std::collections::HashMap<PlacementKey, At>>);

impl Seen {
    /// Whether the placement was looked at lately.
    pub(crate) fn fresh(&self, key: &PlacementKey, now: At) -> bool {
        self.0.get(key).is_some_and(|at| now.since(*at) <= FRESH)
    }

    /// Whether a look at `at` may free what waits for a fresh one: the look `before` it had aged at `now`. Whoever looks
    /// and whoever judges do so side by side, so that this is said well before it is too old.
    #[must_use]
    pub fn anew(before: Option<At>, at: At, now: At) -> bool {
        now.since(at) <= FRESH && before.is_none_or(|before| now.since(before) > Span(FRESH.0 / 2))
    }
}

/// Whether a need holds in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// On every placement all serving instances run a build that reaches the floor, observed and checked.
    Met {
        fresh: bool,
    },
    /// Positively seen to run something else.
    Unmet {
        placement: PlacementKey,
        runs: String,
    },
    Unknown {
        why: String,
    },
}

/// Judges `need` in `environment`.
#[must_use]
pub fn need(state: &State, environment: &Name, need: &Requirement, not: &[BuildLabel], now: At, seen: &Seen) -> Need {
    let Some(service) = state.services.get(&need.service) else {
        return Need::Unknown { why: format!("there is no service `{}`", need.service) };
    };
    let mut any = false;
    let mut fresh = true;
    let mut unknown: Option<String> = None;
    let mut unmet: Option<(PlacementKey, String)> = None;
    for placement in state.placements_of(environment, &need.service) {
        any = true;
        match judge_placement(state, placement, need, not) {
            Here::Reaches => fresh &= seen.fresh(&placement.key, now),
            // the one that is seen now before one that was
            Here::Contradicts(runs) if unmet.is_none() || seen.fresh(&placement.key, now) => {
                let known = unmet.as_ref().is_some_and(|(key, _)| seen.fresh(key, now));
                unmet = unmet.filter(|_| known).or_else(|| Some((placement.key.clone(), runs)));
            }
            Here::Contradicts(_) => {}
            Here::Unclear(why) => unknown = unknown.or(Some(why)),
        }
    }
    if let Some((placement, runs)) = unmet {
        return Need::Unmet { placement, runs };
    }
    let never = state.environments.get(environment).filter(|_| any).and_then(|e| state.unplaced(e, service));
    let unknown = unknown.or_else(|| never.map(|target| format!("nothing of `{}` was ever observed on `{target}`", need.service)));
    match unknown {
        Some(why) => Need::Unknown { why },
        None if !any => Need::Unknown { why: format!("`{}` was never deployed to `{environment}`", need.service) },
        None => Need::Met { fresh },
    }
}

enum Here {
    Reaches,
    Contradicts(String),
    Unclear(String),
}

fn judge_placement(state: &State, placement: &Placement, need: &Requirement, not: &[BuildLabel]) -> Here {
    let target = &placement.key.target;
    let Some(seen) = &placement.observed else {
        return Here::Unclear(format!("`{}` on `{target}` was never observed", need.service));
    };
    if placement.contact_lost.is_some() {
        return Here::Unclear(format!("contact with `{target}` is lost"));
    }
    if seen.basis == Basis::Reported {
        return Here::Unclear(format!("`{}` on `{target}` is reported, not observed", need.service));
    }
    if seen.serving.is_empty() {
        return Here::Unclear(format!("nothing of `{}` serves on `{target}`", need.service));
    }
    for digest in seen.serving.keys() {
        match state.builds.get(digest) {
            None => return Here::Contradicts(format!("a build that is not registered ({})", digest.short())),
            Some(build) if !satisfies(state, build, need, not) => return Here::Contradicts(build.spec.label().to_string()),
            Some(_) => {}
        }
    }
    if seen.serving.len() > 1 {
        return Here::Unclear(format!("more than one build of `{}` serves on `{target}`", need.service));
    }
    if seen.health != Health::Healthy {
        return Here::Unclear(format!("`{}` on `{target}` is {}", need.service, seen.health));
    }
    // what is on its way already counts against: else someone would be shown what is about to go
    let coming = placement.active.and_then(|r| state.rollouts.get(&r)).and_then(|r| state.builds.get(&r.build));
    if let Some(build) = coming.filter(|b| !satisfies(state, b, need, not)) {
        return Here::Unclear(format!("{} is being deployed to `{target}`", build.spec.label()));
    }
    // checks are kept by build and environment: what another target's has passed says nothing about this one
    let unverified = |r: &&Arc<Rollout>| seen.build() == Some(&r.build) && matches!(r.step.kind(), StepKind::Observing | StepKind::Verifying | StepKind::Unknown);
    if let Some(r) = placement.active.and_then(|id| state.rollouts.get(&id)).filter(unverified) {
        return Here::Unclear(format!("`{}` on `{target}` is not verified there yet", r.key.service));
    }
    match seen.build() {
        Some(build) if checks_pass(state, &placement.key.environment, &need.service, build) => Here::Reaches,
        _ => Here::Unclear(format!("checks of `{}` in `{}` have not passed yet", need.service, placement.key.environment)),
    }
}

fn satisfies(state: &State, build: &Build, need: &Requirement, not: &[BuildLabel]) -> bool {
    !not.iter().any(|n| n.service == build.spec.service && n.version == build.spec.version) && state.meets(build, need)
}

/// All needs of `release` in `environment`, in order.
#[must_use]
pub fn needs(state: &State, release: &Release, environment: &Name, now: At, seen: &Seen) -> Vec<(Requirement, Need)> {
    release.needs().map(|n| (n.clone(), need(state, environment, &n, &release.spec.not, now, seen))).collect()
}

/// What stands in the way of turning on or growing: every need that is not met and fresh.
#[must_use]
pub fn growth(state: &State, release: &Release, environment: &Name, now: At, seen: &Seen) -> Vec<Reason> {
    open_needs(state, release, environment, now, seen, |_| true)
}

/// As [`growth`], before the release has brought its own unflagged builds: needs that those will meet are left out.
#[must_use]
pub fn start(state: &State, release: &Release, environment: &Name, now: At, seen: &Seen) -> Vec<Reason> {
    let brought = |need: &Requirement| {
        let own = release.spec.services.iter().filter(|label| label.service == need.service).filter_map(|label| state.build(label));
        own.map(|b| b.as_ref()).any(|build| satisfies(state, build, need, &release.spec.not))
    };
    open_needs(state, release, environment, now, seen, |need| !brought(need))
}

fn open_needs(state: &State, release: &Release, environment: &Name, now: At, seen: &Seen, asked: impl Fn(&Requirement) -> bool) -> Vec<Reason> {
    let subject = |n: &Requirement| format!("service/{}", n.service);
    needs(state, release, environment, now, seen)
        .into_iter()
        .filter(|(need, _)| asked(need))
        .filter_map(|(n, status)| match status {
            Need::Met { fresh: true } => None,
            Need::Met { fresh: false } => Some(
                Reason::new(ReasonCode::NeedStale, subject(&n), format!("`{n}` was met, but `{environment}` was not observed in the last {FRESH}"))
                    .remedy("wait for the next observation, or look why the target does not answer"),
            ),
            Need::Unmet { placement, runs } => Some(
                Reason::new(ReasonCode::NeedUnmet, subject(&n), format!("needs `{n}` in `{environment}`, but `{}` runs {runs}", placement.target))
                    .remedy(format!("greenroom deploy {}@{} --to {environment}", n.service, n.floor)),
            ),
            Need::Unknown { why } => Some(
                Reason::new(ReasonCode::NeedUnknown, subject(&n), format!("needs `{n}` in `{environment}`: {why}"))
                    .remedy(format!("greenroom deploy {}@{} --to {environment}, or wait until it is observed and checked", n.service, n.floor)),
            ),
        })
        .collect()
}

/// Through what a release binds builds in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    Claim,
    Baseline,
    /// Being withdrawn, not yet effective.
    Withdrawing,
}

/// A release that a change of builds would pull the floor from under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub release: Name,
    pub need: Requirement,
    pub share: String,
    pub through: Through,
}

/// How `release` binds in `environment`, and whom it serves there.
#[must_use]
pub fn binds(state: &State, release: &Release, environment: &Name) -> Option<(Through, String)> {
    let inside = release.environments.get(environment)?;
    if let Some(stage) = release.serving_stage(environment) {
        let served = if stage > 0 { audience(&release.slices(stage)) } else { "everyone who meets its unflagged builds".to_owned() };
        return (stage > 0 || !release.spec.services.is_empty()).then_some((Through::Claim, served));
    }
    match inside.course {
        Course::Withdrawing { partial: false, .. } => Some((Through::Withdrawing, "being withdrawn".to_owned())),
        Course::Closed { .. } => {
            let entry = release.spec.features.iter().find_map(|item| {
                let feature = state.features.get(&item.key)?;
                feature.baselines.get(environment)?.entries.iter().find(|e| e.release.as_ref() == Some(&release.name) && e.off.is_none())
            });
            let served = entry.map(|e| match &e.audience {
                crate::release::feature::Audience::Slices { slices, .. } => audience(slices),
                crate::release::feature::Audience::When(_) => "some".to_owned(),
            });
            match served {
                Some(served) => Some((Through::Baseline, served)),
                None if release.spec.features.is_empty() => Some((Through::Baseline, "everyone".to_owned())),
                None => None,
            }
        }
        _ => None,
    }
}

/// Needs that would no longer hold in `environment` if `service` ran `build` there (`None`: were removed).
#[must_use]
pub fn would_unmet(state: &State, environment: &Name, service: &Name, build: Option<&Build>) -> Vec<Bound> {
    let mut bound = Vec::new();
    if !state.services.contains_key(service) {
        return bound;
    }
    for name in state.releases_needing(service) {
        let Some(release) = state.releases.get(name) else { continue };
        let Some((through, share)) = binds(state, release, environment) else { continue };
        for need in release.needs().filter(|n| n.service == *service) {
            if !build.is_some_and(|b| satisfies(state, b, &need, &release.spec.not)) {
                bound.push(Bound { release: name.clone(), need, share: share.clone(), through });
            }
        }
    }
    bound
}

/// The reason for one [`Bound`], naming release and share of users.
#[must_use]
pub fn would_unmet_reason(environment: &Name, bound: &Bound) -> Reason {
    match bound.through {
        Through::Withdrawing => Reason::new(
            ReasonCode::Withdrawal,
            format!("release/{}", bound.release),
            format!("release `{}` needs `{}` and its withdrawal is not effective yet", bound.release, bound.need),
        )
        .remedy("it goes on when evaluators have acknowledged, or at the deadline"),
        Through::Claim | Through::Baseline => Reason::new(
            ReasonCode::WouldUnmet,
            format!("release/{}", bound.release),
            format!(
                "release `{}` needs `{}` in `{environment}` and serves {}{}",
                bound.release,
                bound.need,
                bound.share,
                if bound.through == Through::Baseline { " (closed, part of the baseline)" } else { "" }
            ),
        )
        .remedy("add --withdraw-first to take it back from users before"),
    }
}

/// Whether an unflagged build may enter production: only as part of a started release that contains exactly it.
#[must_use]
pub fn released(state: &State, environment: &Name, build: &Build) -> Option<Reason> {
    let service = state.services.get(&build.spec.service)?;
    if service.spec.release == ReleaseGate::None || !state.is_production(environment) {
        return None;
    }
    let label = build.spec.label();
    let started = state
        .releases
        .values()
        .any(|r| r.spec.services.contains(&label) && r.environments.get(environment).is_some_and(|i| i.course.kind().started() && !matches!(i.course, Course::Withdrawing { .. })));
    (!started).then(|| {
        Reason::new(ReasonCode::NotReleased, format!("service/{}", label.service), format!("`{label}` is unflagged and no started release in `{environment}` contains it"))
            .remedy(format!("plan a release with `services: [\"{label}\"]` and start it"))
    })
}

/// Whether `build` or a newer one is the good one on every placement of its service in `environment`.
#[must_use]
pub fn reached(state: &State, environment: &Name, build: &Build) -> bool {
    let Some(service) = state.services.get(&build.spec.service) else { return false };
    let mut placements = state.placements_of(environment, &service.name).peekable();
    let good = |p: &Arc<Placement>| p.stable.as_ref().and_then(|s| state.builds.get(&s.build)).is_some_and(|b| b.reaches(build, service.spec.versioning));
    placements.peek().is_some() && placements.all(good) && state.environments.get(environment).is_none_or(|e| state.unplaced(e, service).is_none())
}

/// Needs of a release that binds in `environment` and are positively contradicted now, by service.
#[must_use]
pub fn contradictions(state: &State, release: &Release, environment: &Name, now: At, seen: &Seen) -> BTreeMap<Name, (Requirement, PlacementKey)> {
    needs(state, release, environment, now, seen)
        .into_iter()
        .filter_map(|(n, status)| match status {
            Need::Unmet { placement, .. } => Some((n.service.clone(), (n, placement))),
            Need::Met { .. } | Need::Unknown { .. } => None,
        })
        .collect()
}
