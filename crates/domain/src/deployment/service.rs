//! Services: the unit deployed on its own, its components, recipes and checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deployment::check::CheckSpec;
use crate::deployment::environment::DriverKind;
use crate::id::Name;
use crate::time::Span;

/// How the builds of a service are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// By semantic version.
    #[default]
    Semver,
    /// By order of registration within a line.
    Sequence,
}

/// What makes a new build of the service visible to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseGate {
    /// Features do, or nothing: the build may run in production as policies say.
    #[default]
    None,
    /// The service is unflagged: production takes a build only when a started release contains that exact build.
    Required,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    pub components: Vec<Name>,
    #[serde(default)]
    pub versioning: Versioning,
    #[serde(default)]
    pub release: ReleaseGate,
    #[serde(default)]
    pub recipes: Recipes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckSpec>,
}

/// One recipe per driver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecipe>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandRecipe>,
}

impl Recipes {
    #[must_use]
    pub const fn supports(&self, driver: DriverKind) -> bool {
        match driver {
            DriverKind::Process => self.process.is_some(),
            DriverKind::Command => self.command.is_some(),
        }
    }
}

/// How a build becomes a process. In `run` and `env`: `{listen}` is the private address to listen on, `{COMPONENT}` the
/// path of that component's artifact, `{endpoint:SERVICE}` the stable address of a service in the same environment,
/// `{environment}`, `{version}` and `{control}` (the control plane's address) what they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRecipe {
    pub run: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    pub ready: Probe,
    /// Ready without a restart for this long before it counts as live.
    #[serde(default = "one_second")]
    pub min_stable: Span,
    /// Time the old process has to finish its requests after TERM.
    #[serde(default = "five_seconds")]
    pub drain: Span,
    /// From start to live, else the rollout failed.
    #[serde(default = "one_minute")]
    pub deadline: Span,
}

/// How a user's own program deploys a build and says what runs. Placeholders as in [`ProcessRecipe`], plus `{op}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRecipe {
    pub apply: Vec<String>,
    /// Prints what runs as JSON; without it the target is reported, never observed, and satisfies no need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Vec<String>>,
    #[serde(default = "one_second")]
    pub min_stable: Span,
    #[serde(default = "one_minute")]
    pub deadline: Span,
}

/// Readiness: an HTTP path that answers 2xx, `times` in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub http: String,
    #[serde(default = "two")]
    pub times: u32,
    #[serde(default = "fifth_of_a_second")]
    pub every: Span,
}

const fn one_second() -> Span {
    Span::secs(1)
}
const fn five_seconds() -> Span {
    Span::secs(5)
}
const fn one_minute() -> Span {
    Span::secs(60)
}
const fn fifth_of_a_second() -> Span {
    Span::millis(200)
}
const fn two() -> u32 {
    2
}

/// A service as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: Name,
    pub title: Option<String>,
    pub set: Name,
    pub spec: ServiceSpec,
    /// Number of builds registered so far, over all lines: the next build's place in `sequence` order.
    pub registered: u64,
}
