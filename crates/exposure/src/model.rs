//! The canonical form of an environment's exposure, `greenroom/snapshot/1`: what the control plane publishes, signs and
//! stores, and what [`crate::Snapshot::compile`] reads.
//!
//! Deployment facts are resolved before a model is made: a rule whose release may not be shown carries `blocked`. The
//! JSON is stable (ordered maps, absent options left out), so that its digest can be signed. Nothing here evaluates.

mod change;
mod clause;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

pub use self::clause::{Clause, Op, Scalar, Share, Test};

/// The format id of the canonical form. A change that an older reader would misread takes another number.
pub const FORMAT: &str = "greenroom/snapshot/1";

/// The attribute that says who is asking; shares and splits use it unless they name another.
pub const TARGETING_KEY: &str = "targetingKey";

/// Everyone, in the unit of [`Share::share`].
pub const WHOLE: u32 = 100_000;

/// Everything that one environment answers from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub format: Format,
    pub environment: String,
    /// Sequence of the last event that changed this environment's exposure.
    pub revision: u64,
    /// Declared attributes: a rule that reads one of them by another type is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeType>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cohorts: BTreeMap<String, Arc<Cohort>>,
    #[serde(default)]
    pub features: BTreeMap<String, Arc<Feature>>,
}

impl Model {
    /// An environment in which nothing is exposed yet.
    #[must_use]
    pub fn new(environment: impl Into<String>, revision: u64) -> Self {
        Self { format: Format, environment: environment.into(), revision, attributes: BTreeMap::new(), cohorts: BTreeMap::new(), features: BTreeMap::new() }
    }

    /// Makes the change that [`crate::Snapshot::with`] makes on the compiled side.
    pub fn apply(&mut self, change: &Change) {
        self.revision = change.revision;
        if let Some(attributes) = &change.attributes {
            self.attributes.clone_from(attributes);
        }
        for name in &change.drop_cohorts {
            self.cohorts.remove(name);
        }
        self.cohorts.extend(change.put_cohorts.iter().map(|(name, cohort)| (name.clone(), Arc::clone(cohort))));
        for key in &change.drop {
            self.features.remove(key);
        }
        self.features.extend(change.put.iter().map(|(key, feature)| (key.clone(), Arc::clone(feature))));
    }
}

/// What leads from one revision to the next. What is dropped goes first, so a name in both is replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The revision it leads to.
    pub revision: u64,
    /// All declared attributes anew; `None` leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, AttributeType>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put_cohorts: BTreeMap<String, Arc<Cohort>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_cohorts: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put: BTreeMap<String, Arc<Feature>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

/// The constant [`FORMAT`]; reading anything else fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format;

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(FORMAT)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = String::deserialize(deserializer)?;
        if given == FORMAT { Ok(Self) } else { Err(de::Error::custom(format_args!("snapshot format `{given}` is not `{FORMAT}`: use a reader of its version"))) }
    }
}

/// The type of a declared attribute. Dates, versions and addresses travel as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    String,
    Number,
    Boolean,
    /// RFC 3339 instant.
    Date,
    Semver,
    /// IPv4 or IPv6 address.
    Address,
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Semver => "semver",
            Self::Address => "address",
        })
    }
}

/// The type that every variant of a feature has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    Boolean,
    String,
    Integer,
    Float,
    Object,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Object => "object",
        })
    }
}

/// A named, versioned audience: any of these groups, each all of its clauses. No groups: nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    pub version: u64,
    /// Clauses of a cohort may not name another cohort.
    #[serde(default)]
    pub any_of: Vec<Vec<Clause>>,
    /// Staff and the like: not real users.
    #[serde(default, skip_serializing_if = "is_false")]
    pub internal: bool,
}

/// What the business switches, as it stands in this environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    pub r#type: ValueType,
    pub variants: BTreeMap<String, Value>,
    /// The variant served when nothing may be shown.
    pub off: String,
    /// The kill switch: everyone gets `off`, whatever the rules say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<Blocked>,
    /// Rules of started releases, in start order. They come before the baseline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Rule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<Rule>,
    /// The variant served when no rule matches.
    pub default: String,
    /// All of these must hold for the same caller, else `off`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
    /// Says why, on the default answer, while a release of this feature is still to come, or shows it to others only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dark: Option<Blocked>,
}

/// What stands between a feature and its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    pub blocked_by: String,
}

/// The first rule all of whose clauses match decides. No clauses: everyone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Clause>,
    pub then: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whom it matches is answered `off`, for this reason, and not tried against later rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Variant(String),
    Split(Split),
}

/// Divides those whom a rule matches over variants, by integer weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub salt: String,
    #[serde(default)]
    pub algorithm: Algorithm,
    #[serde(default = "targeting_key", skip_serializing_if = "is_targeting_key")]
    pub attribute: String,
    pub weights: Vec<(String, u32)>,
}

/// How a value falls into a bucket. An id is never changed in place; see [`crate::bucket()`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    #[default]
    #[serde(rename = "m3-100k/1")]
    M3,
    /// Agrees bit for bit with the gradual roll-out of Unleash SDKs; steps of 1 %.
    #[serde(rename = "unleash/1")]
    Unleash,
    /// Agrees bit for bit with the variants of Unleash SDKs; for splits only.
    #[serde(rename = "unleash-variant/1")]
    UnleashVariant,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::M3 => "m3-100k/1",
            Self::Unleash => "unleash/1",
            Self::UnleashVariant => "unleash-variant/1",
        })
    }
}

/// Another feature must answer one of these variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prerequisite {
    pub feature: String,
    pub variants: Vec<String>,
}

fn targeting_key() -> String {
    TARGETING_KEY.to_owned()
}

fn is_targeting_key(name: &str) -> bool {
    name == TARGETING_KEY
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
