//! Planning a release: what it would contain, whether that can be, and what an edit changes.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{Stop, Work};
use crate::deployment::environment::Purpose;
use crate::event::{ReleasePlanned, ReleaseScopeChanged};
use crate::id::{BuildLabel, Digest, FeatureKey, Name, digest_of};
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::feature::FeatureSpec;
use crate::release::plan::{Mode, ReleaseSpec};
use crate::release::release::{CourseKind, Release};
use crate::state::State;
use crate::time::{At, Share};

pub(super) fn plan(work: &mut Work<'_>, name: &Name, spec: &ReleaseSpec) -> Result<(), Stop> {
    let environments: Vec<Name> = if spec.environments.is_empty() {
        work.state.environments.values().filter(|e| e.spec.purpose == Purpose::Production).map(|e| e.name.clone()).collect()
    } else {
        spec.environments.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    };
    let reasons = wrong(&work.state, name, spec, &environments, work.now);
    Refusal::unless_empty(RefusalKind::Invalid, reasons)?;
    let before = work.mark();
    for label in &spec.services {
        if work.build(label)?.is_none() {
            return Err(Refusal::not_found("build", label).into());
        }
    }
    for need in &spec.needs {
        // a floor out of the archive is needed to compare with; one that is not registered yet is a promise
        work.build(&BuildLabel { service: need.service.clone(), version: need.floor.clone() })?;
    }
    let draft = spec.stages.is_empty() || (spec.features.is_empty() && spec.services.is_empty());
    let scope = scope(&work.state, spec, &environments);
    let old = work.release(name)?;
    let (number, salt) = match &old {
        Some(old) if work.state.releases.contains_key(name) => {
            let over = old.environments.values().any(|i| matches!(i.course.kind(), CourseKind::Withdrawn | CourseKind::Cancelled));
            if old.spec == *spec && old.scope == scope && !over {
                work.back_to(before);
                return Ok(());
            }
            editable(old)?;
            let changed = changes(&old.spec, spec, old.cohorts != work.state.cohort_versions(spec));
            let cohorts = Some(work.state.cohort_versions(spec));
            work.push(ReleaseScopeChanged { name: name.clone(), spec: spec.clone(), scope, environments, draft, changed, cohorts });
            return Ok(());
        }
        // out of the archive: a new plan for the same users
        Some(old) => {
            editable(old)?;
            (old.number, old.salt.clone())
        }
        None => (work.state.numbers.releases + 1, work.salt()),
    };
    let cohorts = Some(work.state.cohort_versions(spec));
    work.push(ReleasePlanned { name: name.clone(), number, spec: spec.clone(), scope, salt, environments, draft, cohorts });
    Ok(())
}

/// Variants of `key` have other values now than in `old`: releases that have not started and would serve one are not what
/// was decided on any more (R3). Started ones do not let their values change.
pub(super) fn values_changed(work: &mut Work<'_>, key: &FeatureKey, old: &FeatureSpec) {
    let Some(new) = work.state.features.get(key).cloned() else { return };
    let other = |r: &Release| r.spec.features.iter().any(|f| f.key == *key && old.variants.get(&f.variant) != new.spec.variants.get(&f.variant));
    let concerned: Vec<_> = work.state.releases.values().filter(|r| r.waits() && other(r)).cloned().collect();
    for release in concerned {
        let environments: Vec<Name> = release.environments.keys().cloned().collect();
        let scope = scope(&work.state, &release.spec, &environments);
        let draft = release.environments.values().any(|i| i.course.kind() == CourseKind::Draft);
        let changed = vec!["values".to_owned()];
        let cohorts = Some(work.state.cohort_versions(&release.spec));
        work.push(ReleaseScopeChanged { name: release.name.clone(), spec: release.spec.clone(), scope, environments, draft, changed, cohorts });
    }
}

/// Started releases keep what they contain, and cancelled ones are over.
fn editable(old: &Release) -> Result<(), Refusal> {
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
    Ok(())
}

fn changes(old: &ReleaseSpec, new: &ReleaseSpec, cohorts: bool) -> Vec<String> {
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
    note("mode", old.mode != new.mode || old.expires != new.expires);
    note("environments", old.environments != new.environments);
    note("cohorts", cohorts);
    note("decisions", old.decisions != new.decisions);
    changed
}

/// What decisions bind to: whatever users would get, and when, and on what ground.
fn scope(state: &State, spec: &ReleaseSpec, environments: &[Name]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"greenroom/release-scope/1\n");
    let cohorts = state.cohort_versions(spec);
    let values: Vec<_> = spec.features.iter().map(|item| state.features.get(&item.key).and_then(|f| f.spec.variants.get(&item.variant))).collect();
    let when = (&spec.mode, &spec.expires);
    let parts = (&spec.features, values, &spec.services, &spec.needs, &spec.not, &spec.stages, when, &spec.decisions, environments, cohorts);
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
            let open = other
                .environments
                .iter()
                .any(|(e, inside)| environments.contains(e) && matches!(inside.course.kind(), CourseKind::Exposing | CourseKind::Exposed | CourseKind::Paused));
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
    let mut twice = BTreeSet::new();
    for (i, label) in spec.services.iter().enumerate() {
        if !twice.insert(&label.service) {
            bad(ReasonCode::Invalid, format!("spec.services[{i}]"), format!("`{}` is in the release twice", label.service), "name one build of each service");
        }
    }
    for (i, label) in spec.not.iter().enumerate() {
        if !state.services.contains_key(&label.service) {
            bad(ReasonCode::UnknownReference, format!("spec.not[{i}]"), format!("there is no service `{}`", label.service), "correct the name");
        } else if !spec.needs.iter().any(|n| n.service == label.service) && !twice.contains(&label.service) {
            bad(
                ReasonCode::Invalid,
                format!("spec.not[{i}]"),
                format!("the release needs nothing of `{}`, so what runs of it is not looked at", label.service),
                &format!("add a need on it, for example \"{}>=VERSION\"", label.service),
            );
        }
    }
    let mut shares: BTreeMap<Option<&Name>, Share> = BTreeMap::new();
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
    for (i, rule) in spec.decisions.iter().enumerate() {
        if rule.quorum == 0 {
            bad(ReasonCode::Invalid, format!("spec.decisions[{i}].quorum"), "a quorum of nobody decides nothing".into(), "ask for at least one");
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
