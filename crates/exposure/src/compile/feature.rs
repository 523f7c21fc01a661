//! A feature: variants by index, thresholds of splits, and the bytes of its answers that never vary.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Number, Value};

use super::{Bench, Scope, clause};
use crate::bucket::Bucketer;
use crate::evaluate::Reason;
use crate::hash::{Packed, same};
use crate::model::{Algorithm, ValueType, WHOLE};
use crate::program::{Cause, Clause, EXACT, Entry, Fault, Gate, Kind, Prerequisite, Program, Served, Shares, Span, Split, Step, truth};
use crate::source::{self, Malformed, Opening, Outcome, Reader, Rule};
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

/// Of a feature's source. What is at fault is read as well, to the end.
pub(crate) fn compile(bench: &mut Bench, key: &str, slot: u32, source: &str, around: Surroundings<'_>) -> Result<Entry, Malformed> {
    let mut faults = Vec::new();
    let mut fault = |rule: Option<&str>, message: String| {
        faults.push(Fault { rule: rule.map(str::to_owned), message });
    };
    bench.begin(key, source);
    let mut from = Reader::new(source);
    let opening = from.opening()?;
    let variants = from.count()?;
    variants_of(bench, &mut from, key.len(), variants, opening.r#type)?;
    for (name, value) in bench.names_of_variants(variants).zip(&bench.values) {
        if !admits(opening.r#type, value) {
            fault(None, format!("variant `{name}` is not of type {}", opening.r#type));
        }
    }
    let off = bench.variant(variants, opening.off).filter(|at| bench.values.get(usize::from(*at)).is_some_and(|value| admits(opening.r#type, value)));
    if off.is_none() {
        fault(None, format!("no usable variant `{}` to switch off to", opening.off));
    }
    let default = bench.variant(variants, opening.default);
    if default.is_none() {
        fault(None, format!("there is no variant `{}` for the default", opening.default));
    }
    let rules = from.count()?.saturating_add(from.count()?);
    for (what, many) in [("variants", variants), ("rules", rules), ("prerequisites", opening.prerequisites.len())] {
        if many > usize::from(u16::MAX) {
            fault(None, format!("more than {} {what}", u16::MAX));
        }
    }
    if let Some(message) = around.disorder {
        fault(None, message.to_owned());
    }
    let needed = opening.prerequisites.len();
    let mut steps = std::mem::take(&mut bench.steps);
    steps.clear();
    steps.extend((0..=u16::MAX).take(needed).map(Step::Need));
    let mut shown = false;
    for at in 0..rules {
        let start = from.at();
        let rule = from.rule()?;
        let place = RulePlace { at: u16::try_from(at).unwrap_or(u16::MAX), first: at == 0 && needed == 0, off: off.unwrap_or_default(), variants };
        if let Err(message) = compile_rule(&mut steps, bench, &mut from, &rule, &place, around.scope)? {
            fault(Some(rule.name), message);
        }
        shown |= rule.blocked.is_none();
        bench.parts.push(span(key.len() + start, key.len() + from.at()));
        let ending = bench.text.len();
        wire::push_ending(&mut bench.text, Some(rule.name), rule.release, rule.blocked);
        bench.parts.push(span(ending, bench.text.len()));
    }
    from.end()?;
    if u32::try_from(bench.text.len()).is_err() {
        return Err(Malformed);
    }

    let gate = match (off, faults.is_empty()) {
        (None, _) => Gate::Unusable(faults.into()),
        (Some(_), false) => Gate::Faulty(faults.into()),
        (Some(_), true) if opening.killed.is_some() => Gate::Killed,
        (Some(_), true) => Gate::Open,
    };
    if !gate.faults().is_empty() {
        steps.clear();
    } else if rules > 1 {
        skip_the_known(&mut steps, needed, &bench.clauses, source);
    }
    let (off, default) = (off.unwrap_or_default(), default.unwrap_or_default());
    let default = by_default(&opening, rules, shown, default, off);
    let truth = truth(&bench.values);
    let values = if truth.is_some() { Box::default() } else { bench.values.drain(..).collect() };
    let prerequisites = opening.prerequisites.map(|needed| prerequisite(needed.feature, (around.slot_of)(needed.feature))).collect();
    let program = Program {
        text: bench.text.as_str().into(),
        parts: bench.parts.as_slice().into(),
        key: key.len() as u32,
        source: (key.len() + source.len()) as u32,
        variants: u16::try_from(variants).unwrap_or(u16::MAX),
        off,
        r#type: opening.r#type,
        is_dark: opening.dark.is_some(),
        truth,
        values,
        prerequisites,
        default,
        gate,
    };
    let entry = Entry::new(slot, program, &mut steps);
    bench.steps = steps;
    Ok(entry)
}

const fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

impl Bench {
    fn begin(&mut self, key: &str, source: &str) {
        self.parts.clear();
        self.values.clear();
        self.clauses.clear();
        self.text.clear();
        self.text.push_str(key);
        self.text.push_str(source);
        self.opening.clear();
        self.opening.push_str("{\"key\":");
        wire::push_text(&mut self.opening, key);
        self.opening.push_str(",\"value\":");
    }

    fn names_of_variants(&self, count: usize) -> impl Iterator<Item = &str> {
        self.parts.iter().step_by(2).take(count).map(|part| self.text.get(part.start as usize..part.end as usize).unwrap_or_default())
    }

    fn variant(&self, count: usize, name: &str) -> Option<u16> {
        self.names_of_variants(count).position(|other| same(other, name)).and_then(|at| u16::try_from(at).ok())
    }
}

/// The values of all variants, and how answers with them begin on the wire. `before` is what stands before the source.
fn variants_of(bench: &mut Bench, from: &mut Reader<'_>, before: usize, count: usize, kind: ValueType) -> Result<(), Malformed> {
    let mut last = None;
    for _ in 0..count {
        let name = from.text()?;
        if last.replace(name).is_some_and(|last| last >= name) {
            return Err(Malformed);
        }
        let end = before + from.at();
        let value = from.value(bench.deepest)?;
        // As a float it is written with a decimal point: some callers tell 10 from 10.0.
        let value = match (kind, value.as_f64().and_then(Number::from_f64)) {
            (ValueType::Float, Some(float)) => Value::Number(float),
            _ => value,
        };
        let start = bench.text.len();
        bench.text.push_str(&bench.opening);
        match &value {
            Value::Bool(true) => bench.text.push_str("true"),
            Value::Bool(false) => bench.text.push_str("false"),
            // Writing to a string cannot fail.
            other => drop(write!(bench.text, "{other}")),
        }
        bench.text.push_str(",\"variant\":");
        wire::push_text(&mut bench.text, name);
        bench.text.push_str(",\"reason\":\"");
        bench.parts.extend([span(end - name.len(), end), span(start, bench.text.len())]);
        bench.values.push(value);
    }
    Ok(())
}

/// Rules often begin with the same clauses as the one before, such as a cohort: what these came to is not asked again.
/// `clauses` are those of all rules, as they stand in the source.
fn skip_the_known(steps: &mut [Step], needed: usize, clauses: &[Span], source: &str) {
    let text = |at: usize| clauses.get(at).and_then(|span| source.get(span.start as usize..span.end as usize));
    let (mut later, mut own) = (Vec::<(usize, u32)>::new(), Vec::new());
    let (mut end, mut first) = (steps.len(), clauses.len());
    while end > needed {
        // a rule is its clauses and what it serves
        let count = steps.get(..end - 1).unwrap_or_default().iter().skip(needed).rev().take_while(|step| matches!(step, Step::Clause(_))).count();
        let start = end - 1 - count;
        first = first.saturating_sub(count);
        own.clear();
        let mut shared = true;
        for step in steps.get_mut(start..end).unwrap_or_default() {
            let Step::Clause(clause) = step else { continue };
            let place = first + usize::from(clause.at);
            let same = later.get(own.len()).filter(|(other, _)| text(place) == text(*other));
            shared &= same.is_some();
            clause.skip = match same {
                Some((_, skip)) if shared => *skip,
                _ => clause.next + own.iter().zip(&later).take_while(|((own, _), (later, _))| text(*own) == text(*later)).count() as u32,
            };
            own.push((place, clause.skip));
        }
        std::mem::swap(&mut own, &mut later);
        end = start;
    }
}

/// What is served when no rule matches.
fn by_default(opening: &Opening<'_>, rules: usize, shown: bool, variant: u16, off: u16) -> Served {
    let depends = rules > 0 || !opening.prerequisites.is_empty();
    let reason = match depends {
        // where some rule shows it to others, this caller is only not among them
        _ if variant == off && opening.dark.is_some() && !shown => Reason::Disabled,
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

fn prerequisite(feature: &str, slot: Option<u32>) -> Prerequisite {
    let packed = Packed::of(feature);
    Prerequisite { feature: feature.into(), packed, hash: packed.hash(feature), slot: slot.unwrap_or(u32::MAX), label: format!("prerequisite:{feature}").into() }
}

struct RulePlace {
    at: u16,
    /// Nothing is asked before it.
    first: bool,
    off: u16,
    /// Variants of the feature.
    variants: usize,
}

/// Appends the steps of a rule.
fn compile_rule(steps: &mut Vec<Step>, bench: &mut Bench, from: &mut Reader<'_>, rule: &Rule<'_>, place: &RulePlace, scope: Scope<'_>) -> Result<Result<(), String>, Malformed> {
    let clauses = clause::all(steps, bench, Step::Clause, from, clause::Place { count: rule.clauses, rule: place.at, after: 1 }, scope)?;
    let shared = steps.last().is_some_and(|step| matches!(step, Step::Clause(Clause { kind: Kind::Share(_), rule, .. }) if *rule == place.at));
    let outcome = from.outcome()?;
    let blocked = rule.blocked.map(|_| place.off);
    let step = || {
        clauses?;
        match outcome {
            Outcome::Split(split) => Ok(Step::Split(compile_split(bench, &split, place, blocked, scope)?)),
            Outcome::Variant(name) => {
                let variant = named(bench, place, name)?;
                let reason = match blocked {
                    Some(_) => Reason::Disabled,
                    None if shared => Reason::Split,
                    None if place.first && rule.clauses == 0 => Reason::Static,
                    None => Reason::TargetingMatch,
                };
                Ok(Step::Serve(Served::new(blocked.unwrap_or(variant), reason, Cause::Rule(place.at))))
            }
        }
    };
    Ok(step().map(|step| steps.push(step)))
}

fn named(bench: &Bench, place: &RulePlace, name: &str) -> Result<u16, String> {
    bench.variant(place.variants, name).ok_or_else(|| format!("there is no variant `{name}`"))
}

/// Weights become thresholds once: a bucket takes the first variant whose cumulated part of all buckets is above it.
fn compile_split(bench: &mut Bench, split: &source::Split<'_>, place: &RulePlace, blocked: Option<u16>, scope: Scope<'_>) -> Result<Split, String> {
    let total: u64 = split.weights.map(|(_, weight)| u64::from(weight)).sum();
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
    let mut share = |(name, weight): (&str, u32)| {
        cumulated += u64::from(weight);
        let below = (cumulated * u64::from(buckets)).div_ceil(u64::from(total));
        Ok::<_, String>((u32::try_from(below).unwrap_or(buckets), named(bench, place, name)?))
    };
    let mut weights = split.weights;
    let shares = match (weights.next(), weights.next(), weights.len()) {
        (Some(one), Some(other), 0) => {
            let ((first, variant), (second, other)) = (share(one)?, share(other)?);
            Shares::Two { below: [first, second], variants: [variant, other] }
        }
        _ => Shares::More(Arc::new(split.weights.map(share).collect::<Result<_, _>>()?)),
    };
    let (subject, bucketer) = (clause::bucketed(split.attribute, &mut bench.names, scope)?, Bucketer::new(split.algorithm, split.salt, total));
    Ok(Split { subject, bucketer, shares, rule: place.at, off: blocked.unwrap_or(Split::FREE) })
}
