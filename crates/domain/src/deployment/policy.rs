//! Policies: typed rules with parameters that judge whether a build may enter an environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::DecisionRule;
use crate::deployment::check::CheckKind;
use crate::id::Name;
use crate::time::{Share, Span};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Who starts a deployment from the environment before.
    Promotion(Promotion),
    /// The same digest must be verified in every environment named in `after`; `none` lifts that.
    Eligibility(Eligibility),
    /// The build must have run upstream without interruption for this long.
    Soak(Span),
    /// So many people in a role must have decided `go`.
    Decision(DecisionRule),
    /// Data in the environment upstream must have been refreshed (masked) within this time.
    DataRefresh(Span),
    /// Kinds of check that must have passed upstream, instead of the purpose's own.
    Evidence(Vec<CheckKind>),
    /// Whether a failed check takes the build back by itself.
    Rollback(RollbackRule),
    /// A build must name the commit it was made from.
    Provenance(Provenance),
    /// When a withdrawal is effective here, and until when whatever waits for it does.
    Withdrawal(WithdrawalRule),
}

/// Of several, the largest share and the latest deadline hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalRule {
    /// Share of the evaluators in contact at the publish that must have acknowledged it; unless said, all of them.
    #[serde(default = "everyone")]
    pub acknowledged: Share,
    /// After this time it is partial, and what waited goes on; unless said, 30 seconds.
    #[serde(default = "half_a_minute")]
    pub deadline: Span,
}

const fn everyone() -> Share {
    Share::ALL
}

const fn half_a_minute() -> Span {
    Span::secs(30)
}

impl Default for WithdrawalRule {
    fn default() -> Self {
        Self { acknowledged: everyone(), deadline: half_a_minute() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    Automatic,
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Eligibility {
    Verified,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollbackRule {
    Automatic,
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    Commit,
}

/// A policy as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: Name,
    pub title: Option<String>,
    pub set: Name,
    pub spec: PolicySpec,
}
