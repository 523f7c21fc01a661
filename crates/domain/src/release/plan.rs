//! Release plans: contents, needs, mode and stages, as written by people.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::DecisionRule;
use crate::id::{BuildLabel, FeatureKey, Name, Requirement, VariantName};
use crate::time::{At, Share, Span};

/// What taking a feature back needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawSafety {
    /// Nothing: off is as good as never on.
    #[default]
    Clean,
    /// Data must be brought back too; a person confirms.
    NeedsMigration,
    /// Users must not be sent back by automation; a person confirms.
    OneWay,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFeature {
    pub key: FeatureKey,
    /// What users in the audience get.
    pub variant: VariantName,
    #[serde(default)]
    pub withdraw_safety: WithdrawSafety,
}

/// When a release starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// When a person says so.
    #[default]
    Manual,
    /// Once, when all needs are first met together and decisions are valid.
    OnDeploy,
    /// At this time, if everything still holds then.
    Scheduled(At),
}

/// Cumulative: stage n serves the union of 1..n.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: Name,
    /// Absent: everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Name>,
    pub share: Share,
    /// The next stage starts by itself after this long; absent: when a person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostOfDelay {
    /// Money a week, in `currency`; absent: unknown, so waiting is shown in weeks.
    pub per_week: f64,
    pub currency: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<ReleaseFeature>,
    /// Unflagged services, each with the exact build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<BuildLabel>,
    /// Lower bounds: `shop-web>=1.1.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Requirement>,
    /// Builds that must not serve, although they reach a floor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<BuildLabel>,
    /// Absent: all environments of purpose production.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Name>,
    #[serde(default)]
    pub mode: Mode,
    pub stages: Vec<Stage>,
    /// Who must say `go`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_of_delay: Option<CostOfDelay>,
    /// For `on_deploy`: not started by then, it is held instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<At>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One part of an audience with its cohort's version pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Name>,
    /// Who joins the cohort later is not meant; who leaves it is out at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    pub share: Share,
}
