//! Environments and targets: controlled subsets of infrastructure, each with one purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deployment::check::CheckKind;
use crate::deployment::service::Service;
use crate::id::Name;

/// What an environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Development,
    Integration,
    Test,
    Staging,
    Production,
    Preview,
}

impl Purpose {
    /// Kinds of check a build needs to leave an environment of this purpose, unless its policy says otherwise.
    #[must_use]
    pub const fn exit_evidence(self) -> &'static [CheckKind] {
        match self {
            Self::Development | Self::Preview => &[],
            Self::Integration => &[CheckKind::Integration],
            Self::Test => &[CheckKind::Functional, CheckKind::NonFunctional],
            Self::Staging => &[CheckKind::RealData],
            Self::Production => &[CheckKind::Smoke],
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Development => "development",
            Self::Integration => "integration",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
            Self::Preview => "preview",
        })
    }
}

/// How a target is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// Supervised processes on this machine behind a detached proxy.
    Process,
    /// A program of the user's; what runs is reported by its `observe` program.
    Command,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Process => "process",
            Self::Command => "command",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    pub purpose: Purpose,
    /// Environments a build passes before it comes here. Acyclic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    /// Policies that judge what may enter; all must allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Name>,
    pub targets: Vec<TargetSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    pub name: Name,
    pub driver: DriverKind,
    /// What the driver changes; for `process` a directory (relative to the data directory). No two targets share one.
    pub address: String,
    /// Targets of a lower wave go first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wave: u32,
    /// Services that run here; absent means every service with a recipe for the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Name>>,
    /// Stable address of each service here, kept across deployments (`127.0.0.1:7811`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, String>")]
    pub endpoints: BTreeMap<Name, SocketAddr>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
pub(crate) const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl TargetSpec {
    /// Whether `service` runs on this target, given that it has a recipe for the driver.
    #[must_use]
    pub fn hosts(&self, service: &Name) -> bool {
        self.services.as_ref().is_none_or(|list| list.contains(service))
    }
}

/// An environment as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub name: Name,
    pub title: Option<String>,
    pub set: Name,
    pub spec: EnvironmentSpec,
}

impl Environment {
    /// Targets on which `service` shall run.
    pub fn hosting<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a TargetSpec> {
        self.spec.targets.iter().filter(|t| t.hosts(&service.name) && service.spec.recipes.supports(t.driver))
    }

    #[must_use]
    pub fn target(&self, name: &Name) -> Option<&TargetSpec> {
        self.spec.targets.iter().find(|t| t.name == *name)
    }
}
