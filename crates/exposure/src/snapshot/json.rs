//! A snapshot straight from its JSON: each feature is read, put among the sources and let go, so that the model is never in
//! memory as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{Parts, Snapshot};
use crate::compile::Warning;
use crate::model::{AttributeType, Cohort, Feature, Format};
use crate::source::{put_cohort, put_feature};

impl Snapshot {
    /// Reads and compiles the canonical form: what [`Self::compile`] makes of the model, in half the time.
    ///
    /// # Errors
    /// If it is not the JSON of a [`crate::Model`].
    pub fn read(json: &[u8]) -> serde_json::Result<(Self, Vec<Warning>)> {
        let Whole { format: Format, environment, revision, attributes, cohorts, features } = serde_json::from_slice(json)?;
        let parts = Parts { revision, attributes: Some(&attributes), put_cohorts: cohorts.in_order(), put: features.in_order(), drop_cohorts: &[], drop: &[] };
        Ok(Self::empty(&environment, revision).with_model(&parts))
    }
}

/// As [`crate::Model`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    format: Format,
    environment: String,
    revision: u64,
    #[serde(default)]
    attributes: BTreeMap<String, AttributeType>,
    #[serde(default)]
    cohorts: Named<Cohort>,
    #[serde(default)]
    features: Named<Feature>,
}

trait Sourced: DeserializeOwned {
    fn put(&self, out: &mut String);
}

impl Sourced for Cohort {
    fn put(&self, out: &mut String) {
        put_cohort(out, self);
    }
}

impl Sourced for Feature {
    fn put(&self, out: &mut String) {
        put_feature(out, self);
    }
}

/// Names and sources, one behind the other, and where each is.
struct Named<T> {
    text: String,
    places: Vec<(Range<usize>, Range<usize>)>,
    of: PhantomData<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { text: String::new(), places: Vec::new(), of: PhantomData }
    }
}

impl<T> Named<T> {
    /// By name; of those with the same the last.
    fn in_order(&self) -> Vec<(&str, &str)> {
        let text = |place: &Range<usize>| self.text.get(place.clone()).unwrap_or_default();
        let mut all: Vec<(&str, &str)> = self.places.iter().map(|(name, source)| (text(name), text(source))).collect();
        if !all.is_sorted_by(|(one, _), (other, _)| one < other) {
            all.reverse();
            all.sort_by_key(|(name, _)| *name);
            all.dedup_by_key(|(name, _)| *name);
        }
        all
    }
}

impl<'de, T: Sourced> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Sourced> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut named = Named::default();
        let mut start = 0;
        while map.next_key_seed(Appended(&mut named.text))?.is_some() {
            let name = named.text.len();
            map.next_value::<T>()?.put(&mut named.text);
            named.places.push((start..name, name..named.text.len()));
            start = named.text.len();
        }
        Ok(named)
    }
}

/// A text that is added to another.
struct Appended<'o>(&'o mut String);

impl<'de> DeserializeSeed<'de> for Appended<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Appended<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}
