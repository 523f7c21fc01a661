//! Cohorts: named, versioned audience predicates.

use greenroom_exposure::model::Clause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::sealed::Sealed;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSpec {
    /// Staff and the like: not real users.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Its part of the whole audience; unknown unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<crate::time::Share>,
    /// Any of these groups, each all of its clauses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Vec<serde_json::Value>>")]
    pub any_of: Vec<Vec<Clause>>,
    /// Targeting keys listed one by one; kept outside the ledger's chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

/// A cohort as the ledger knows it; `spec.users` is empty here, its content sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    pub name: Name,
    pub title: Option<String>,
    pub set: Name,
    pub version: u64,
    pub spec: CohortSpec,
    #[serde(default)]
    pub users: Option<Sealed>,
}
