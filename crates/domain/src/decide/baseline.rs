//! Setting what serves after every claim, outside production: named rules, and the variant for whom none matches.
//!
//! Whether rules can be served as they are written is asked of the crate that will serve them: there is one judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom_exposure::Snapshot;
use greenroom_exposure::model::{self, Change};

use super::{Work, release};
use crate::event::BaselineSet;
use crate::exposure;
use crate::id::{FeatureKey, Name, VariantName};
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::feature::{Baseline, BaselineRule, Feature};
use crate::state::State;

pub(super) fn set(work: &mut Work<'_>, key: &FeatureKey, environment: &Name, rules: Option<&[BaselineRule]>, variant: Option<&VariantName>) -> Result<(), Refusal> {
    let found = release::feature_in(work, key, environment)?;
    if let Some(variant) = variant.filter(|v| !found.spec.variants.contains_key(*v)) {
        return Err(Refusal::invalid(format!("feature/{key}"), format!("there is no variant `{variant}`"), "name one of its variants"));
    }
    settable(work, environment)?;
    let standing = found.baselines.get(environment);
    let baseline = Baseline {
        entries: standing.map(|b| b.entries.clone()).unwrap_or_default(),
        rules: rules.map_or_else(|| standing.map(|b| b.rules.clone()).unwrap_or_default(), <[_]>::to_vec),
        default: variant.unwrap_or_else(|| found.default_in(environment, false)).clone(),
    };
    if standing == Some(&baseline) {
        return Ok(());
    }
    if rules.is_some() {
        Refusal::unless_empty(RefusalKind::Invalid, wrong(&work.state, environment, &found, &baseline))?;
    }
    work.push(BaselineSet { feature: key.clone(), environment: environment.clone(), baseline });
    Ok(())
}

/// Whether people may set baselines in the environment at all.
pub(super) fn settable(work: &Work<'_>, environment: &Name) -> Result<(), Refusal> {
    if !work.state.environments.contains_key(environment) {
        return Err(Refusal::not_found("environment", environment));
    }
    if work.state.is_production(environment) {
        return Err(Refusal::one(
            RefusalKind::Refused,
            Reason::new(ReasonCode::NotReleased, format!("environment/{environment}"), format!("`{environment}` is production: exposure there is a release"))
                .remedy("greenroom release plan"),
        ));
    }
    Ok(())
}

/// Every reason why the rules cannot be served as they are written, each at its place in the request.
fn wrong(state: &State, environment: &Name, found: &Feature, baseline: &Baseline) -> Vec<Reason> {
    let subject = format!("feature/{}", found.key);
    let mut reasons = Vec::new();
    let mut names = BTreeSet::new();
    let (audiences, _) = Snapshot::compile(&exposure::audiences(state, environment, &|_| None));
    for (i, rule) in baseline.rules.iter().enumerate() {
        if rule.name.trim().is_empty() || rule.name.len() > 200 {
            let reason = Reason::new(ReasonCode::Invalid, &subject, "a rule's name has 1 to 200 characters");
            reasons.push(reason.remedy("name it: answers say which rule gave them").path(format!("rules[{i}].name")));
        } else if !names.insert(&rule.name) {
            let reason = Reason::new(ReasonCode::AlreadyExists, &subject, format!("two rules are called `{}`", rule.name));
            reasons.push(reason.remedy("rename one: answers say which rule gave them").path(format!("rules[{i}].name")));
        }
        // each alone: of a feature that is off as a whole nobody could tell which rule is at fault
        let alone = Baseline { entries: Vec::new(), rules: vec![rule.clone()], default: baseline.default.clone() };
        let mut feature = found.clone();
        feature.baselines.insert(environment.clone(), alone);
        let compiled = exposure::feature(state, environment, &feature);
        // what releases and other features add is judged where they are planned and defined
        let compiled = model::Feature { claims: Vec::new(), prerequisites: Vec::new(), ..compiled };
        let put = [(found.key.to_string(), Arc::new(compiled))].into();
        for warning in audiences.with(&Change { put, ..Change::default() }).1 {
            let reason = Reason::new(ReasonCode::Invalid, &subject, format!("rule `{}`: {}", rule.name, warning.message));
            reasons.push(reason.remedy("correct the rule").path(format!("rules[{i}]")));
        }
    }
    reasons
}
