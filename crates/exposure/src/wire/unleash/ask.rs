//! Callers who ask us instead of evaluating themselves: their context, and what an SDK would have said.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Payload;
use crate::context::{Attribute, Context};
use crate::evaluate::Answer;
use crate::model::{AttributeType, Clause, Op, Scalar, TARGETING_KEY, ValueType};
use crate::snapshot::Snapshot;

/// What the variant of a feature without one is called.
pub(crate) const DISABLED: &str = "disabled";

/// A context of Unleash's. All its values are text there; those that our rules compare as numbers become numbers here.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    user: Option<String>,
    attributes: Map<String, Value>,
    /// Given for want of the caller's own: other values at another time.
    passing: Map<String, Value>,
    passed: Cell<bool>,
}

impl Asker {
    /// Of a JSON object whose `properties` stand beside the fields that Unleash knows by name.
    #[must_use]
    pub fn new(mut context: Map<String, Value>) -> Self {
        let properties = match context.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        let mut attributes = properties;
        attributes.extend(context.into_iter().filter(|(_, value)| !value.is_null()));
        for value in attributes.values_mut() {
            if let Value::Number(_) | Value::Bool(_) = value {
                *value = Value::String(value.to_string());
            }
        }
        let user = match attributes.remove("userId") {
            Some(Value::String(user)) => Some(user),
            _ => None,
        };
        Self { user, attributes, ..Self::default() }
    }

    /// Gives an attribute that the caller did not, and that has another value each time.
    #[must_use]
    pub fn or(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.attributes.contains_key(name) {
            self.passing.insert(name.to_owned(), Value::String(value.into()));
        }
        self
    }

    /// Whether some answer so far has asked for what [`Self::or`] gave: it may be another the next time.
    #[must_use]
    pub const fn has_passed(&self) -> bool {
        self.passed.get()
    }

    /// Writes all that answers depend on but for [`Self::or`], alike for callers who are alike. `asked` are the attributes that rules
    /// ask for ([`Snapshot::asked`]).
    pub fn write_canonical(&self, out: &mut Vec<u8>, asked: &BTreeSet<String>) {
        let attributes: Vec<_> = self.attributes.iter().filter(|(name, _)| asked.contains(*name)).collect();
        // what is in memory can be written
        let _ = serde_json::to_writer(out, &(&self.user, attributes));
    }

    /// With these attributes as numbers, where they read as such; see [`numbers`].
    #[must_use]
    pub fn with_numbers(mut self, names: &BTreeSet<String>) -> Self {
        for name in names {
            if let Some(value) = self.attributes.get_mut(name)
                && let Some(number) = value.as_str().and_then(|text| text.trim().parse::<f64>().ok()).and_then(serde_json::Number::from_f64)
            {
                *value = Value::Number(number);
            }
        }
        self
    }
}

impl Context for Asker {
    fn targeting_key(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        match self.attributes.get(name) {
            Some(value) => Attribute::from_json(value),
            None => {
                let value = self.passing.get(name)?;
                self.passed.set(true);
                Attribute::from_json(value)
            }
        }
    }
}

/// The attributes that are declared as numbers, or that some rule or cohort of the snapshot compares as such.
#[must_use]
pub fn numbers(snapshot: &Snapshot) -> BTreeSet<String> {
    let declared = snapshot.attributes().iter().filter(|(_, declared)| **declared == AttributeType::Number).map(|(name, _)| name.clone());
    let rules = snapshot.features().flat_map(|(_, feature)| feature.claims.into_iter().chain(feature.baseline)).flat_map(|rule| rule.when);
    let cohorts = snapshot.cohorts().iter().flat_map(|cohort| cohort.model().any_of.into_iter().flatten());
    rules.chain(cohorts).filter_map(numeric).chain(declared).collect()
}

fn numeric(clause: Clause) -> Option<String> {
    match clause {
        Clause::Test(test) | Clause::Not(test) if test.attribute != TARGETING_KEY => {
            let compared = matches!(test.op, Op::Eq | Op::Lt | Op::Le | Op::Gt | Op::Ge);
            let listed = matches!(test.op, Op::In | Op::NotIn) && test.values.iter().any(|value| matches!(value, Scalar::Number(_)));
            (compared || listed).then_some(test.attribute)
        }
        _ => None,
    }
}

/// What an SDK says of a feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub enabled: bool,
    pub variant: Chosen,
}

/// The variant of an answer; the one called `disabled` if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    pub enabled: bool,
    pub feature_enabled: bool,
}

/// What an SDK would say where our evaluator answers this; a feature that does not exist is off.
#[must_use]
pub fn said(answer: Option<Answer<'_>>) -> Said {
    let shown = answer.filter(|answer| is_on(answer.off(), answer.variant(), answer.value()));
    let enabled = shown.is_some();
    let variant = match shown.and_then(|answer| named(answer.value_type(), answer.variant(), answer.value())) {
        Some((name, payload)) => Chosen { name, payload, enabled: true, feature_enabled: true },
        None => Chosen { name: DISABLED.to_owned(), payload: None, enabled: false, feature_enabled: enabled },
    };
    Said { enabled, variant }
}

/// Writes a feature as the frontend API lists it, if it is on; says whether it is.
pub fn write_shown(out: &mut Vec<u8>, answer: &Answer<'_>) -> bool {
    if !is_on(answer.off(), answer.variant(), answer.value()) {
        return false;
    }
    out.extend_from_slice(b"{\"name\":");
    let _ = serde_json::to_writer(&mut *out, answer.key());
    out.extend_from_slice(b",\"enabled\":true,\"variant\":");
    match named(answer.value_type(), answer.variant(), answer.value()) {
        Some((name, payload)) => {
            let _ = serde_json::to_writer(&mut *out, &Chosen { name, payload, enabled: true, feature_enabled: true });
        }
        None => out.extend_from_slice(b"{\"name\":\"disabled\",\"enabled\":false,\"feature_enabled\":true}"),
    }
    out.extend_from_slice(b",\"impressionData\":false}");
    true
}

/// Whether an answer shows the feature, in Unleash's sense of on and off.
pub(crate) fn is_on(off: &str, variant: &str, value: &Value) -> bool {
    variant != off && *value != Value::Bool(false)
}

/// The variant that crosses the wire for a value that is on; `None` for one that is on and no more.
pub(crate) fn named(r#type: ValueType, name: &str, value: &Value) -> Option<(String, Option<Payload>)> {
    let payload = |kind: &str, value: String| Some((name.to_owned(), Some(Payload { r#type: kind.to_owned(), value })));
    match (r#type, value) {
        (ValueType::Boolean, _) => None,
        (ValueType::String, Value::String(text)) => payload("string", text.clone()),
        (ValueType::Integer | ValueType::Float, value) => payload("number", value.to_string()),
        (_, value) => match Envelope::deserialize(value) {
            Ok(Envelope { enabled: true, variant: None, payload: None }) => None,
            Ok(Envelope { enabled: true, variant: Some(name), payload }) => Some((name, payload)),
            _ => payload("json", value.to_string()),
        },
    }
}

/// How often each of our variants was given, by an SDK's counts of a feature; `None` if there is no such feature. What is
/// known to have been on, and no more, counts for the one variant that is on, or for `yes` where there are several.
#[must_use]
pub fn counted(snapshot: &Snapshot, key: &str, yes: u64, no: u64, variants: impl IntoIterator<Item = (String, u64)>) -> Option<Vec<(String, u64)>> {
    let feature = snapshot.feature(key)?;
    let shown: Vec<(&str, Option<String>)> = (feature.variants.iter())
        .filter(|(name, value)| is_on(&feature.off, name, value))
        .map(|(name, value)| (name.as_str(), named(feature.r#type, name, value).map(|(name, _)| name)))
        .collect();
    let mut counts: Vec<(String, u64)> = vec![(feature.off.clone(), no)];
    let mut rest = yes;
    for (given, count) in variants {
        if let Some((name, _)) = shown.iter().find(|(_, name)| name.as_deref() == Some(&given)) {
            counts.push(((*name).to_owned(), count));
            rest = rest.saturating_sub(count);
        }
    }
    let on = if let [(only, _)] = shown.as_slice() { only } else { "yes" };
    counts.push((on.to_owned(), rest));
    counts.retain(|(_, count)| *count > 0);
    Some(counts)
}

/// A value that was imported whole; see [`crate::import::unleash`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    enabled: bool,
    variant: Option<String>,
    payload: Option<Payload>,
}
