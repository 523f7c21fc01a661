//! Attributes of callers that are declared, and who reads them.

use std::collections::{BTreeMap, BTreeSet};

use greenroom_api::views;
use greenroom_domain::release::attribute::{Attribute, asked};
use greenroom_domain::state::State;

/// Who reads what, in words, by the name of the attribute.
pub type Readers<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// Of all cohorts, and of all rules that people have set. What a release serves reads through cohorts alone.
pub fn readers(state: &State) -> Readers<'_> {
    let mut all = Readers::new();
    for cohort in state.cohorts.values() {
        for attribute in cohort.spec.any_of.iter().flatten().filter_map(asked) {
            all.entry(attribute).or_default().insert(format!("cohort {}", cohort.name));
        }
    }
    for feature in state.features.values() {
        for (environment, baseline) in &feature.baselines {
            for attribute in baseline.asks().flat_map(|(_, when, by)| when.iter().filter_map(asked).chain(by)) {
                all.entry(attribute).or_default().insert(format!("feature {} in {environment}", feature.key));
            }
        }
    }
    all
}

pub fn attribute(readers: &Readers<'_>, attribute: &Attribute) -> views::Attribute {
    views::Attribute {
        name: attribute.name.clone(),
        title: attribute.title.clone(),
        spec: attribute.spec.clone(),
        read_by: readers.get(attribute.name.as_str()).into_iter().flatten().cloned().collect(),
    }
}
