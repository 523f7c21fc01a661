//! The values of a feature: which type its payloads make, and under which names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::ValueType;
use crate::program::EXACT;
use crate::wire::unleash::{Payload, Toggle, Variant};

/// A feature's values, and the names its rules give.
pub(super) struct Values {
    pub r#type: ValueType,
    pub values: BTreeMap<String, Value>,
    pub off: String,
    /// For an answer that is on and has no variant.
    pub on: String,
    names: Vec<(Variant, String)>,
}

impl Values {
    /// `plain`: some strategy is on without a variant.
    pub(super) fn of(toggle: &Toggle, plain: bool) -> Result<Self, String> {
        let mut names: Vec<(Variant, String)> = Vec::new();
        for variant in toggle.strategies.iter().flat_map(|strategy| &strategy.variants).chain(&toggle.variants) {
            if names.iter().any(|(known, _)| same(known, variant)) {
                continue;
            }
            // strategies may give one name several payloads
            let namesakes = names.iter().filter(|(known, _)| known.name == variant.name).count();
            let name = if namesakes == 0 { variant.name.clone() } else { format!("{}.{}", variant.name, namesakes + 1) };
            if names.iter().any(|(_, known)| *known == name) {
                return Err(format!("two variants would be called `{name}`"));
            }
            names.push((variant.clone(), name));
        }
        let free = |wanted: [&str; 3]| {
            let found = wanted.into_iter().find(|name| names.iter().all(|(_, taken)| taken != name));
            found.map(str::to_owned).ok_or_else(|| format!("variants are called {}, which leaves no name for our own", wanted.join(", ")))
        };
        let (off, on) = (free(["off", "disabled", "none"])?, free(["on", "enabled", "plain"])?);
        let (r#type, mut values) = if names.is_empty() {
            (ValueType::Boolean, BTreeMap::from([(on.clone(), json!(true)), (off.clone(), json!(false))]))
        } else if let Some((r#type, empty)) = single_type(&names).filter(|_| !plain) {
            let values = names.iter().filter_map(|(variant, name)| Some((name.clone(), native(r#type, variant.payload.as_ref()?)?)));
            (r#type, values.chain([(off.clone(), empty)]).collect())
        } else {
            let values = names.iter().map(|(variant, name)| (name.clone(), envelope(variant)));
            (ValueType::Object, values.chain([(off.clone(), json!({"enabled": false}))]).collect())
        };
        if plain && !names.is_empty() {
            values.insert(on.clone(), json!({"enabled": true}));
        }
        Ok(Self { r#type, values, off, on, names })
    }

    pub(super) fn name(&self, variant: &Variant) -> String {
        self.names.iter().find(|(known, _)| same(known, variant)).map_or_else(|| variant.name.clone(), |(_, name)| name.clone())
    }
}

fn same(one: &Variant, other: &Variant) -> bool {
    one.name == other.name && one.payload == other.payload
}

/// What an SDK would say, as an object.
fn envelope(variant: &Variant) -> Value {
    match &variant.payload {
        Some(payload) => json!({"enabled": true, "variant": variant.name, "payload": payload}),
        None => json!({"enabled": true, "variant": variant.name}),
    }
}

/// The type that all payloads have, with its empty value; names must be their own.
fn single_type(names: &[(Variant, String)]) -> Option<(ValueType, Value)> {
    let all = |r#type| names.iter().all(|(variant, name)| variant.name == *name && variant.payload.as_ref().is_some_and(|payload| native(r#type, payload).is_some()));
    [(ValueType::String, json!("")), (ValueType::Integer, json!(0)), (ValueType::Float, json!(0.0)), (ValueType::Object, json!({}))].into_iter().find(|(r#type, _)| all(*r#type))
}

/// The payload as a value of this type, if that says the same to the letter.
fn native(r#type: ValueType, payload: &Payload) -> Option<Value> {
    let text = payload.value.as_str();
    let parsed = || serde_json::from_str::<Value>(text).ok().filter(|value| serde_json::to_string(value).is_ok_and(|again| again == text));
    match (r#type, payload.r#type.as_str()) {
        (ValueType::String, "string") => Some(text.into()),
        (ValueType::Integer, "number") => parsed().filter(|value| value.as_i64().is_some_and(|number| number.unsigned_abs() <= EXACT as u64)),
        (ValueType::Float, "number") => parsed().filter(|value| value.is_f64() && value.as_f64().is_some_and(|number| number.abs() <= EXACT)),
        (ValueType::Object, "json") => parsed().filter(|value| value.as_object().is_some_and(|object| !object.contains_key("enabled"))),
        _ => None,
    }
}
