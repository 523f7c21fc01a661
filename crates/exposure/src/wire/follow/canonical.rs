//! A snapshot's canonical form kept as the text that it came as. What is signed are bytes: whoever checks a signature, or
//! passes on what another has signed, puts them together from texts, and never writes a number or an escape anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Delta;
use crate::model::{Change, Format};

/// One part, as it came.
pub type Text = Arc<RawValue>;

type Texts = BTreeMap<Arc<str>, Text>;

/// Writes in the order that is signed. A clone shares the texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canonical {
    format: Format,
    pub environment: Arc<str>,
    pub revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Text>,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    cohorts: Texts,
    #[serde(default)]
    features: Texts,
}

/// A delta does not belong to the snapshot that it was to be applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// What it is applied to.
    pub held: u64,
    /// What it is for.
    pub from: u64,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the delta is for revision {}, and revision {} is held", self.from, self.held)
    }
}

impl std::error::Error for Misfit {}

impl Canonical {
    /// An environment of which nothing is known yet.
    #[must_use]
    pub fn empty(environment: &str) -> Self {
        Self { format: Format, environment: environment.into(), revision: 0, attributes: None, cohorts: Texts::new(), features: Texts::new() }
    }

    /// # Errors
    /// If `json` is not of this format. The parts are not looked into.
    pub fn read(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// The bytes that a signature covers.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether there is such a feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains_key(feature)
    }

    /// What `delta` makes of this.
    ///
    /// # Errors
    /// If it is for another revision.
    pub fn with(&self, delta: &Delta<Text, Text, Text>) -> Result<Self, Misfit> {
        if delta.from != self.revision || delta.to <= delta.from {
            return Err(Misfit { held: self.revision, from: delta.from });
        }
        let mut next = Self { revision: delta.to, ..self.clone() };
        if let Some(attributes) = &delta.attributes {
            next.attributes = (attributes.get() != NONE).then(|| Arc::clone(attributes));
        }
        replace(&mut next.cohorts, &delta.drop_cohorts, &delta.put_cohorts);
        replace(&mut next.features, &delta.drop, &delta.put);
        Ok(next)
    }

    /// What leads from `before`, an earlier snapshot of the same environment, to this one, whose signature is `sig`.
    #[must_use]
    pub fn delta_from(&self, before: &Self, sig: String) -> Delta<Text, Text, Text> {
        let (put_cohorts, drop_cohorts) = difference(&before.cohorts, &self.cohorts);
        let (put, drop) = difference(&before.features, &self.features);
        let attributes = match (&before.attributes, &self.attributes) {
            (None, None) => None,
            (Some(before), Some(after)) if same(before, after) => None,
            (_, Some(after)) => Some(Arc::clone(after)),
            (Some(_), None) => RawValue::from_string(NONE.to_owned()).ok().map(Text::from),
        };
        Delta { from: before.revision, to: self.revision, attributes, put_cohorts, drop_cohorts, put, drop, sig }
    }

    /// The change that leads from `before` to this, read only where they differ.
    ///
    /// # Errors
    /// If a part is not what it should be.
    pub fn change_from(&self, before: &Self) -> serde_json::Result<Change> {
        let Delta { to, attributes, put_cohorts, drop_cohorts, put, drop, .. } = self.delta_from(before, String::new());
        let attributes = attributes.map(|text| serde_json::from_str(text.get())).transpose()?;
        Ok(Change { revision: to, attributes, put_cohorts: read_all(put_cohorts)?, drop_cohorts, put: read_all(put)?, drop })
    }
}

/// No attributes are declared. A snapshot leaves that out; a delta must say it.
const NONE: &str = "{}";

fn read_all<T: DeserializeOwned>(texts: BTreeMap<String, Text>) -> serde_json::Result<BTreeMap<String, T>> {
    texts.into_iter().map(|(name, text)| Ok((name, serde_json::from_str(text.get())?))).collect()
}

fn replace(texts: &mut Texts, drop: &[String], put: &BTreeMap<String, Text>) {
    for name in drop {
        texts.remove(name.as_str());
    }
    texts.extend(put.iter().map(|(name, text)| (name.as_str().into(), Arc::clone(text))));
}

fn same(one: &Text, other: &Text) -> bool {
    Arc::ptr_eq(one, other) || one.get() == other.get()
}

/// What is new or other in `after`, and what is no longer there.
fn difference(before: &Texts, after: &Texts) -> (BTreeMap<String, Text>, Vec<String>) {
    let news = after.iter().filter(|(name, text)| before.get(*name).is_none_or(|known| !same(known, text)));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    (news.map(|(name, text)| (name.to_string(), Arc::clone(text))).collect(), gone.map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Model;

    fn model(revision: u64, attributes: &serde_json::Value, features: &[(&str, f64)]) -> Model {
        let feature = |value: f64| json!({"type": "float", "variants": {"on": value, "off": 0}, "off": "off", "default": "on"});
        let features: serde_json::Map<_, _> = features.iter().map(|(key, value)| ((*key).to_owned(), feature(*value))).collect();
        let (format, cohorts) = ("greenroom/snapshot/1", json!({"staff": {"version": revision}}));
        serde_json::from_value(json!({"format": format, "environment": "production", "revision": revision, "attributes": attributes, "cohorts": cohorts, "features": features}))
            .unwrap()
    }

    fn text(model: &Model) -> String {
        serde_json::to_string(model).unwrap()
    }

    #[test]
    fn what_is_read_is_written_as_it_was() {
        // a number that only its own text gives back exactly
        let text = text(&model(7, &json!({"plan": "string"}), &[("a", 0.1)])).replace("0.1", "1.00000000000000000000000000001e-7");
        let read = Canonical::read(&text).unwrap();
        assert_eq!((read.write(), read.has("a"), read.has("b")), (text.clone().into_bytes(), true, false));
        assert!(Canonical::read(&text.replace("snapshot/1", "snapshot/2")).is_err());
        assert!(Canonical::read(&text.replace("\"revision\"", "\"revised\"")).is_err());
    }

    #[test]
    fn a_delta_leads_to_the_text_of_the_next() {
        let (one, two) = (model(7, &json!({"plan": "string"}), &[("a", 0.5), ("b", 1.5)]), model(9, &json!({}), &[("b", 2.5), ("c", 1.0)]));
        let (before, after) = (Canonical::read(&text(&one)).unwrap(), Canonical::read(&text(&two)).unwrap());
        // as the server writes it from models, and as texts give it
        let typed: Delta<Text, Text, Text> = serde_json::from_str(&serde_json::to_string(&Delta::new(7, two.change_from(&one), String::new())).unwrap()).unwrap();
        for delta in [typed, after.delta_from(&before, String::new())] {
            assert_eq!(before.with(&delta).unwrap().write(), text(&two).as_bytes());
            assert_eq!(after.with(&delta).unwrap_err(), Misfit { held: 9, from: 7 });
        }
        let mut applied = one;
        applied.apply(&after.change_from(&before).unwrap());
        assert_eq!(applied, two);
        let whole = before.change_from(&Canonical::empty("production")).unwrap();
        assert_eq!((whole.put.len(), whole.put_cohorts.len(), whole.revision), (2, 1, 7));
    }
}
