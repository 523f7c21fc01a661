//! What leads from one model to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, Model};

impl Model {
    /// The change that makes this model of `before`, which is an earlier one of the same environment:
    /// `before.apply(&change)` gives `self`. What both share is not looked into.
    #[must_use]
    pub fn change_from(&self, before: &Self) -> Change {
        let (put_cohorts, drop_cohorts) = difference(&before.cohorts, &self.cohorts);
        let (put, drop) = difference(&before.features, &self.features);
        let attributes = (self.attributes != before.attributes).then(|| self.attributes.clone());
        Change { revision: self.revision, attributes, put_cohorts, drop_cohorts, put, drop }
    }
}

type Named<T> = BTreeMap<String, Arc<T>>;

/// What is new or other in `after`, and what is no longer there.
fn difference<T: PartialEq>(before: &Named<T>, after: &Named<T>) -> (Named<T>, Vec<String>) {
    let same = |one: &Arc<T>, other: &Arc<T>| Arc::ptr_eq(one, other) || one == other;
    let news = after.iter().filter(|(name, value)| before.get(*name).is_none_or(|known| !same(known, value)));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    (news.map(|(name, value)| (name.clone(), Arc::clone(value))).collect(), gone.cloned().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(revision: u64, attributes: &serde_json::Value, cohorts: &[(&str, u64)], features: &[(&str, &str)]) -> Model {
        let cohorts: serde_json::Map<_, _> = cohorts.iter().map(|(name, version)| ((*name).to_owned(), json!({ "version": version }))).collect();
        let feature = |on: &str| json!({"type": "string", "variants": {"on": on, "off": ""}, "off": "off", "default": "on"});
        let features: serde_json::Map<_, _> = features.iter().map(|(key, on)| ((*key).to_owned(), feature(on))).collect();
        let model =
            json!({"format": "greenroom/snapshot/1", "environment": "production", "revision": revision, "attributes": attributes, "cohorts": cohorts, "features": features});
        serde_json::from_value(model).unwrap()
    }

    #[test]
    fn a_change_leads_from_one_model_to_the_other_and_names_only_what_differs() {
        let before = model(1, &json!({}), &[("staff", 1), ("beta", 1)], &[("a", "x"), ("b", "x"), ("c", "x")]);
        let after = model(2, &json!({"plan": "string"}), &[("staff", 2), ("early", 1)], &[("a", "x"), ("b", "y"), ("d", "x")]);
        let change = after.change_from(&before);
        assert_eq!(change.put.keys().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(change.drop, ["c"]);
        assert_eq!(change.put_cohorts.keys().collect::<Vec<_>>(), ["early", "staff"]);
        assert_eq!(change.drop_cohorts, ["beta"]);
        let mut applied = before;
        applied.apply(&change);
        assert_eq!(applied, after);
        let nothing = after.change_from(&after);
        assert_eq!(nothing, Change { revision: 2, ..Change::default() });
    }
}
