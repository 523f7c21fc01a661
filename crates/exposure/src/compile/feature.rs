//! A feature: variants by index, thresholds of splits, and the bytes of its answers that never vary.

use std::sync::Arc;

use serde_json::{Number, Value};

use super::{Scope, clause};
use crate::bucket::Bucketer;
use crate::hash::hash;
use crate::model::{self, Algorithm, Outcome, ValueType, WHOLE};
use crate::program::{EXACT, Fault, Gate, Kind, Prerequisite, Program, Rule, Split, Then, Variant};
use crate::wire;

/// `order` is what is wrong with its prerequisites as a graph, which a feature alone cannot tell.
pub(crate) fn compile(key: &str, slot: u32, source: &Arc<model::Feature>, scope: Scope<'_>, order: Option<&'static str>) -> Program {
    let mut faults = Vec::new();
    let mut fault = |rule: Option<&str>, message: String| {
        faults.push(Fault { rule: rule.map(str::to_owned), message });
    };

    let opening = format!("{{\"key\":{},\"value\":", Value::from(key));
    let variants: Box<[Variant]> = source.variants.iter().map(|(name, value)| variant(&opening, name, value, source.r#type)).collect();
    for (name, value) in &source.variants {
        if !admits(source.r#type, value) {
            fault(None, format!("variant `{name}` is not of type {}", source.r#type));
        }
    }
    if variants.len() > usize::from(u16::MAX) {
        fault(None, format!("more than {} variants", u16::MAX));
    }
    let off = index(&variants, &source.off).filter(|_| source.variants.get(&source.off).is_some_and(|v| admits(source.r#type, v)));
    if off.is_none() {
        fault(None, format!("no usable variant `{}` to switch off to", source.off));
    }
    let default = index(&variants, &source.default);
    if default.is_none() {
        fault(None, format!("there is no variant `{}` for the default", source.default));
    }
    if let Some(message) = order {
        fault(None, message.to_owned());
    }
    let mut rules = Vec::with_capacity(source.claims.len() + source.baseline.len());
    for rule in source.claims.iter().chain(&source.baseline) {
        match compile_rule(rule, &variants, scope) {
            Ok(rule) => rules.push(rule),
            Err(message) => fault(Some(&rule.name), message),
        }
    }

    let gate = match (off, faults.is_empty()) {
        (None, _) => Gate::Unusable(faults.into()),
        (Some(_), false) => Gate::Faulty(faults.into()),
        (Some(_), true) if source.killed.is_some() => Gate::Killed,
        (Some(_), true) => Gate::Open,
    };
    if !gate.faults().is_empty() {
        rules.clear();
    }
    Program {
        key: key.into(),
        hash: hash(key),
        slot,
        off: off.unwrap_or_default(),
        default: default.or(off).unwrap_or_default(),
        variants,
        prerequisites: source.prerequisites.iter().map(prerequisite).collect(),
        rules: rules.into(),
        source: Arc::clone(source),
        gate,
    }
}

/// Integers and floats stay apart, as they do on the wire; a whole number may stand for a float.
fn admits(kind: ValueType, value: &Value) -> bool {
    match kind {
        ValueType::Boolean => value.is_boolean(),
        ValueType::String => value.is_string(),
        ValueType::Integer => (value.is_i64() || value.is_u64()) && value.as_f64().is_some_and(|n| n.abs() <= EXACT),
        ValueType::Float => value.as_f64().is_some_and(|number| number.abs() <= EXACT),
        ValueType::Object => value.is_object(),
    }
}

fn variant(opening: &str, name: &str, value: &Value, kind: ValueType) -> Variant {
    // As a float it is written with a decimal point: some callers tell 10 from 10.0.
    let value = match (kind, value.as_f64().and_then(Number::from_f64)) {
        (ValueType::Float, Some(float)) => Value::Number(float),
        _ => value.clone(),
    };
    let wire = format!("{opening}{value},\"variant\":{},\"reason\":\"", Value::from(name)).into();
    Variant { name: name.into(), value, wire }
}

fn index(variants: &[Variant], name: &str) -> Option<u16> {
    variants.iter().position(|variant| *variant.name == *name).and_then(|at| u16::try_from(at).ok())
}

fn prerequisite(source: &model::Prerequisite) -> Prerequisite {
    Prerequisite { feature: source.feature.as_str().into(), hash: hash(&source.feature), label: format!("prerequisite:{}", source.feature).into() }
}

fn compile_rule(rule: &model::Rule, variants: &[Variant], scope: Scope<'_>) -> Result<Rule, String> {
    let named = |name: &str| index(variants, name).ok_or_else(|| format!("there is no variant `{name}`"));
    let when = clause::all(&rule.when, scope)?;
    let then = match &rule.then {
        Outcome::Variant(name) => Then::Variant(named(name)?),
        Outcome::Split(split) => Then::Split(Box::new(compile_split(split, named, scope)?)),
    };
    let shared = when.iter().any(|clause| matches!(clause.kind, Kind::Share(_)));
    let wire = wire::ending(Some(&rule.name), rule.release.as_deref(), rule.blocked.as_deref()).into();
    Ok(Rule { when, then, blocked: rule.blocked.is_some(), shared, wire })
}

/// Weights become thresholds once: a bucket takes the first variant whose cumulated part of all buckets is above it.
fn compile_split(split: &model::Split, named: impl Fn(&str) -> Result<u16, String>, scope: Scope<'_>) -> Result<Split, String> {
    let total: u64 = split.weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let total = u32::try_from(total).map_err(|_| format!("weights add up to {total}, which is more than {}", u32::MAX))?;
    let buckets = match split.algorithm {
        _ if total == 0 => return Err("all weights of the split are zero".to_owned()),
        Algorithm::M3 => WHOLE,
        Algorithm::Unleash if total != 100 => {
            return Err(format!("weights of `{}` add up to 100, not {total}", split.algorithm));
        }
        Algorithm::Unleash | Algorithm::UnleashVariant => total,
    };
    let mut cumulated = 0;
    let mut steps = Vec::with_capacity(split.weights.len());
    for (name, weight) in &split.weights {
        let variant = named(name)?;
        cumulated += u64::from(*weight);
        let below = (cumulated * u64::from(buckets)).div_ceil(u64::from(total));
        steps.push((u32::try_from(below).unwrap_or(buckets), variant));
    }
    Ok(Split { subject: clause::bucketed(&split.attribute, scope)?, bucketer: Bucketer::new(split.algorithm, &split.salt, total), steps: steps.into() })
}
