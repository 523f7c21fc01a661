//! Holds: whoever stops something says what, whom, why and until when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{FeatureKey, HoldId, Name};
use crate::refusal::{Reason, ReasonCode};
use crate::sealed::Sealed;
use crate::time::At;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    Deploy,
    Release,
    Both,
}

impl Plane {
    #[must_use]
    pub const fn covers(self, other: Plane) -> bool {
        matches!((self, other), (Self::Both, _) | (Self::Deploy, Self::Deploy) | (Self::Release, Self::Release))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stops {
    Automation,
    People,
    Both,
}

impl Stops {
    #[must_use]
    pub const fn stops(self, automatic: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Automation => automatic,
            Self::People => !automatic,
        }
    }
}

/// What a hold is on. Every field given must match; none given means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<FeatureKey>,
}

impl Scope {
    #[must_use]
    pub fn covers_deployment(&self, environment: &Name, service: &Name) -> bool {
        self.release.is_none() && self.feature.is_none() && self.environment.as_ref().is_none_or(|e| e == environment) && self.service.as_ref().is_none_or(|s| s == service)
    }

    #[must_use]
    pub fn covers_release(&self, environment: &Name, release: &Name, mut features: impl Iterator<Item = FeatureKey>) -> bool {
        self.service.is_none()
            && self.environment.as_ref().is_none_or(|e| e == environment)
            && self.release.as_ref().is_none_or(|r| r == release)
            && self.feature.as_ref().is_none_or(|f| features.any(|key| key == *f))
    }
}

/// Why a hold stands: a person's words, or what Greenroom itself saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Said(Sealed),
    RolledBack { service: Name, environment: Name },
    Clock,
    Expired { release: Name },
}

/// A hold as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub id: HoldId,
    pub number: u64,
    pub scope: Scope,
    pub plane: Plane,
    pub stops: Stops,
    pub why: Why,
    pub owner: Actor,
    pub at: At,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<At>,
}

impl Hold {
    #[must_use]
    pub fn stands(&self, now: At) -> bool {
        self.expires.is_none_or(|end| end > now)
    }

    /// What it says to whomever it stops. A person's words are sealed; views add them.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let mut reason = Reason::new(ReasonCode::Hold, format!("hold/{}", self.id), format!("hold #{} stands", self.number)).remedy(format!("greenroom hold lift {}", self.number));
        reason.until = self.expires;
        reason
    }
}
