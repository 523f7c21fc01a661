//! Attributes of callers, declared: what rules may read is known by name and type, in every environment alike.
//!
//! Rules may read what nobody has declared; of what is declared, only what its type can answer.

use greenroom_exposure::model::{AttributeType, Clause};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::{AttributeName, Name};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeSpec {
    /// Dates, versions and addresses travel as text.
    #[schemars(schema_with = "types")]
    pub r#type: AttributeType,
}

/// An attribute as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: AttributeName,
    pub title: Option<String>,
    pub set: Name,
    pub spec: AttributeSpec,
}

/// The attribute that a clause asks for; a cohort's clauses ask for theirs.
#[must_use]
pub fn asked(clause: &Clause) -> Option<&str> {
    match clause {
        Clause::Test(test) | Clause::Not(test) => Some(&test.attribute),
        Clause::Share(share) => Some(&share.attribute),
        Clause::Cohort(_) => None,
    }
}

/// Schema of the types, which the crate that knows them cannot describe itself.
pub fn types(_: &mut SchemaGenerator) -> Schema {
    use AttributeType::{Address, Boolean, Date, Number, Semver, String};
    json_schema!({ "type": "string", "enum": [String, Number, Boolean, Date, Semver, Address] })
}
