//! Features as Unleash SDKs evaluate them: the JSON of `/api/client/features` and of its exports, and how its sticky
//! shares lie in our rules.
//!
//! Readers are tolerant, as SDKs are: unknown fields are ignored and null counts as absent.

mod ask;
mod render;
mod sticky;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use self::ask::{Asker, Chosen, Said, counted, numbers, said, write_shown};
pub(crate) use self::ask::{DISABLED, is_on, named};
pub(crate) use self::render::capability;
pub use self::render::{Level, features};
pub(crate) use self::sticky::{Draw, Roll, expand};
pub use self::sticky::{NONCE, Stickiness};

/// Body of `/api/client/features`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientFeatures {
    pub version: u32,
    #[serde(default, deserialize_with = "nullable")]
    pub features: Vec<Toggle>,
    #[serde(default, deserialize_with = "nullable")]
    pub segments: Vec<Segment>,
}

/// A feature. It is on if any strategy holds, or if it has none; the first that holds chooses the variant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Toggle {
    pub name: String,
    #[serde(default)]
    pub enabled: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub strategies: Vec<Strategy>,
    /// For strategies that have none of their own.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    pub name: String,
    /// Texts; older files also hold numbers.
    #[serde(default, deserialize_with = "nullable")]
    pub parameters: BTreeMap<String, Value>,
    /// All of these.
    #[serde(default, deserialize_with = "nullable")]
    pub constraints: Vec<Constraint>,
    /// And all constraints of these.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<i64>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    #[serde(default, deserialize_with = "nullable", skip_serializing)]
    pub disabled: bool,
}

impl Strategy {
    /// A parameter as text; `None` if it is absent or empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        match self.parameters.get(name)? {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    pub context_name: String,
    pub operator: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub inverted: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub case_insensitive: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    pub name: String,
    #[serde(default)]
    pub weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// A value beside a variant's name, always as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// `string`, `number`, `json` or `csv`.
    pub r#type: String,
    pub value: String,
}

/// Who gets a variant whatever their bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    pub context_name: String,
    #[serde(default)]
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub feature: String,
    /// Absent means on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All of these. Absent where a file only names the segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<Constraint>>,
}

pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
