//! Checks: verifications bound to the observed set of builds, with their evidence.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deployment::environment::Purpose;
use crate::id::{CheckId, Digest, Name, RolloutId};
use crate::state::State;
use crate::time::{At, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    Unit,
    /// New code combined with existing code, on the set of builds that ran together.
    Integration,
    Functional,
    NonFunctional,
    /// Readiness on real (masked) data.
    RealData,
    /// The refresh of that data itself: when, and masked how.
    DataRefresh,
    Smoke,
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unit => "unit",
            Self::Integration => "integration",
            Self::Functional => "functional",
            Self::NonFunctional => "non_functional",
            Self::RealData => "real_data",
            Self::DataRefresh => "data_refresh",
            Self::Smoke => "smoke",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    pub name: Name,
    pub kind: CheckKind,
    /// Runs in environments of these purposes.
    pub purposes: Vec<Purpose>,
    pub run: CheckRun,
    /// Ids of the requirements this check confirms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

const fn half_a_minute() -> Span {
    Span::secs(30)
}

/// What a check does. Placeholders as in a recipe; `{endpoint:SERVICE}` is the stable address to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CheckRun {
    /// One GET of the service's stable address.
    Http(HttpCheck),
    /// A program; exit 0 passes, 1 fails, anything else is an error. JUnit XML, where named, decides instead and is kept.
    Command(CommandCheck),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    pub path: String,
    #[serde(default = "ok")]
    pub status: u16,
    /// The body must contain this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// The answer must come within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

const fn ok() -> u16 {
    200
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    pub argv: Vec<String>,
    /// File that the program writes as JUnit XML; `{work}` is the check's fresh directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub junit: Option<String>,
}

/// Four different things, never merged: the build is good, is bad, cannot be judged, could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    Inconclusive,
    Error,
}

impl Outcome {
    /// Whether it is a verdict on the build.
    #[must_use]
    pub const fn judged(self) -> bool {
        matches!(self, Self::Pass | Self::Fail)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
        })
    }
}

/// A result as recorded. `set` is what was observed to run together in the environment while it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub id: CheckId,
    pub environment: Name,
    pub service: Name,
    pub name: Name,
    pub kind: CheckKind,
    pub outcome: Outcome,
    pub set: BTreeMap<Name, Digest>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutId>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub requirements: Vec<String>,
    /// Blobs kept as evidence, by content digest.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<Digest>,
    /// One line for people: `12 passed`, `status 500`, `3 s, wanted 1 s`.
    pub summary: String,
    pub at: At,
}

impl CheckResult {
    /// The build that was checked.
    #[must_use]
    pub fn build(&self) -> Option<&Digest> {
        self.set.get(&self.service)
    }
}

/// Whether every check that the service has for the purpose of `environment` has passed on `build`.
#[must_use]
pub fn checks_pass(state: &State, environment: &Name, service: &Name, build: &Digest) -> bool {
    let (Some(env), Some(spec)) = (state.environments.get(environment), state.services.get(service)) else { return false };
    spec.spec
        .checks
        .iter()
        .filter(|c| c.purposes.contains(&env.spec.purpose))
        .all(|c| state.check(environment, service, build, &c.name).is_some_and(|r| r.outcome == Outcome::Pass))
}
