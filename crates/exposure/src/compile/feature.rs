//! A feature: variants by index, thresholds of splits, and the bytes of its answers that never vary.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Number, Value};

use super::{Scope, clause};
use crate::bucket::Bucketer;
use crate::evaluate::Reason;
use crate::hash::Packed;
use crate::model::{self, Algorithm, Outcome, ValueType, WHOLE};
use crate::program::{Cause, EXACT, Entry, Fault, Gate, Prerequisite, Program, Served, Shares, Split, Step, Variant};
use crate::wire;

/// What else a feature's compilation looks at.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub scope: Scope<'a>,
    /// What is wrong with its prerequisites as a graph, which a feature alone cannot tell.
    pub disorder: Option<&'static str>,
    /// Where other features stand, as far as that is known already.
    pub slot_of: &'a dyn Fn(&str) -> Option<u32>,
}

pub(crate) fn compile(key: &str, slot: u32, source: &Arc<model::Feature>, around: Surroundings<'_>) -> Entry {
    let mut faults = Vec::new();
    let mut fault = |rule: Option<&str>, message: String| {
        faults.push(Fault { rule: rule.map(str::to_owned), message });
    };

    let mut wire = String::with_capacity(128 + key.len());
    wire.push_str("{\"key\":");
    wire::push_text(&mut wire, key);
    wire.push_str(",\"value\":");
    let variants: Box<[Variant]> = source.variants.iter().map(|(name, value)| variant(&mut wire, name, value, source.r#type)).collect();
    for (name, value) in &source.variants {
        if !admits(source.r#type, value) {
            fault(None, format!("variant `{name}` is not of type {}", source.r#type));
        }
    }
    let off = index(&variants, &source.off).filter(|_| source.variants.get(&source.off).is_some_and(|v| admits(source.r#type, v)));
    if off.is_none() {
        fault(None, format!("no usable variant `{}` to switch off to", source.off));
    }
    let default = index(&variants, &source.default);
    if default.is_none() {
        fault(None, format!("there is no variant `{}` for the default", source.default));
    }
    for (what, many) in [("variants", variants.len()), ("rules", source.claims.len() + source.baseline.len()), ("prerequisites", source.prerequisites.len())] {
        if many > usize::from(u16::MAX) {
            fault(None, format!("more than {} {what}", u16::MAX));
        }
    }
    if let Some(message) = around.disorder {
        fault(None, message.to_owned());
    }
    let rules = || source.claims.iter().chain(&source.baseline);
    let (mut steps, mut endings) = (Vec::with_capacity(length(source)), Vec::with_capacity(rules().count()));
    steps.extend((0..=u16::MAX).zip(&source.prerequisites).map(|(place, _)| Step::Need(place)));
    for (at, rule) in (0..=u16::MAX).zip(rules()) {
        let named = |name: &str| index(&variants, name).ok_or_else(|| format!("there is no variant `{name}`"));
        let first = at == 0 && source.prerequisites.is_empty();
        if let Err(message) = compile_rule(&mut steps, rule, at, first, off.unwrap_or_default(), named, around.scope) {
            fault(Some(&rule.name), message);
        }
        endings.push(wire::ending(Some(&rule.name), rule.release.as_deref(), rule.blocked.as_deref()).into());
    }

    let gate = match (off, faults.is_empty()) {
        (None, _) => Gate::Unusable(faults.into()),
        (Some(_), false) => Gate::Faulty(faults.into()),
        (Some(_), true) if source.killed.is_some() => Gate::Killed,
        (Some(_), true) => Gate::Open,
    };
    if gate.faults().is_empty() {
        skip_the_known(&mut steps, &rules().collect::<Vec<_>>());
        steps.push(Step::Serve(by_default(source, default.unwrap_or_default(), off.unwrap_or_default())));
    } else {
        (steps, endings) = (Vec::new(), Vec::new());
    }
    let prerequisites = source.prerequisites.iter().map(|needed| prerequisite(needed, (around.slot_of)(&needed.feature))).collect();
    let program = Program { key: key.into(), off: off.unwrap_or_default(), variants, prerequisites, endings: endings.into(), source: Arc::clone(source), gate };
    Entry::new(slot, program, steps)
}

/// Rules often begin with the same clauses as the one before, such as a cohort: what these came to is not asked again.
fn skip_the_known(steps: &mut [Step], rules: &[&model::Rule]) {
    let (mut end, mut later): (usize, Vec<(u16, u32)>) = (steps.len(), Vec::new());
    for (at, rule) in rules.iter().enumerate().rev() {
        let start = end.saturating_sub(rule.when.len() + 1);
        let next = rules.get(at + 1).map(|rule| rule.when.as_slice()).unwrap_or_default();
        let mut own: Vec<(u16, u32)> = Vec::with_capacity(rule.when.len());
        let mut shared = true;
        for clause in steps.get_mut(start..end).unwrap_or_default().iter_mut().filter_map(|step| if let Step::Clause(clause) = step { Some(clause) } else { None }) {
            let same = later.get(own.len()).filter(|(place, _)| rule.when.get(usize::from(clause.at)) == next.get(usize::from(*place)));
            shared &= same.is_some();
            clause.skip = match same {
                Some((_, skip)) if shared => *skip,
                _ => clause.next + own.iter().zip(&later).take_while(|((own, _), (later, _))| rule.when.get(usize::from(*own)) == next.get(usize::from(*later))).count() as u32,
            };
            own.push((clause.at, clause.skip));
        }
        (end, later) = (start, own);
    }
}

/// The number of its steps.
fn length(source: &model::Feature) -> usize {
    let rules = source.claims.iter().chain(&source.baseline);
    source.prerequisites.len() + rules.map(|rule| rule.when.len() + 1).sum::<usize>() + 1
}

/// What is served when no rule matches.
fn by_default(source: &model::Feature, variant: u16, off: u16) -> Served {
    let mut rules = source.claims.iter().chain(&source.baseline).peekable();
    let depends = rules.peek().is_some() || !source.prerequisites.is_empty();
    // where some rule shows it to others, this caller is only not among them
    let shown = rules.any(|rule| rule.blocked.is_none());
    let reason = match depends {
        _ if variant == off && source.dark.is_some() && !shown => Reason::Disabled,
        true => Reason::Default,
        false => Reason::Static,
    };
    Served::new(variant, reason, Cause::Default)
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

/// `wire` holds how all of them begin there, and does again in the end.
fn variant(wire: &mut String, name: &str, value: &Value, kind: ValueType) -> Variant {
    // As a float it is written with a decimal point: some callers tell 10 from 10.0.
    let value = match (kind, value.as_f64().and_then(Number::from_f64)) {
        (ValueType::Float, Some(float)) => Value::Number(float),
        _ => value.clone(),
    };
    let opening = wire.len();
    // Writing to a string cannot fail.
    let _ = write!(wire, "{value}");
    wire.push_str(",\"variant\":");
    wire::push_text(wire, name);
    wire.push_str(",\"reason\":\"");
    let whole = wire.as_str().into();
    wire.truncate(opening);
    Variant { name: name.into(), value, wire: whole }
}

fn index(variants: &[Variant], name: &str) -> Option<u16> {
    variants.iter().position(|variant| *variant.name == *name).and_then(|at| u16::try_from(at).ok())
}

fn prerequisite(source: &model::Prerequisite, slot: Option<u32>) -> Prerequisite {
    let feature = source.feature.as_str();
    let packed = Packed::of(feature);
    Prerequisite { feature: feature.into(), packed, hash: packed.hash(feature), slot: slot.unwrap_or(u32::MAX), label: format!("prerequisite:{feature}").into() }
}

/// Appends the steps of a rule. `first` says that nothing is asked before it.
fn compile_rule(steps: &mut Vec<Step>, rule: &model::Rule, at: u16, first: bool, off: u16, named: impl Fn(&str) -> Result<u16, String>, scope: Scope<'_>) -> Result<(), String> {
    clause::all(steps, Step::Clause, &rule.when, at, 1, scope)?;
    let blocked = rule.blocked.as_ref().map(|_| off);
    steps.push(match &rule.then {
        Outcome::Split(split) => Step::Split(compile_split(split, at, blocked, named, scope)?),
        Outcome::Variant(name) => {
            let variant = named(name)?;
            let shared = rule.when.iter().any(|clause| matches!(clause, model::Clause::Share(_)));
            let reason = match blocked {
                Some(_) => Reason::Disabled,
                None if shared => Reason::Split,
                None if first && rule.when.is_empty() => Reason::Static,
                None => Reason::TargetingMatch,
            };
            Step::Serve(Served::new(blocked.unwrap_or(variant), reason, Cause::Rule(at)))
        }
    });
    Ok(())
}

/// Weights become thresholds once: a bucket takes the first variant whose cumulated part of all buckets is above it.
fn compile_split(split: &model::Split, rule: u16, blocked: Option<u16>, named: impl Fn(&str) -> Result<u16, String>, scope: Scope<'_>) -> Result<Split, String> {
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
    let mut shares = Vec::with_capacity(split.weights.len());
    for (name, weight) in &split.weights {
        let variant = named(name)?;
        cumulated += u64::from(*weight);
        let below = (cumulated * u64::from(buckets)).div_ceil(u64::from(total));
        shares.push((u32::try_from(below).unwrap_or(buckets), variant));
    }
    let shares = match *shares.as_slice() {
        [(first, variant), (second, other)] => Shares::Two { below: [first, second], variants: [variant, other] },
        _ => Shares::More(Box::new(shares)),
    };
    let reason = if blocked.is_some() { Reason::Disabled } else { Reason::Split };
    let served = Served::new(blocked.unwrap_or_default(), reason, Cause::Rule(rule));
    let (subject, bucketer) = (clause::bucketed(&split.attribute, scope)?, Bucketer::new(split.algorithm, &split.salt, total));
    Ok(Split { subject, bucketer, shares, rule, served, blocked: blocked.is_some() })
}
