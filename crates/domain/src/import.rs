//! Another product's definitions, read by [`greenroom_exposure::import`], as manifests and baselines of ours.
//!
//! Features and cohorts become manifests of one set. What served in the environment that the file comes from becomes the
//! baseline of the feature in one environment here, which is not production: exposure there is a release.

use std::collections::{BTreeMap, BTreeSet};

use greenroom_exposure::import::{Imported, Refused};
use greenroom_exposure::model::{self, Clause};

use crate::command::Manifest;
use crate::id::{FeatureKey, Name, VariantName};
use crate::release::cohort::CohortSpec;
use crate::release::feature::{BaselineRule, FeatureSpec};
use crate::value::ValueType;

/// What a feature serves where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Serves {
    pub feature: FeatureKey,
    pub rules: Vec<BaselineRule>,
    pub default: VariantName,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translated {
    pub manifests: Vec<Manifest>,
    pub serves: Vec<Serves>,
    /// What was not taken over, each with its reason.
    pub refused: Vec<Refused>,
    /// What a person should know about the rest.
    pub notes: Vec<String>,
}

/// Names that we would not take are refused here; whoever needs what was refused is refused with it.
#[must_use]
pub fn translate(imported: Imported) -> Translated {
    let Imported { features, cohorts, mut refused, mut notes } = imported;
    // one that holds for everyone says nothing, and one that holds for nobody was left out of the rules
    let everyone: BTreeSet<&String> = cohorts.iter().filter(|(_, cohort)| cohort.any_of.iter().any(Vec::is_empty)).map(|(name, _)| name).collect();
    let mut taken = BTreeMap::new();
    for (key, feature) in &features {
        match one(key, feature, &everyone) {
            Ok(both) => {
                if both.0.prerequisites.is_empty() && !feature.prerequisites.is_empty() {
                    notes.push(format!("`{key}` needs what another feature never answers: it is off for everyone"));
                }
                taken.insert(key.as_str(), both);
            }
            Err(because) => refused.push(Refused { feature: key.clone(), because }),
        }
    }
    while let Some((key, needed)) = orphan(&features, &taken) {
        taken.remove(key);
        refused.push(Refused { feature: key.to_owned(), because: format!("it depends on `{needed}`, which was refused") });
    }
    let (mut manifests, mut serves) = (Vec::new(), Vec::new());
    for (name, cohort) in &cohorts {
        let spec = CohortSpec { internal: cohort.internal, weight: None, any_of: cohort.any_of.clone(), users: Vec::new() };
        if let Ok(name) = Name::new(name)
            && !spec.any_of.is_empty()
            && !spec.any_of.iter().any(Vec::is_empty)
        {
            manifests.push(Manifest::Cohort { name, title: None, spec });
        }
    }
    for (spec, served) in taken.into_values() {
        manifests.push(Manifest::Feature { key: served.feature.clone(), title: None, spec });
        serves.push(served);
    }
    refused.sort_by(|one, other| one.feature.cmp(&other.feature));
    Translated { manifests, serves, refused, notes }
}

fn orphan<'f, T>(features: &'f BTreeMap<String, model::Feature>, taken: &BTreeMap<&'f str, T>) -> Option<(&'f str, &'f str)> {
    taken.keys().find_map(|key| {
        let lost = features.get(*key)?.prerequisites.iter().find(|needed| !taken.contains_key(needed.feature.as_str()))?;
        Some((*key, lost.feature.as_str()))
    })
}

fn one(key: &str, feature: &model::Feature, everyone: &BTreeSet<&String>) -> Result<(FeatureSpec, Serves), String> {
    let key = FeatureKey::new(key).map_err(|error| error.to_string())?;
    let variant = |name: &str| VariantName::new(name).map_err(|error| error.to_string());
    let variants = feature.variants.iter().map(|(name, value)| Ok((variant(name)?, value.clone()))).collect::<Result<_, String>>()?;
    let mut prerequisites: BTreeMap<FeatureKey, Vec<VariantName>> = BTreeMap::new();
    for needed in &feature.prerequisites {
        let refused = || format!("it depends on `{}`, which was refused", needed.feature);
        let names = needed.variants.iter().map(VariantName::new).collect::<Result<Vec<_>, _>>().map_err(|_| refused())?;
        let key = FeatureKey::new(&needed.feature).map_err(|_| refused())?;
        // asked for twice, both must hold
        prerequisites.entry(key).and_modify(|known| known.retain(|name| names.contains(name))).or_insert(names);
    }
    let says = |clause: &Clause| !matches!(clause, Clause::Cohort(name) if everyone.contains(name));
    // what nobody can have is said without needing anyone
    let never = prerequisites.values().any(Vec::is_empty);
    if never {
        prerequisites.clear();
    }
    let rules = feature
        .baseline
        .iter()
        .filter(|_| !never)
        .map(|rule| BaselineRule { name: rule.name.clone(), when: rule.when.iter().filter(|clause| says(clause)).cloned().collect(), then: rule.then.clone() })
        .collect();
    let spec = FeatureSpec { r#type: type_of(feature.r#type), variants, off: variant(&feature.off)?, owner: None, defaults: BTreeMap::new(), prerequisites };
    let default = variant(if never { &feature.off } else { &feature.default })?;
    Ok((spec, Serves { feature: key, rules, default }))
}

const fn type_of(r#type: model::ValueType) -> ValueType {
    match r#type {
        model::ValueType::Boolean => ValueType::Boolean,
        model::ValueType::String => ValueType::String,
        model::ValueType::Integer => ValueType::Integer,
        model::ValueType::Float => ValueType::Float,
        model::ValueType::Object => ValueType::Object,
    }
}
