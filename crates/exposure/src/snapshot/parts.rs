//! What a change puts and drops, as sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{AttributeType, Cohort, Feature};
use crate::source;

/// Where sources come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We wrote them.
    Model,
    /// They may say anything.
    Bytes,
}

/// A [`Change`] as sources. Both lists are in order of names.
pub(super) struct Parts<'a> {
    pub revision: u64,
    pub attributes: Option<&'a BTreeMap<String, AttributeType>>,
    pub put_cohorts: Vec<(&'a str, &'a str)>,
    pub drop_cohorts: &'a [String],
    pub put: Vec<(&'a str, &'a str)>,
    pub drop: &'a [String],
}

impl Parts<'_> {
    pub(super) fn puts(&self, key: &str) -> bool {
        self.put.binary_search_by(|(other, _)| (*other).cmp(key)).is_ok()
    }
}

/// Cohorts and features of a model as sources, one behind the other.
pub(super) struct Sources<'a> {
    text: String,
    /// Where each ends.
    cohorts: Vec<(&'a str, usize)>,
    features: Vec<(&'a str, usize)>,
}

impl<'a> Sources<'a> {
    pub(super) fn of(cohorts: &'a BTreeMap<String, Arc<Cohort>>, features: &'a BTreeMap<String, Arc<Feature>>) -> Self {
        let mut text = String::new();
        let mut put = |name: &'a String, put: &dyn Fn(&mut String)| {
            put(&mut text);
            (name.as_str(), text.len())
        };
        let cohorts = cohorts.iter().map(|(name, cohort)| put(name, &|out| source::put_cohort(out, cohort))).collect();
        let features = features.iter().map(|(key, feature)| put(key, &|out| source::put_feature(out, feature))).collect();
        Self { text, cohorts, features }
    }

    pub(super) fn parts(&'a self, revision: u64, attributes: Option<&'a BTreeMap<String, AttributeType>>, drop_cohorts: &'a [String], drop: &'a [String]) -> Parts<'a> {
        let mut start = 0;
        let mut source = |(name, end): &(&'a str, usize)| {
            let source = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (*name, source)
        };
        Parts { revision, attributes, put_cohorts: self.cohorts.iter().map(&mut source).collect(), put: self.features.iter().map(&mut source).collect(), drop_cohorts, drop }
    }
}
