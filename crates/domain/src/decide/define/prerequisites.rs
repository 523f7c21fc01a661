//! What features need of each other: it must be there, and must not lead back to who needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use greenroom_exposure::model::{self, Prerequisite};
use greenroom_exposure::{Model, Snapshot};
use serde_json::Value;

use super::World;
use super::wrong::{cycle, invalid, unknown};
use crate::id::{FeatureKey, VariantName};
use crate::refusal::{Reason, ReasonCode};
use crate::release::feature::FeatureSpec;
use crate::state::State;

/// What a feature names of others is there.
pub(super) fn named(world: &World<'_>, key: &FeatureKey, spec: &FeatureSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("feature/{key}");
    for (needed, variants) in &spec.prerequisites {
        let at = format!("spec.prerequisites.{needed}");
        let Some(other) = world.features.get(needed.as_str()) else {
            unknown(reasons, subject(), at, "feature", needed.as_str());
            continue;
        };
        if variants.is_empty() {
            invalid(reasons, subject(), &at, format!("no variant of `{needed}` would do"), "name at least one of its variants");
        }
        for (i, variant) in variants.iter().enumerate().filter(|(_, v)| !other.variants.contains_key(*v)) {
            let known = other.variants.keys().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
            reasons.push(
                Reason::new(ReasonCode::UnknownReference, subject(), format!("feature `{needed}` has no variant `{variant}`"))
                    .remedy(format!("name one of {known}"))
                    .path(format!("{at}[{i}]")),
            );
        }
    }
}

/// Features that this set leaves as they are and that need `key`, by `variant` or at all: the reason why it must stay.
pub(super) fn needed(state: &State, world: &World<'_>, key: &FeatureKey, variant: Option<&VariantName>, what: &str, path: &str, reasons: &mut Vec<Reason>) {
    let by = |spec: &FeatureSpec| spec.prerequisites.get(key).is_some_and(|wanted| variant.is_none_or(|v| wanted.contains(v)));
    for other in world.features.iter().filter(|(other, spec)| by(spec) && !defined(state, other, spec)).map(|(other, _)| other) {
        reasons.push(
            Reason::new(ReasonCode::StillReferenced, format!("feature/{key}"), format!("{what}: feature `{other}` needs it"))
                .remedy(format!("take it out of the prerequisites of `{other}` first"))
                .path(path),
        );
    }
}

/// Whether this set defines the feature.
fn defined(state: &State, key: &str, spec: &FeatureSpec) -> bool {
    state.features.get(key).is_none_or(|old| !std::ptr::eq(spec, &raw const old.spec))
}

/// All prerequisites together, judged by what will evaluate them: no cycle, and not hundreds of questions for one answer.
pub(super) fn whole(state: &State, world: &World<'_>, reasons: &mut Vec<Reason>) {
    let needs = |key: &str| world.features.get(key).into_iter().flat_map(|spec| spec.prerequisites.keys().map(FeatureKey::as_str));
    let mut faulty = at_fault(world);
    // of a cycle, the feature is named that this set brings
    faulty.sort_by_key(|(key, spec, _)| (!defined(state, key, spec), *key));
    let mut said: BTreeSet<&str> = BTreeSet::new();
    for (key, _, message) in faulty {
        if said.contains(key) {
            continue;
        }
        let way = cycle(key, needs);
        let (code, message, remedy) = if way.is_empty() {
            (ReasonCode::Invalid, message, "let it need fewer")
        } else {
            (
                ReasonCode::Cycle,
                format!("{}: a cycle", way.iter().chain([&key]).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" needs ")),
                "let one of them stand without the others",
            )
        };
        reasons.push(Reason::new(code, format!("feature/{key}"), message).remedy(remedy).path("spec.prerequisites"));
        said.extend(way);
    }
}

/// Features whose prerequisites cannot be evaluated as a graph, and why. Of each feature only the edges to others that are
/// there count: what else is wrong with it is said by [`named`].
fn at_fault<'a>(world: &World<'a>) -> Vec<(&'a str, &'a FeatureSpec, String)> {
    if world.features.values().all(|spec| spec.prerequisites.is_empty()) {
        return Vec::new();
    }
    let mut graph = Model::new("check", 0);
    for (key, spec) in &world.features {
        let there = spec.prerequisites.keys().filter(|needed| world.features.contains_key(needed.as_str()));
        let bare = model::Feature {
            r#type: model::ValueType::Boolean,
            variants: BTreeMap::from([("off".to_owned(), Value::Bool(false))]),
            off: "off".to_owned(),
            killed: None,
            claims: Vec::new(),
            baseline: Vec::new(),
            default: "off".to_owned(),
            prerequisites: there.map(|needed| Prerequisite { feature: needed.to_string(), variants: Vec::new() }).collect(),
            dark: None,
        };
        graph.features.insert((*key).to_owned(), Arc::new(bare));
    }
    let found = |key: &str| world.features.get_key_value(key).map(|(key, spec)| (*key, *spec));
    Snapshot::compile(&graph).1.into_iter().filter_map(|w| found(w.feature.as_deref()?).map(|(key, spec)| (key, spec, w.message))).collect()
}
