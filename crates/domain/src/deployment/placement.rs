//! Placements: a service on a target; what is wanted there and what really runs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::few::Few;
use crate::id::{Digest, FeatureKey, OperationId, PlacementKey, RolloutId};
use crate::time::At;

/// Condensed health of all instances; finer grades live in presence, not in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Healthy,
    /// Starting, or old and new side by side.
    Progressing,
    /// Answers, but not as it should.
    Unhealthy,
    /// Nothing runs.
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Progressing => "progressing",
            Self::Unhealthy => "unhealthy",
            Self::Down => "down",
        })
    }
}

/// How we know: seen on the target, or told by the program that deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    Observed,
    Reported,
}

/// What a driver saw on a target. Only a change of it enters the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Serving instances by the build they run; empty when nothing serves.
    pub serving: Few<Digest, u32>,
    /// Digest of the configuration the instances were started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
    /// Our mark on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OperationId>,
    pub health: Health,
    pub basis: Basis,
}

impl Observation {
    /// The one build that all serving instances run.
    #[must_use]
    pub fn build(&self) -> Option<&Digest> {
        let mut all = self.serving.keys();
        match (all.next(), all.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }
}

/// A build together with the configuration it runs under: restored as a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub build: Digest,
    pub config: Digest,
}

/// A service on a target, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub key: PlacementKey,
    #[serde(default)]
    pub desired: Option<Pair>,
    #[serde(default)]
    pub observed: Option<Observation>,
    /// When what serves last changed.
    pub observed_since: At,
    /// Since when builds that read each of these features have been serving here, one after the other.
    #[serde(default)]
    pub reads_since: Few<FeatureKey, At>,
    /// Last pair that was live here.
    #[serde(default)]
    pub stable: Option<Pair>,
    /// The pair live before `stable`: where a rollback goes.
    #[serde(default)]
    pub previous: Option<Pair>,
    #[serde(default)]
    pub contact_lost: Option<At>,
    /// The rollout that holds this placement, until it is over.
    #[serde(default)]
    pub active: Option<RolloutId>,
    /// Rises with every rollout that is allowed to change the target; a lower one is refused there.
    pub fence: u64,
    /// When the build in `stable` became live and its checks had passed.
    #[serde(default)]
    pub verified_at: Option<At>,
}

impl Placement {
    /// Where a rollback goes: from a build that did not become good, or is not good any more, to the last good pair;
    /// from a good one to the pair before it.
    #[must_use]
    pub fn good_before(&self) -> Option<&Pair> {
        let stable = self.stable.as_ref()?;
        let other_serves = self.observed.as_ref().is_some_and(|o| o.serving.keys().any(|build| *build != stable.build));
        let other_comes = self.active.is_some() && self.desired.as_ref().is_some_and(|d| d.build != stable.build);
        if other_serves || other_comes { Some(stable) } else { self.previous.as_ref() }
    }

    /// The last good pair of another build than `failed`.
    #[must_use]
    pub fn good_without(&self, failed: &Digest) -> Option<&Pair> {
        self.stable.as_ref().into_iter().chain(&self.previous).find(|pair| pair.build != *failed)
    }
}
