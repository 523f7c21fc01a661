//! Roles: what a person or token may be bound to. What each may do is `access`'s business.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Viewer,
    Engineer,
    Deployer,
    ReleaseManager,
    ProductOwner,
    Approver,
    OnCall,
    Auditor,
    Admin,
}

impl Role {
    pub const ALL: [Role; 9] = [Role::Viewer, Role::Engineer, Role::Deployer, Role::ReleaseManager, Role::ProductOwner, Role::Approver, Role::OnCall, Role::Auditor, Role::Admin];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Engineer => "engineer",
            Self::Deployer => "deployer",
            Self::ReleaseManager => "release-manager",
            Self::ProductOwner => "product-owner",
            Self::Approver => "approver",
            Self::OnCall => "on-call",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a role: use viewer, engineer, deployer, release-manager, product-owner, approver, on-call, auditor or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(s: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|r| r.as_str() == s).ok_or_else(|| UnknownRole(s.chars().take(40).collect()))
    }
}
