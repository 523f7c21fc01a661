//! Features: what the business switches; typed variants, one of them `off`.

use std::collections::BTreeMap;
use std::fmt;

use greenroom_exposure::model::{Clause, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actor::Actor;
use crate::id::{FeatureKey, Name, Requirement, VariantName};
use crate::release::plan::Slice;
use crate::sealed::Sealed;
use crate::time::{At, Share};
use crate::value::ValueType;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    pub r#type: ValueType,
    pub variants: BTreeMap<VariantName, Value>,
    /// The variant served when nothing says otherwise.
    pub off: VariantName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Variant served to everyone, per environment that is not production.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<Name, VariantName>,
    /// Other features, and the variants of which each must answer one for the same caller: else this feature is `off`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prerequisites: BTreeMap<FeatureKey, Vec<VariantName>>,
}

/// What serves after every claim, in one environment: what closed releases left, then the rules, then the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub entries: Vec<BaselineEntry>,
    /// Set by people, as a whole; never by a release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<BaselineRule>,
    pub default: VariantName,
}

impl Baseline {
    /// What each of its rules asks of callers: the rule's name, its clauses, and the attribute by which it divides them.
    pub fn asks(&self) -> impl Iterator<Item = (&str, &[Clause], Option<&str>)> {
        let left = self.entries.iter().filter_map(|entry| if let Audience::When(when) = &entry.audience { Some((entry.name.as_str(), when.as_slice(), None)) } else { None });
        left.chain(self.rules.iter().map(move |rule| (rule.name.as_str(), rule.when.as_slice(), divided_by(&rule.then))))
    }
}

/// The attribute by whose value an outcome differs.
fn divided_by(then: &Outcome) -> Option<&str> {
    match then {
        Outcome::Variant(_) => None,
        Outcome::Split(split) => Some(&split.attribute),
    }
}

/// A named rule that people set: the canonical form's, without what only releases say. The first that matches decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineRule {
    pub name: String,
    /// All of these; none means everyone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Value>")]
    pub when: Vec<Clause>,
    /// `{"variant": NAME}`, or `{"split": {salt, algorithm, attribute, weights}}`.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub then: Outcome,
}

impl BaselineRule {
    /// Whether it can serve someone another variant than `off`.
    #[must_use]
    pub fn shows(&self, off: &VariantName) -> bool {
        match &self.then {
            Outcome::Variant(variant) => variant != off.as_str(),
            Outcome::Split(split) => split.weights.iter().any(|(variant, weight)| *weight > 0 && variant != off.as_str()),
        }
    }

    /// Whether its answer names `variant`.
    #[must_use]
    pub fn names(&self, variant: &VariantName) -> bool {
        match &self.then {
            Outcome::Variant(other) => other == variant.as_str(),
            Outcome::Split(split) => split.weights.iter().any(|(other, _)| other == variant.as_str()),
        }
    }
}

impl fmt::Display for BaselineRule {
    /// `big: split 1 on, 1 off to plan in ["gold"] and cohort staff`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.then {
            Outcome::Variant(variant) => f.write_str(variant)?,
            Outcome::Split(split) => {
                let parts: Vec<_> = split.weights.iter().map(|(variant, weight)| format!("{weight} {variant}")).collect();
                write!(f, "split {}", parts.join(", "))?;
            }
        }
        let when: Vec<_> = self.when.iter().map(Clause::to_string).collect();
        write!(f, " to {}", if when.is_empty() { "everyone".to_owned() } else { when.join(" and ") })
    }
}

/// What a closed release left in a baseline. It carries that release and its needs, which go on binding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineEntry {
    pub name: String,
    pub variant: VariantName,
    pub audience: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Name>,
    /// Set when a need was unmet for too long: the entry serves nobody until a person restores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<Requirement>,
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The union of a release's slices under its salt.
    Slices { salt: String, slices: Vec<Slice> },
    /// All of these clauses; none means everyone.
    When(Vec<Clause>),
}

/// A feature-level withdrawal; also a hold, which never lifts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    pub at: At,
    pub by: Actor,
    pub reason: Sealed,
    /// Releases it silenced: lifting it needs their decisions.
    pub silenced: Vec<Name>,
    /// How whoever evaluates takes it up; none for a kill of the first versions, which did not ask.
    pub withdrawal: Option<Withdrawal>,
}

/// How far a kill has come to whoever evaluates the feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Of the event that began it: who answers from this revision or a later one has taken it up.
    pub seq: u64,
    pub deadline: At,
    /// Of the evaluators that were in contact, how many have to acknowledge.
    pub share: Share,
    /// Its deadline passed before it was effective.
    pub partial: bool,
    pub effective: Option<At>,
    /// As far as was reported.
    pub in_contact: u64,
    pub acknowledged: u64,
    pub laggards: Vec<String>,
}

/// A feature as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    pub key: FeatureKey,
    pub title: Option<String>,
    pub set: Name,
    pub spec: FeatureSpec,
    /// Per environment; absent means the spec's default there, `off` in production.
    pub baselines: BTreeMap<Name, Baseline>,
    pub kills: BTreeMap<Name, Kill>,
}

impl Feature {
    /// The variant everyone gets in `environment` when no entry of the baseline matches.
    #[must_use]
    pub fn default_in(&self, environment: &Name, production: bool) -> &VariantName {
        if let Some(baseline) = self.baselines.get(environment) {
            return &baseline.default;
        }
        if production { &self.spec.off } else { self.spec.defaults.get(environment).unwrap_or(&self.spec.off) }
    }
}
