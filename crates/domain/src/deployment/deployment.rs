//! Deployments: requests to make some builds the running ones in an environment.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::actor::Actor;
use crate::decision::Decision;
use crate::deployment::environment::{DriverKind, TargetSpec};
use crate::deployment::rollout::StepKind;
use crate::deployment::service::{CommandRecipe, ProcessRecipe, Service};
use crate::id::{DeploymentId, Digest, Name, RolloutId, Version, digest_of};
use crate::sealed::Sealed;
use crate::time::At;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Motive {
    Promote,
    Rollback,
    Hotfix,
    Redeploy,
    Reconfigure,
}

impl fmt::Display for Motive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Hotfix => "hotfix",
            Self::Redeploy => "redeploy",
            Self::Reconfigure => "reconfigure",
        })
    }
}

/// How much of the usual care a deployment passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    #[default]
    Normal,
    /// Takes a failed build back: skips soak and decisions.
    Automatic,
    /// A person on call: skips policy, decisions, soak and holds.
    Emergency,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub service: Name,
    pub version: Version,
    pub build: Digest,
}

/// Everything a target needs to know to run a build; found again by its digest, so that a rollback restores it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub address: String,
    pub recipe: Recipe,
    pub endpoints: std::collections::BTreeMap<Name, std::net::SocketAddr>,
}

impl Config {
    /// What `service` is run by on `target` as both are defined now, and its digest (SHA-256 of `greenroom/config/1`, a
    /// line feed, and its JSON). `None`: the service has no recipe for the target's driver.
    #[must_use]
    pub fn of(service: &Service, target: &TargetSpec) -> Option<(Digest, Self)> {
        let recipe = match target.driver {
            DriverKind::Process => Recipe::Process(service.spec.recipes.process.clone()?),
            DriverKind::Command => Recipe::Command(service.spec.recipes.command.clone()?),
        };
        let config = Self { address: target.address.clone(), recipe, endpoints: target.endpoints.clone() };
        let mut hash = Sha256::new();
        hash.update(b"greenroom/config/1\n");
        hash.update(serde_json::to_vec(&config).unwrap_or_default());
        Some((digest_of(hash), config))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    Process(ProcessRecipe),
    Command(CommandRecipe),
}

impl Recipe {
    #[must_use]
    pub const fn driver(&self) -> DriverKind {
        match self {
            Self::Process(_) => DriverKind::Process,
            Self::Command(_) => DriverKind::Command,
        }
    }

    #[must_use]
    pub const fn deadline(&self) -> crate::time::Span {
        match self {
            Self::Process(r) => r.deadline,
            Self::Command(r) => r.deadline,
        }
    }
}

/// A release whose withdrawal this deployment waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedWithdrawal {
    pub release: Name,
    pub environment: Name,
}

/// A deployment as the ledger knows it. Its own state is derived from its rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub number: u64,
    pub environment: Name,
    pub items: Vec<Item>,
    pub motive: Motive,
    pub urgency: Urgency,
    pub by: Actor,
    pub at: At,
    /// Digest of environment, builds and configurations: what decisions bind to.
    pub scope: Digest,
    pub rollouts: Vec<RolloutId>,
    pub decisions: Vec<Decision>,
    #[serde(default)]
    pub awaits: Vec<AwaitedWithdrawal>,
    /// The deployment that this one takes back by itself.
    #[serde(default)]
    pub undoes: Option<DeploymentId>,
    #[serde(default)]
    pub note: Option<Sealed>,
    /// When its last rollout ended.
    #[serde(default)]
    pub ended: Option<At>,
}

/// State of a whole: the worst part wins, `unknown` before `failed`; then what still moves, before what is done.
#[must_use]
pub fn worst(steps: impl Iterator<Item = StepKind>) -> StepKind {
    const ORDER: [StepKind; 10] = [
        StepKind::Unknown,
        StepKind::Failed,
        StepKind::RolledBack,
        StepKind::Applying,
        StepKind::Observing,
        StepKind::Verifying,
        StepKind::Waiting,
        StepKind::Cancelled,
        StepKind::Superseded,
        StepKind::Live,
    ];
    let rank = |k: StepKind| ORDER.iter().position(|o| *o == k).unwrap_or(ORDER.len());
    steps.min_by_key(|k| rank(*k)).unwrap_or(StepKind::Live)
}
