//! A snapshot as flagd's flag definitions (open-feature/flagd-schemas, `json/flags.json`), for providers that evaluate in
//! their own process.
//!
//! JsonLogic compares loosely and its implementations differ, so only what means the same everywhere is handed out. A
//! feature with anything else is left out: providers that ask us are answered, those that evaluate do not know it. Shares
//! and splits are left out too: no generation of `fractional` divides callers as `m3-100k/1` or `unleash/1` do.

mod clause;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::capability::{Capability, Evaluated, Protocol};
use crate::model::{Feature, Outcome, Rule, ValueType};
use crate::program::{Gate, Program};
use crate::snapshot::Snapshot;

/// Features that one may need, over all steps, when they are inlined into it.
const MAX_PREREQUISITES: usize = 16;

/// The flag definitions of all features that can be evaluated locally: one JSON document.
#[must_use]
pub fn definitions(snapshot: &Snapshot) -> String {
    let (mut flags, mut evaluators) = (Map::new(), Map::new());
    let features = snapshot.features().collect();
    for key in snapshot.keys() {
        if let Some(mut reader) = Reader::of(snapshot, &features, key)
            && reader.because.is_empty()
        {
            evaluators.append(&mut reader.evaluators);
            flags.insert(key.to_owned(), reader.flag);
        }
    }
    let revision = snapshot.revision();
    let metadata = json!({"flagSetId": snapshot.environment(), "version": revision.to_string(), "revision": revision});
    json!({"flags": flags, "$evaluators": evaluators, "metadata": metadata}).to_string()
}

/// What flagd's providers can make of the feature of this key; `None` if there is none.
pub(crate) fn capability(snapshot: &Snapshot, key: &str) -> Option<Capability> {
    let features = snapshot.features().collect();
    let Reader { because, notes, .. } = Reader::of(snapshot, &features, key)?;
    let (evaluated, because) = if because.is_empty() { (Evaluated::Locally, notes) } else { (Evaluated::Remotely, because) };
    Some(Capability { protocol: Protocol::Flagd, evaluated, because })
}

/// All features of a snapshot in their canonical form.
type Features<'s> = BTreeMap<&'s str, Feature>;

/// Renders one feature and gathers what stands in the way, all of it.
struct Reader<'s> {
    snapshot: &'s Snapshot,
    features: &'s Features<'s>,
    flag: Value,
    evaluators: Map<String, Value>,
    because: Vec<String>,
    notes: Vec<String>,
    prerequisites: usize,
}

/// What a feature yields.
enum Yields<'s> {
    /// To everyone.
    Always(&'s str),
    /// By this `if`; where that yields nothing, the variant.
    Targeting(Value, &'s str),
}

impl<'s> Reader<'s> {
    fn of(snapshot: &'s Snapshot, features: &'s Features<'s>, key: &str) -> Option<Self> {
        let (program, feature) = (snapshot.program(key)?, features.get(key)?);
        let mut reader = Self { snapshot, features, flag: Value::Null, evaluators: Map::new(), because: Vec::new(), notes: Vec::new(), prerequisites: 0 };
        if matches!(program.gate, Gate::Unusable(_)) {
            reader.because.push("it has no variant that could be served".to_owned());
            return Some(reader);
        }
        let mut flag = Map::from_iter([("state".to_owned(), "ENABLED".into()), ("variants".to_owned(), variants(feature))]);
        let default = match reader.yields(program, feature, &|variant| Value::from(variant)) {
            Yields::Always(variant) => variant,
            Yields::Targeting(targeting, default) => {
                flag.insert("targeting".to_owned(), targeting);
                default
            }
        };
        flag.insert("defaultVariant".to_owned(), default.into());
        reader.flag = flag.into();
        Some(reader)
    }

    /// `leaf` says what stands for a variant.
    fn yields(&mut self, program: &Program, feature: &'s Feature, leaf: &dyn Fn(&str) -> Value) -> Yields<'s> {
        if !matches!(program.gate, Gate::Open) {
            return Yields::Always(&feature.off);
        }
        let mut arms = Vec::new();
        for needed in &feature.prerequisites {
            match self.holds(&needed.feature, &needed.variants) {
                Value::Bool(true) => {}
                Value::Bool(false) if arms.is_empty() => return Yields::Always(&feature.off),
                condition => arms.extend([json!({"!": [condition]}), leaf(&feature.off)]),
            }
        }
        for rule in feature.claims.iter().chain(&feature.baseline) {
            let variant = self.variant(feature, rule);
            if rule.when.is_empty() {
                if arms.is_empty() {
                    return Yields::Always(variant);
                }
                arms.push(leaf(variant));
                return Yields::Targeting(json!({"if": arms}), &feature.default);
            }
            arms.extend([self.all(&rule.when), leaf(variant)]);
        }
        if arms.is_empty() { Yields::Always(&feature.default) } else { Yields::Targeting(json!({"if": arms}), &feature.default) }
    }

    fn variant(&mut self, feature: &'s Feature, rule: &'s Rule) -> &'s str {
        match (&rule.blocked, &rule.then) {
            (Some(_), _) => &feature.off,
            (None, Outcome::Variant(name)) => name,
            (None, Outcome::Split(split)) => {
                self.refuse(format!("rule `{}` splits by `{}`, which no generation of flagd's `fractional` agrees with", rule.name, split.algorithm));
                &feature.off
            }
        }
    }

    /// Whether the feature of this key answers one of `variants`, inlined.
    fn holds(&mut self, key: &str, variants: &[String]) -> Value {
        self.prerequisites += 1;
        if self.prerequisites > MAX_PREREQUISITES {
            self.refuse(format!("it needs more than {MAX_PREREQUISITES} features, over all steps"));
            return Value::Bool(false);
        }
        let usable = |program: &&Program| !matches!(program.gate, Gate::Unusable(_));
        let Some((program, feature)) = self.snapshot.program(key).filter(usable).zip(self.features.get(key)) else {
            return Value::Bool(false);
        };
        let wanted = |variant: &str| Value::Bool(variants.iter().any(|name| name == variant));
        match self.yields(program, feature, &wanted) {
            Yields::Always(variant) => wanted(variant),
            Yields::Targeting(mut targeting, default) => {
                // An `if` of pairs alone yields nothing in the end, where a condition needs a word.
                if let Some(arms) = targeting.get_mut("if").and_then(Value::as_array_mut).filter(|arms| arms.len() % 2 == 0) {
                    arms.push(wanted(default));
                }
                targeting
            }
        }
    }

    fn refuse(&mut self, because: String) {
        if !self.because.contains(&because) {
            self.because.push(because);
        }
    }
}

/// Numbers of a float feature keep their point, by which some providers tell the types apart.
fn variants(feature: &Feature) -> Value {
    let value = |value: &Value| match value.as_f64() {
        Some(number) if feature.r#type == ValueType::Float => json!(number),
        _ => value.clone(),
    };
    json!(feature.variants.iter().map(|(name, variant)| (name, value(variant))).collect::<BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests;
