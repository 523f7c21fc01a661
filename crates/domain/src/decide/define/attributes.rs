//! Declared attributes: whoever reads one by another type is found, and named where the attribute is declared.
//!
//! Whether a clause fits a type is asked of the crate that will read it. What the set brings itself is judged where it stands.

use greenroom_exposure::model::{self, Algorithm, AttributeType, Clause, Share, TARGETING_KEY};
use greenroom_exposure::{Model, Snapshot};

use super::World;
use super::wrong::{done, invalid};
use crate::id::{AttributeName, Name};
use crate::refusal::{Reason, ReasonCode};
use crate::release::attribute::{AttributeSpec, asked};
use crate::release::cohort::Cohort;
use crate::state::State;

pub(super) fn attribute(state: &State, world: &World<'_>, name: &AttributeName, spec: &AttributeSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("attribute/{name}");
    if name.as_str() == TARGETING_KEY && spec.r#type != AttributeType::String {
        invalid(reasons, subject(), "spec.type", format!("`{TARGETING_KEY}` says who asks, which is text and nothing else"), "declare it as `string`, or not at all");
    }
    if state.attributes.get(name).is_some_and(|old| old.spec == *spec) {
        return;
    }
    for (who, message) in readers(state, world, name, spec.r#type) {
        let reason = Reason::new(ReasonCode::StillReferenced, subject(), format!("{who} reads it by another type: {message}"));
        reasons.push(reason.remedy("correct that first, or declare the type that it reads").path("spec.type"));
    }
}

/// Who goes on reading the attribute after the set is applied and cannot where it is of this type, and why.
fn readers(state: &State, world: &World<'_>, name: &AttributeName, r#type: AttributeType) -> Vec<(String, String)> {
    let misread = |when: &[Clause], by: Option<&str>| misread(name, r#type, when, by);
    let mut found = Vec::new();
    let kept = |cohort: &Cohort| world.cohorts.get(cohort.name.as_str()).is_some_and(|spec| std::ptr::eq(*spec, &raw const cohort.spec));
    for cohort in state.cohorts.values().filter(|c| kept(c)) {
        found.extend(cohort.spec.any_of.iter().find_map(|group| misread(group, None)).map(|why| (format!("cohort `{}`", cohort.name), why)));
    }
    // a release serves who was in a cohort when it was planned, and still is
    for release in state.releases.values().filter(|r| !done(r)) {
        for cohort in release.cohorts.iter().filter_map(|(name, version)| at(state, name, *version)).filter(|c| !kept(c)) {
            let who = || format!("cohort `{}` as release `{}` was planned with it", cohort.name, release.name);
            found.extend(cohort.spec.any_of.iter().find_map(|group| misread(group, None)).map(|why| (who(), why)));
        }
    }
    for feature in state.features.values().filter(|f| world.features.contains_key(f.key.as_str())) {
        for (environment, baseline) in feature.baselines.iter().filter(|(environment, _)| !world.serves_anew(&feature.key, environment)) {
            let rules = baseline.asks().filter_map(|(rule, when, by)| Some((rule, misread(when, by)?)));
            found.extend(rules.map(|(rule, why)| (format!("rule `{rule}` of feature `{}` in `{environment}`", feature.key), why)));
        }
    }
    found
}

/// A version of a cohort that someone may still name.
fn at<'a>(state: &'a State, name: &Name, version: u64) -> Option<&'a Cohort> {
    let now = state.cohorts.get(name).filter(|c| c.version == version);
    now.or_else(|| state.earlier_cohorts.get(&(name.clone(), version))).map(|c| &**c)
}

/// Why those of the clauses that read the attribute cannot where it is declared, though they can elsewhere. Who is divided
/// `by` it gives text, as for a share.
fn misread(name: &AttributeName, r#type: AttributeType, when: &[Clause], by: Option<&str>) -> Option<String> {
    let divided = by.map(|by| Clause::Share(Share { salt: String::new(), share: 0, algorithm: Algorithm::M3, attribute: by.to_owned() }));
    let group: Vec<Clause> = when.iter().cloned().chain(divided).filter(|clause| asked(clause) == Some(name.as_str())).collect();
    if group.is_empty() {
        return None;
    }
    let mut model = Model::new("check", 0);
    model.cohorts.insert("check".to_owned(), model::Cohort { version: 1, any_of: vec![group], internal: false }.into());
    let fault = |model: &Model| Snapshot::compile(model).1.into_iter().next().map(|warning| warning.message);
    if fault(&model).is_some() {
        return None;
    }
    model.attributes.insert(name.to_string(), r#type);
    fault(&model)
}
