//! Releases, features, decisions and holds, as people ask for them.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::deploy::WITHDRAW_DEADLINE;
use super::{Stop, Work};
use crate::decision::{About, Decision, Verdict};
use crate::deployment::environment::Purpose;
use crate::event::{
    BaselineRestored, BaselineSet, DecisionRecorded, FeatureKilled, FeatureRestored, HoldLifted, HoldSet, ReleaseCancelled, ReleaseClosed, ReleasePaused, ReleasePlanned, ReleaseResumed,
    ReleaseScopeChanged, ReleaseWithdrawing, ReleaseWithdrawn, WithdrawalPartial,
};
use crate::hold::{Hold, Plane, Scope, Stops, Why};
use crate::id::{DecisionId, Digest, FeatureKey, HoldId, Name, PersonId, digest_of};
use crate::judge::releases as judge;
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::feature::Baseline;
use crate::release::plan::{Mode, ReleaseSpec, WithdrawSafety};
use crate::release::release::{Course, CourseKind, Release};
use crate::role::Role;
use crate::state::State;
use crate::time::{At, Span};

/// A decision counts this long unless it says otherwise.
const DECISION_VALID: Span = Span::secs(7 * 24 * 3600);

pub(super) fn plan(work: &mut Work<'_>, name: &Name, spec: &ReleaseSpec) -> Result<(), Stop> {
    let environments = if spec.environments.is_empty() {
        work.state.environments.values().filter(|e| e.spec.purpose == Purpose::Production).map(|e| e.name.clone()).collect()
    } else {
        spec.environments.clone()
    };
    let reasons = wrong(&work.state, name, spec, &environments, work.now);
    Refusal::unless_empty(RefusalKind::Invalid, reasons)?;
    for label in &spec.services {
        if work.state.build(label).is_none() {
            return Err(Stop::Recall(vec![format!("version/{}/{}", label.service, label.version)]));
        }
    }
    let draft = spec.stages.is_empty() || (spec.features.is_empty() && spec.services.is_empty());
    let scope = scope(spec, &environments);
    let Some(old) = work.state.releases.get(name).cloned() else {
        let salt = work.salt();
        let number = work.state.numbers.releases + 1;
        work.push(ReleasePlanned { name: name.clone(), number, spec: spec.clone(), scope, salt, environments, draft });
        return Ok(());
    };
    if old.spec == *spec && !old.environments.values().any(|i| i.course.kind() == CourseKind::Withdrawn) {
        return Ok(());
    }
    editable(&old, spec)?;
    let changed = changes(&old.spec, spec);
    work.push(ReleaseScopeChanged { name: name.clone(), spec: spec.clone(), scope, environments, draft, changed });
    Ok(())
}

/// Started releases keep what they contain; only their needs, dates and later stages may change, and never shrink.
fn editable(old: &Release, new: &ReleaseSpec) -> Result<(), Refusal> {
    let started = old.environments.values().any(|i| i.course.kind().started());
    if started {
        return Err(Refusal::conflict(
            ReasonCode::WrongState,
            format!("release/{}", old.name),
            format!("release `{}` has started; its scope cannot change", old.name),
            "withdraw it first, or plan another release",
        ));
    }
    if old.environments.values().all(|i| i.course.kind() == CourseKind::Cancelled) {
        return Err(Refusal::conflict(ReasonCode::WrongState, format!("release/{}", old.name), format!("release `{}` was cancelled", old.name), "plan one with another name"));
    }
    let _ = new;
    Ok(())
}

fn changes(old: &ReleaseSpec, new: &ReleaseSpec) -> Vec<String> {
    let mut changed = Vec::new();
    let mut note = |what: &str, differs: bool| {
        if differs {
            changed.push(what.to_owned());
        }
    };
    note("features", old.features != new.features);
    note("services", old.services != new.services);
    note("needs", old.needs != new.needs || old.not != new.not);
    note("stages", old.stages != new.stages);
    note("mode", old.mode != new.mode);
    note("environments", old.environments != new.environments);
    note("decisions", old.decisions != new.decisions);
    changed
}

fn scope(spec: &ReleaseSpec, environments: &[Name]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"greenroom/release-scope/1\n");
    let parts = (&spec.features, &spec.services, &spec.needs, &spec.not, &spec.stages, &spec.mode, &spec.decisions, environments);
    hash.update(serde_json::to_vec(&parts).unwrap_or_default());
    digest_of(hash)
}

fn wrong(state: &State, name: &Name, spec: &ReleaseSpec, environments: &[Name], now: At) -> Vec<Reason> {
    let subject = format!("release/{name}");
    let mut reasons = Vec::new();
    let mut bad = |code, path: String, message: String, remedy: &str| reasons.push(Reason::new(code, &subject, message).remedy(remedy).path(path));
    if environments.is_empty() {
        bad(ReasonCode::UnknownReference, "spec.environments".into(), "there is no production environment".into(), "define one, or name the environments");
    }
    for (i, environment) in spec.environments.iter().enumerate() {
        if !state.environments.contains_key(environment) {
            bad(ReasonCode::UnknownReference, format!("spec.environments[{i}]"), format!("there is no environment `{environment}`"), "correct the name");
        }
    }
    let mut keys = BTreeSet::new();
    for (i, item) in spec.features.iter().enumerate() {
        if !keys.insert(&item.key) {
            bad(ReasonCode::VariantConflict, format!("spec.features[{i}]"), format!("`{}` is in the release twice", item.key), "keep one");
        }
        match state.features.get(&item.key) {
            None => bad(ReasonCode::UnknownReference, format!("spec.features[{i}].key"), format!("there is no feature `{}`", item.key), "define it first"),
            Some(f) if !f.spec.variants.contains_key(&item.variant) => {
                bad(ReasonCode::UnknownReference, format!("spec.features[{i}].variant"), format!("`{}` has no variant `{}`", item.key, item.variant), "name one of its variants");
            }
            Some(f) if f.spec.off == item.variant => {
                bad(ReasonCode::Invalid, format!("spec.features[{i}].variant"), format!("`{}` is what users have already", item.variant), "name the variant to release");
            }
            Some(_) => {}
        }
        for other in state.releases.values().filter(|o| o.name != *name) {
            let open = other.environments.iter().any(|(e, inside)| environments.contains(e) && matches!(inside.course.kind(), CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused));
            if let Some(theirs) = other.spec.features.iter().find(|f| open && f.key == item.key && f.variant != item.variant) {
                bad(
                    ReasonCode::VariantConflict,
                    format!("spec.features[{i}].variant"),
                    format!("release `{}` serves `{}` as `{}`", other.name, item.key, theirs.variant),
                    "serve the same variant, or close the other release first",
                );
            }
        }
    }
    for (i, need) in spec.needs.iter().enumerate() {
        if !state.services.contains_key(&need.service) {
            bad(ReasonCode::UnknownReference, format!("spec.needs[{i}]"), format!("there is no service `{}`", need.service), "correct the name");
        }
    }
    for (i, label) in spec.services.iter().enumerate() {
        if !state.services.contains_key(&label.service) {
            bad(ReasonCode::UnknownReference, format!("spec.services[{i}]"), format!("there is no service `{}`", label.service), "correct the name");
        }
    }
    let mut shares: std::collections::BTreeMap<Option<&Name>, crate::time::Share> = std::collections::BTreeMap::new();
    let mut names = BTreeSet::new();
    for (i, stage) in spec.stages.iter().enumerate() {
        if !names.insert(&stage.name) {
            bad(ReasonCode::Invalid, format!("spec.stages[{i}].name"), format!("two stages are called `{}`", stage.name), "rename one");
        }
        if let Some(cohort) = &stage.cohort
            && !state.cohorts.contains_key(cohort)
        {
            bad(ReasonCode::UnknownReference, format!("spec.stages[{i}].cohort"), format!("there is no cohort `{cohort}`"), "define it first");
        }
        match shares.insert(stage.cohort.as_ref(), stage.share) {
            Some(before) if before >= stage.share => bad(
                ReasonCode::Shrinks,
                format!("spec.stages[{i}].share"),
                format!("stage `{}` reaches {} after {before}: stages are cumulative and only grow", stage.name, stage.share),
                "order stages from few to many",
            ),
            _ => {}
        }
    }
    if let Mode::Scheduled(at) = spec.mode
        && at <= now
    {
        bad(ReasonCode::InThePast, "spec.mode.scheduled".into(), format!("{at} has passed"), "give a time in the future");
    }
    if let Some(end) = spec.expires
        && end <= now
    {
        bad(ReasonCode::InThePast, "spec.expires".into(), format!("{end} has passed"), "give a time in the future");
    }
    reasons
}

fn find(work: &Work<'_>, name: &Name) -> Result<Release, Stop> {
    work.state.releases.get(name).map(|r| Release::clone(r)).ok_or_else(|| Stop::Recall(vec![format!("release/{name}")]))
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
    Refusal::conflict(ReasonCode::WrongState, format!("release/{}", release.name), format!("release `{}` is {kind} in `{environment}`: it cannot be {wanted}", release.name), remedy)
}

/// Starts a planned release, or goes to the next stage of one under way.
pub(super) fn start(work: &mut Work<'_>, name: &Name, environment: Option<&Name>) -> Result<(), Stop> {
    let release = find(work, name)?;
    for environment in chosen(&release, environment)? {
        let Some(inside) = release.environments.get(&environment) else { continue };
        match &inside.course {
            Course::Planned | Course::Armed => {
                Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, &environment, work.now, work.seen, false))?;
                judge::begin(work, &release, &environment);
            }
            Course::Exposing { stage, .. } if *stage > 0 && *stage < release.last_stage() => {
                Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, &environment, work.now, work.seen, false))?;
                judge::advance(work, name, &environment, stage + 1);
            }
            _ => return Err(wrong_state(&release, &environment, "started", "greenroom release show tells what it can do").into()),
        }
    }
    Ok(())
}

pub(super) fn pause(work: &mut Work<'_>, name: &Name, environment: Option<&Name>, note: &str) -> Result<(), Stop> {
    let release = find(work, name)?;
    for environment in chosen(&release, environment)? {
        match release.environments.get(&environment).map(|i| i.course.kind()) {
            Some(CourseKind::Exposing | CourseKind::Exposed) => {
                let text = if note.is_empty() { "paused by a person".to_owned() } else { format!("paused by a person: {}", note.chars().take(200).collect::<String>()) };
                let why = vec![Reason::new(ReasonCode::Hold, format!("release/{name}"), text).remedy(format!("greenroom release resume {name}"))];
                work.push(ReleasePaused { name: name.clone(), environment, off: false, why });
            }
            Some(CourseKind::Paused) => {}
            _ => return Err(wrong_state(&release, &environment, "paused", "only what is being exposed can be paused").into()),
        }
    }
    Ok(())
}

pub(super) fn resume(work: &mut Work<'_>, name: &Name, environment: Option<&Name>) -> Result<(), Stop> {
    let release = find(work, name)?;
    for environment in chosen(&release, environment)? {
        match release.environments.get(&environment).map(|i| &i.course) {
            Some(Course::Paused { .. }) => {
                // serving again, or growing again, asks what starting asks
                Refusal::unless_empty(RefusalKind::Refused, judge::growth(&work.state, &release, &environment, work.now, work.seen, false))?;
                work.push(ReleaseResumed { name: name.clone(), environment });
            }
            Some(Course::Closed { .. }) => {
                Refusal::unless_empty(RefusalKind::Refused, crate::link::growth(&work.state, &release, &environment, work.now, work.seen))?;
                work.push(BaselineRestored { release: name.clone(), environment });
            }
            _ => return Err(wrong_state(&release, &environment, "resumed", "only what is paused can be resumed").into()),
        }
    }
    Ok(())
}

/// R1: shrinking is never refused for a policy's sake. Only what is not `clean` asks for a confirmation first.
pub(super) fn withdraw(work: &mut Work<'_>, name: &Name, environment: Option<&Name>, confirm: bool, note: Option<&str>) -> Result<(), Stop> {
    let release = find(work, name)?;
    let delicate: Vec<_> = release.spec.features.iter().filter(|f| f.withdraw_safety != WithdrawSafety::Clean).map(|f| f.key.to_string()).collect();
    if !delicate.is_empty() && !confirm {
        return Err(Refusal::one(
            RefusalKind::Refused,
            Reason::new(ReasonCode::ConfirmRequired, format!("release/{name}"), format!("{} cannot simply be taken back", delicate.join(", "))).remedy("look at the preview (--dry-run), then repeat with --confirm"),
        )
        .into());
    }
    let mut any = false;
    for environment in chosen(&release, environment)? {
        let Some(inside) = release.environments.get(&environment) else { continue };
        match inside.course.kind() {
            CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused | CourseKind::Closed => {
                any = true;
                let note = note.map(|n| work.seal(n));
                work.push(ReleaseWithdrawing { name: name.clone(), environment, deadline: work.now + WITHDRAW_DEADLINE, note });
            }
            CourseKind::Withdrawing | CourseKind::Withdrawn => any = true,
            CourseKind::Draft | CourseKind::Planned | CourseKind::Armed | CourseKind::Cancelled => {}
        }
    }
    if any {
        return Ok(());
    }
    Err(Refusal::conflict(ReasonCode::WrongState, format!("release/{name}"), format!("release `{name}` has not started: nobody is served through it"), "greenroom release cancel takes it off the list").into())
}

pub(super) fn report_withdrawal(work: &mut Work<'_>, name: &Name, environment: &Name, in_contact: u64, acknowledged: u64, laggards: &[String], effective: bool) {
    let course = work.state.releases.get(name).and_then(|r| r.environments.get(environment)).map(|i| i.course.clone());
    let Some(Course::Withdrawing { partial, .. }) = course else { return };
    if effective {
        work.push(ReleaseWithdrawn { name: name.clone(), environment: environment.clone(), in_contact, acknowledged, effective: work.now });
    } else if !partial {
        let laggards = laggards.iter().take(100).cloned().collect();
        work.push(WithdrawalPartial { name: name.clone(), environment: environment.clone(), in_contact, acknowledged, laggards });
    }
}

pub(super) fn close(work: &mut Work<'_>, name: &Name, environment: Option<&Name>) -> Result<(), Stop> {
    let release = find(work, name)?;
    for environment in chosen(&release, environment)? {
        match release.environments.get(&environment).map(|i| i.course.kind()) {
            Some(CourseKind::Exposed) => work.push(ReleaseClosed { name: name.clone(), environment }),
            Some(CourseKind::Closed) => {}
            _ => return Err(wrong_state(&release, &environment, "closed", "close a release once it is exposed to everyone it is for").into()),
        }
    }
    Ok(())
}

pub(super) fn cancel(work: &mut Work<'_>, name: &Name) -> Result<(), Stop> {
    let release = find(work, name)?;
    for (environment, inside) in &release.environments {
        match inside.course.kind() {
            CourseKind::Draft | CourseKind::Planned | CourseKind::Armed | CourseKind::Withdrawn => work.push(ReleaseCancelled { name: name.clone(), environment: environment.clone() }),
            CourseKind::Cancelled => {}
            CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused | CourseKind::Withdrawing | CourseKind::Closed => {
                return Err(wrong_state(&release, environment, "cancelled", &format!("greenroom release withdraw {name}")).into());
            }
        }
    }
    Ok(())
}

fn feature_in(work: &Work<'_>, feature: &FeatureKey, environment: &Name) -> Result<std::sync::Arc<crate::release::feature::Feature>, Refusal> {
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
    work.push(FeatureKilled { feature: feature.clone(), environment: environment.clone(), silenced, reason });
    Ok(())
}

/// Lifting a kill is growing: it needs what the releases it silenced need.
pub(super) fn restore(work: &mut Work<'_>, feature: &FeatureKey, environment: &Name) -> Result<(), Refusal> {
    let found = feature_in(work, feature, environment)?;
    let Some(kill) = found.kills.get(environment) else { return Ok(()) };
    let mut reasons = Vec::new();
    for name in &kill.silenced {
        let Some(release) = work.state.releases.get(name).cloned() else { continue };
        if crate::link::binds(&work.state, &release, environment).is_none() {
            continue;
        }
        let killed = format!("feature/{feature}");
        reasons.extend(judge::growth(&work.state, &release, environment, work.now, work.seen, false).into_iter().filter(|r| r.subject != killed));
    }
    Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    work.push(FeatureRestored { feature: feature.clone(), environment: environment.clone() });
    Ok(())
}

pub(super) fn set_baseline(work: &mut Work<'_>, feature: &FeatureKey, environment: &Name, variant: &Name) -> Result<(), Refusal> {
    let found = feature_in(work, feature, environment)?;
    if !found.spec.variants.contains_key(variant) {
        return Err(Refusal::invalid(format!("feature/{feature}"), format!("there is no variant `{variant}`"), "name one of its variants"));
    }
    if work.state.is_production(environment) {
        return Err(Refusal::one(
            RefusalKind::Refused,
            Reason::new(ReasonCode::NotReleased, format!("environment/{environment}"), format!("`{environment}` is production: exposure there is a release")).remedy("greenroom release plan"),
        ));
    }
    let mut baseline = found.baselines.get(environment).cloned().unwrap_or(Baseline { entries: Vec::new(), default: variant.clone() });
    baseline.default = variant.clone();
    if found.default_in(environment, false) != variant || !found.baselines.contains_key(environment) {
        work.push(BaselineSet { feature: feature.clone(), environment: environment.clone(), baseline });
    }
    Ok(())
}

pub(super) fn record_decision(work: &mut Work<'_>, about: &About, role: Role, verdict: Verdict, by: PersonId, note: Option<&str>, valid_for: Option<Span>) -> Result<(), Stop> {
    let scope = match about {
        About::Deployment(id) => {
            let Some(d) = work.state.deployments.get(id) else { return Err(Stop::Recall(vec![format!("deployment/{id}")])) };
            if d.ended.is_some() {
                return Err(Refusal::conflict(ReasonCode::WrongState, format!("deployment/{id}"), format!("deployment #{} is over", d.number), "there is nothing to decide").into());
            }
            d.scope.clone()
        }
        About::Release(name) => {
            let release = find(work, name)?;
            if release.environments.values().all(|i| matches!(i.course.kind(), CourseKind::Cancelled | CourseKind::Closed | CourseKind::Draft)) {
                return Err(Refusal::conflict(ReasonCode::WrongState, format!("release/{name}"), "a draft, closed or cancelled release takes no decision", "plan it first").into());
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

pub(super) fn set_hold(work: &mut Work<'_>, scope: &Scope, plane: Plane, stops: Stops, reason: &str, expires: Option<At>) -> Result<(), Refusal> {
    let state = &work.state;
    let unknown = [
        scope.environment.as_ref().filter(|n| !state.environments.contains_key(*n)).map(|n| ("environment", n.to_string())),
        scope.service.as_ref().filter(|n| !state.services.contains_key(*n)).map(|n| ("service", n.to_string())),
        scope.release.as_ref().filter(|n| !state.releases.contains_key(*n)).map(|n| ("release", n.to_string())),
        scope.feature.as_ref().filter(|n| !state.features.contains_key(*n)).map(|n| ("feature", n.to_string())),
    ];
    if let Some((kind, name)) = unknown.into_iter().flatten().next() {
        return Err(Refusal::not_found(kind, name));
    }
    if expires.is_some_and(|e| e <= work.now) {
        return Err(Refusal::one(RefusalKind::Invalid, Reason::new(ReasonCode::InThePast, "hold", "the hold would have expired already").remedy("give a time in the future")));
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
    work.push(HoldLifted { id, because: None });
    Ok(())
}
