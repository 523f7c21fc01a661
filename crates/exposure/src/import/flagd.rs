//! flagd's flag definitions (`flags` and `$evaluators`, open-feature/flagd-schemas `json/flags.json`) into our features.
//!
//! Targeting becomes ordered rules, evaluators become cohorts. What would not mean the same is refused: shares of users
//! (`fractional` divides them otherwise than we do, so people would change sides), the clock of the client, nested
//! attributes, and flags that leave the value to the application.

mod condition;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use self::condition::{Groups, Reader};
use super::{Imported, Refused};
use crate::model::{Feature, Outcome, Rule, ValueType};

/// Bytes of a file that is read.
const MAX_TEXT: usize = 16 << 20;

/// Rules that one flag may become.
const MAX_RULES: usize = 256;

/// Why nothing of the file could be read.
#[derive(Debug)]
pub enum Unreadable {
    /// Its size in bytes.
    TooLarge(usize),
    /// Includes nesting deeper than 128.
    Json(serde_json::Error),
    /// It has no `flags`, an object by key.
    NoFlags,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => write!(f, "{size} bytes of flag definitions are more than {MAX_TEXT}: import them in parts"),
            Self::Json(_) => f.write_str("the flag definitions are not JSON that can be read"),
            Self::NoFlags => f.write_str("there is no `flags`, an object of flags by their keys"),
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::TooLarge(_) | Self::NoFlags => None,
        }
    }
}

/// Translates flag definitions as flagd reads them.
///
/// # Errors
/// If the text as a whole cannot be read. A flag that cannot be taken over stands among the refused.
pub fn flagd(text: &str) -> Result<Imported, Unreadable> {
    if text.len() > MAX_TEXT {
        return Err(Unreadable::TooLarge(text.len()));
    }
    let file: Map<String, Value> = serde_json::from_str(text).map_err(Unreadable::Json)?;
    let flags = file.get("flags").and_then(Value::as_object).ok_or(Unreadable::NoFlags)?;
    let mut imported = Imported::default();
    for (key, flag) in flags {
        let mut reader = Reader::new(file.get("$evaluators").and_then(Value::as_object));
        match feature(flag, &mut reader) {
            Ok(feature) => {
                imported.features.insert(key.clone(), feature);
                imported.cohorts.append(&mut reader.cohorts);
                imported.notes.extend(reader.notes.into_iter().map(|note| format!("`{key}`: {note}")));
            }
            Err(because) => imported.refused.push(Refused { feature: key.clone(), because }),
        }
    }
    Ok(imported)
}

fn feature(flag: &Value, reader: &mut Reader<'_>) -> Result<Feature, String> {
    match flag.get("state").and_then(Value::as_str) {
        Some("ENABLED") => {}
        Some("DISABLED") => return Err("it is disabled, which leaves the value to each application: ours always have one".to_owned()),
        _ => return Err("its `state` is neither `ENABLED` nor `DISABLED`".to_owned()),
    }
    let variants: BTreeMap<String, Value> = match flag.get("variants").and_then(Value::as_object) {
        Some(variants) if !variants.is_empty() => variants.clone().into_iter().collect(),
        _ => return Err("it has no variants".to_owned()),
    };
    let r#type = type_of(variants.values()).ok_or("its variants are not all of one type, boolean, string, number or object")?;
    let default = match flag.get("defaultVariant") {
        Some(Value::String(name)) if variants.contains_key(name) => name.clone(),
        Some(Value::String(name)) => return Err(format!("its default `{name}` is none of its variants")),
        _ => return Err("it has no default variant, which leaves the value to each application: ours always have one".to_owned()),
    };
    if flag.get("metadata").and_then(Value::as_object).is_some_and(|metadata| !metadata.is_empty()) {
        reader.note("its metadata is not taken over");
    }
    let named = |name: &str| variants.contains_key(name).then(|| name.to_owned());
    let by_value = || variants.iter().find(|(_, value)| **value == Value::Bool(false)).map(|(name, _)| name.clone());
    let off = named("off").or_else(by_value).unwrap_or_else(|| {
        reader.note(format!("has no variant `off`: `{default}` is served where it may not be shown"));
        default.clone()
    });
    let mut rules = Rules { variants: &variants, default: &default, list: Vec::new() };
    match flag.get("targeting") {
        None | Some(Value::Null) => {}
        Some(Value::Object(targeting)) if targeting.is_empty() => {}
        Some(targeting) => rules.add(reader, &vec![Vec::new()], targeting)?,
    }
    let baseline = rules.finish();
    Ok(Feature { r#type, variants, off, killed: None, claims: Vec::new(), baseline, default, prerequisites: Vec::new(), dark: None })
}

fn type_of<'v>(values: impl Iterator<Item = &'v Value>) -> Option<ValueType> {
    let types: BTreeSet<&str> = values
        .map(|value| match value {
            Value::Bool(_) => "boolean",
            Value::String(_) => "string",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "integer",
            Value::Object(_) => "object",
            Value::Null | Value::Array(_) => "none",
        })
        .collect();
    match types.into_iter().collect::<Vec<_>>().as_slice() {
        ["boolean"] => Some(ValueType::Boolean),
        ["string"] => Some(ValueType::String),
        ["integer"] => Some(ValueType::Integer),
        ["float"] | ["float", "integer"] => Some(ValueType::Float),
        ["object"] => Some(ValueType::Object),
        _ => None,
    }
}

/// The rules of a flag as they are found, first match first.
struct Rules<'f> {
    variants: &'f BTreeMap<String, Value>,
    default: &'f str,
    /// Whom it is for, and the variant; `None` is the default.
    list: Vec<(Vec<crate::model::Clause>, Option<String>)>,
}

impl Rules<'_> {
    /// What `targeting` yields for those in one of `groups`. Each branch answers everyone it is entered by, so a later
    /// one needs no negation of the earlier.
    fn add(&mut self, reader: &mut Reader<'_>, groups: &Groups, targeting: &Value) -> Result<(), String> {
        match targeting {
            Value::Null => self.push(groups, None),
            Value::String(name) if self.variants.contains_key(name) => self.push(groups, Some(name)),
            Value::String(name) => Err(format!("its targeting yields `{name}`, which is none of its variants")),
            Value::Object(object) => match object.iter().next() {
                Some((operator, Value::Array(arms))) if operator == "if" && object.len() == 1 => {
                    let mut arms = arms.as_slice();
                    while let [condition, then, rest @ ..] = arms {
                        let inside = condition::both(groups, &reader.condition(condition)?)?;
                        self.add(reader, &inside, then)?;
                        arms = rest;
                    }
                    self.add(reader, groups, arms.first().unwrap_or(&Value::Null))
                }
                Some((operator, _)) if operator == "fractional" => Err(condition::FRACTIONAL.to_owned()),
                Some((operator, _)) => Err(format!("`{operator}` stands where its targeting should yield the name of a variant or an `if`")),
                None => Err("an empty object stands where its targeting should yield the name of a variant".to_owned()),
            },
            other => Err(format!("its targeting yields {other}, which is not the name of a variant")),
        }
    }

    fn push(&mut self, groups: &Groups, variant: Option<&str>) -> Result<(), String> {
        if self.list.len() + groups.len() > MAX_RULES {
            return Err(format!("its targeting becomes more than {MAX_RULES} rules: simplify it"));
        }
        self.list.extend(groups.iter().map(|group| (group.clone(), variant.map(str::to_owned))));
        Ok(())
    }

    /// Without what says no more than the default does, and what comes after a rule for everyone.
    fn finish(mut self) -> Vec<Rule> {
        if let Some(everyone) = self.list.iter().position(|(when, _)| when.is_empty()) {
            self.list.truncate(everyone + 1);
        }
        while self.list.last().is_some_and(|(_, variant)| variant.is_none()) {
            self.list.pop();
        }
        let rule = |(at, (when, variant)): (usize, (Vec<_>, Option<String>))| {
            let then = Outcome::Variant(variant.unwrap_or_else(|| self.default.to_owned()));
            Rule { name: format!("targeting-{}", at + 1), when, then, release: None, blocked: None }
        };
        self.list.into_iter().enumerate().map(rule).collect()
    }
}

#[cfg(test)]
mod tests;
