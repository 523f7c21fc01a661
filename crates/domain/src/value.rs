//! Types of a feature's values: what a build reads and what a feature offers must agree.

use std::fmt;

use greenroom_exposure::model::ValueType as WireType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The type of every variant of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    Boolean,
    String,
    Integer,
    Float,
    Object,
}

impl ValueType {
    /// Whether `value` is of this type. Integers and floats stay apart and within ±(2^53−1).
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        const LIMIT: f64 = 9_007_199_254_740_991.0;
        match self {
            Self::Boolean => value.is_boolean(),
            Self::String => value.is_string(),
            Self::Integer => (value.is_i64() || value.is_u64()) && value.as_f64().is_some_and(|n| n.abs() <= LIMIT),
            Self::Float => value.as_f64().is_some_and(|n| n.abs() <= LIMIT),
            Self::Object => value.is_object(),
        }
    }

    #[must_use]
    pub const fn wire(self) -> WireType {
        match self {
            Self::Boolean => WireType::Boolean,
            Self::String => WireType::String,
            Self::Integer => WireType::Integer,
            Self::Float => WireType::Float,
            Self::Object => WireType::Object,
        }
    }
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
