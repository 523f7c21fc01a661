//! The vocabulary of the ledger: what was decided, as outcomes. Each kind has its own version and is never reused.
//!
//! A body is plain JSON; its type is chosen by the kind column, never by a tag inside. Older versions are brought
//! up one hop at a time by [`upcast`]; such hops are never deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decision::Decision;
use crate::deployment::build::BuildSpec;
use crate::deployment::check::CheckResult;
use crate::deployment::deployment::{AwaitedWithdrawal, Config, Item, Motive, Urgency};
use crate::deployment::environment::EnvironmentSpec;
use crate::deployment::placement::Observation;
use crate::deployment::policy::PolicySpec;
use crate::deployment::rollout::{Step, StepKind};
use crate::deployment::service::ServiceSpec;
use crate::hold::{Hold, Why};
use crate::id::{DeploymentId, Digest, FeatureKey, HoldId, Name, OperationId, PersonId, PlacementKey, Requirement, RolloutId, TokenId};
use crate::refusal::Reason;
use crate::release::cohort::CohortSpec;
use crate::release::feature::{Baseline, FeatureSpec};
use crate::release::plan::ReleaseSpec;
use crate::role::Role;
use crate::sealed::Sealed;
use crate::time::At;

/// Why stored bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("event kind `{kind}/{version}` is not known to this version of Greenroom")]
    UnknownKind { kind: String, version: u16 },
    #[error("the body of `{kind}/{version}` does not read")]
    Body { kind: String, version: u16, source: serde_json::Error },
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal / $version:literal { $($(#[$fm:meta])* $field:ident : $ty:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fm])* pub $field: $ty),* }
        )*

        /// One thing that happened.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event { $($name($name)),* }

        $(impl From<$name> for Event {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })*

        impl Event {
            /// Every kind this version writes, with its version.
            pub const KINDS: &'static [(&'static str, u16)] = &[$(($kind, $version)),*];

            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind),* }
            }

            #[must_use]
            pub const fn version(&self) -> u16 {
                match self { $(Self::$name(_) => $version),* }
            }

            /// The body as JSON.
            ///
            /// # Errors
            /// When a value has no JSON form, which no event's has.
            pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
                match self { $(Self::$name(body) => serde_json::to_vec(body)),* }
            }

            /// Reads a body as it was stored, whatever version wrote it.
            ///
            /// # Errors
            /// An unknown kind, a version newer than this program's, or a body that does not read.
            pub fn decode(kind: &str, version: u16, body: &[u8]) -> Result<Self, DecodeError> {
                let unreadable = |source| DecodeError::Body { kind: kind.to_owned(), version, source };
                match kind {
                    $($kind => {
                        if version == $version {
                            return serde_json::from_slice(body).map(Self::$name).map_err(unreadable);
                        }
                        let old: Value = serde_json::from_slice(body).map_err(unreadable)?;
                        match upcast(kind, version, $version, old) {
                            Some(value) => serde_json::from_value(value).map(Self::$name).map_err(unreadable),
                            None => Err(DecodeError::UnknownKind { kind: kind.to_owned(), version }),
                        }
                    })*
                    _ => Err(DecodeError::UnknownKind { kind: kind.to_owned(), version }),
                }
            }
        }
    };
}

/// One hop: the version it starts from and how a body of it becomes the next version's.
type Hop = (&'static str, u16, fn(Value) -> Value);

/// Hops from older bodies to newer ones. All kinds are at version 1 so far.
const HOPS: &[Hop] = &[];

fn upcast(kind: &str, from: u16, to: u16, mut body: Value) -> Option<Value> {
    let mut version = from;
    while version < to {
        let hop = HOPS.iter().find(|(k, v, _)| *k == kind && *v == version)?;
        body = hop.2(body);
        version += 1;
    }
    (version == to).then_some(body)
}

events! {
    // what is defined by manifests
    EnvironmentDefined = "environment.defined" / 1 { name: Name, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: EnvironmentSpec }
    EnvironmentRemoved = "environment.removed" / 1 { name: Name }
    ServiceDefined = "service.defined" / 1 { name: Name, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: ServiceSpec }
    ServiceRemoved = "service.removed" / 1 { name: Name }
    PolicyDefined = "policy.defined" / 1 { name: Name, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: PolicySpec }
    PolicyRemoved = "policy.removed" / 1 { name: Name }
    FeatureDefined = "feature.defined" / 1 { key: FeatureKey, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: FeatureSpec }
    FeatureRemoved = "feature.removed" / 1 { key: FeatureKey }
    CohortDefined = "cohort.defined" / 1 { name: Name, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: CohortSpec, #[serde(default, skip_serializing_if = "Option::is_none")] users: Option<Sealed> }
    CohortRemoved = "cohort.removed" / 1 { name: Name }

    // deployment
    BuildRegistered = "build.registered" / 1 { build: BuildSpec, digest: Digest, sequence: u64 }
    BuildRecalled = "build.recalled" / 1 {
        build: BuildSpec, digest: Digest, sequence: u64, registered: At,
        #[serde(default, skip_serializing_if = "Option::is_none")] quarantined: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] lived: Vec<Name>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] tried: Vec<Name>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] checks: Vec<CheckResult>,
    }
    BuildQuarantined = "build.quarantined" / 1 { service: Name, build: Digest, why: String }
    DeploymentRequested = "deployment.requested" / 1 {
        id: DeploymentId, number: u64, environment: Name, items: Vec<Item>, motive: Motive, urgency: Urgency, scope: Digest,
        rollouts: Vec<PlannedRollout>, configs: BTreeMap<Digest, Config>, policies: Vec<Name>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] awaits: Vec<AwaitedWithdrawal>,
        #[serde(default, skip_serializing_if = "Option::is_none")] undoes: Option<DeploymentId>,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<Sealed>,
    }
    RolloutMoved = "rollout.moved" / 1 { rollout: RolloutId, deployment: DeploymentId, key: PlacementKey, build: Digest, from: StepKind, to: Step, op: OperationId }
    RolloutCancelRequested = "rollout.cancel_requested" / 1 { rollout: RolloutId, deployment: DeploymentId }
    PlacementObserved = "placement.observed" / 1 { key: PlacementKey, seen: Observation }
    PlacementAdopted = "placement.adopted" / 1 { key: PlacementKey, build: Digest, config: Digest, content: Config }
    ContactLost = "contact.lost" / 1 { key: PlacementKey, since: At }
    ContactRegained = "contact.regained" / 1 { key: PlacementKey }
    CheckRecorded = "check.recorded" / 1 { result: CheckResult }

    // release
    ReleasePlanned = "release.planned" / 1 { name: Name, number: u64, spec: ReleaseSpec, scope: Digest, salt: String, environments: Vec<Name>, draft: bool }
    ReleaseScopeChanged = "release.scope_changed" / 1 { name: Name, spec: ReleaseSpec, scope: Digest, environments: Vec<Name>, draft: bool, changed: Vec<String> }
    ReleaseArmed = "release.armed" / 1 { name: Name, environment: Name }
    ReleaseStageStarted = "release.stage_started" / 1 { name: Name, environment: Name, stage: u32 }
    ReleaseRefused = "release.refused" / 1 { name: Name, environment: Name, wanted: String, reasons: Vec<Reason> }
    ReleaseExposed = "release.exposed" / 1 { name: Name, environment: Name }
    ReleasePaused = "release.paused" / 1 { name: Name, environment: Name, off: bool, why: Vec<Reason> }
    ReleaseResumed = "release.resumed" / 1 { name: Name, environment: Name }
    ReleaseWithdrawing = "release.withdrawing" / 1 { name: Name, environment: Name, deadline: At, #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<Sealed> }
    WithdrawalPartial = "withdrawal.partial" / 1 { name: Name, environment: Name, in_contact: u64, acknowledged: u64, laggards: Vec<String> }
    ReleaseWithdrawn = "release.withdrawn" / 1 { name: Name, environment: Name, in_contact: u64, acknowledged: u64, effective: At }
    ReleaseClosed = "release.closed" / 1 { name: Name, environment: Name }
    ReleaseCancelled = "release.cancelled" / 1 { name: Name, environment: Name }
    NeedContradicted = "need.contradicted" / 1 { release: Name, environment: Name, need: Requirement, placement: PlacementKey }
    NeedRestored = "need.restored" / 1 { release: Name, environment: Name, service: Name }
    BaselineBlocked = "baseline.blocked" / 1 { release: Name, environment: Name, need: Requirement }
    BaselineRestored = "baseline.restored" / 1 { release: Name, environment: Name }
    BaselineSet = "baseline.set" / 1 { feature: FeatureKey, environment: Name, baseline: Baseline }
    FeatureKilled = "feature.killed" / 1 { feature: FeatureKey, environment: Name, silenced: Vec<Name>, reason: Sealed }
    FeatureRestored = "feature.restored" / 1 { feature: FeatureKey, environment: Name }

    // both planes
    DecisionRecorded = "decision.recorded" / 1 { decision: Decision }
    HoldSet = "hold.set" / 1 { hold: Hold }
    HoldLifted = "hold.lifted" / 1 { id: HoldId, #[serde(default, skip_serializing_if = "Option::is_none")] because: Option<Why> }

    // people
    PersonJoined = "person.joined" / 1 { id: PersonId, name: Sealed, roles: Vec<Role> }
    PersonRolesSet = "person.roles_set" / 1 { id: PersonId, roles: Vec<Role> }
    PersonLeft = "person.left" / 1 { id: PersonId }
    TokenCreated = "token.created" / 1 { token: Token }
    TokenRevoked = "token.revoked" / 1 { id: TokenId }
    SeparationSet = "separation.set" / 1 { on: bool }
    Erased = "erased" / 1 { sealed: Vec<Sealed> }
    Archived = "archived" / 1 { builds: Vec<(Name, Digest)>, deployments: Vec<DeploymentId>, releases: Vec<Name> }
}

/// A rollout as a deployment plans it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRollout {
    pub id: RolloutId,
    pub target: Name,
    pub service: Name,
    pub wave: u32,
    pub build: Digest,
    pub config: Digest,
    pub reasons: Vec<Reason>,
    pub review: At,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person's own, with that person's roles.
    Pat,
    Ci,
    /// Reads one environment's exposure and nothing else.
    Sdk,
    Agent,
    Relay,
}

/// A token as the ledger knows it: never the secret, only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    pub kind: TokenKind,
    pub hash: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    pub title: String,
    pub at: At,
    pub expires: At,
}

impl Event {
    /// Every subject of the event, as text: what history is asked by. Names that must be unique are subjects too.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let placement = |k: &PlacementKey| vec![format!("placement/{k}"), format!("environment/{}", k.environment), format!("service/{}", k.service)];
        let release = |name: &Name, environment: &Name| vec![format!("release/{name}"), format!("environment/{environment}")];
        match self {
            Self::EnvironmentDefined(EnvironmentDefined { name, .. }) | Self::EnvironmentRemoved(EnvironmentRemoved { name }) => vec![format!("environment/{name}")],
            Self::ServiceDefined(ServiceDefined { name, .. }) | Self::ServiceRemoved(ServiceRemoved { name }) => vec![format!("service/{name}")],
            Self::PolicyDefined(PolicyDefined { name, .. }) | Self::PolicyRemoved(PolicyRemoved { name }) => vec![format!("policy/{name}")],
            Self::FeatureDefined(FeatureDefined { key, .. }) | Self::FeatureRemoved(FeatureRemoved { key }) => vec![format!("feature/{key}")],
            Self::CohortDefined(CohortDefined { name, .. }) | Self::CohortRemoved(CohortRemoved { name }) => vec![format!("cohort/{name}")],
            Self::BuildRegistered(e) => vec![format!("service/{}", e.build.service), format!("version/{}/{}", e.build.service, e.build.version), format!("build/{}", e.digest)],
            Self::BuildRecalled(e) => vec![format!("service/{}", e.build.service), format!("version/{}/{}", e.build.service, e.build.version), format!("build/{}", e.digest)],
            Self::BuildQuarantined(e) => vec![format!("service/{}", e.service), format!("build/{}", e.build)],
            Self::DeploymentRequested(e) => {
                let mut all = vec![format!("deployment/{}", e.id), format!("environment/{}", e.environment)];
                for item in &e.items {
                    all.push(format!("service/{}", item.service));
                    all.push(format!("build/{}", item.build));
                }
                all.extend(e.awaits.iter().map(|a| format!("release/{}", a.release)));
                all
            }
            Self::RolloutMoved(e) => {
                let mut all = placement(&e.key);
                all.push(format!("deployment/{}", e.deployment));
                all.push(format!("build/{}", e.build));
                all
            }
            Self::RolloutCancelRequested(e) => vec![format!("deployment/{}", e.deployment)],
            Self::PlacementObserved(e) => placement(&e.key),
            Self::PlacementAdopted(e) => placement(&e.key),
            Self::ContactLost(e) => placement(&e.key),
            Self::ContactRegained(e) => placement(&e.key),
            Self::CheckRecorded(e) => {
                let mut all = vec![format!("service/{}", e.result.service), format!("environment/{}", e.result.environment), format!("check/{}", e.result.name)];
                all.extend(e.result.build().map(|build| format!("build/{build}")));
                all
            }
            Self::ReleasePlanned(e) => vec![format!("release/{}", e.name)],
            Self::ReleaseScopeChanged(e) => vec![format!("release/{}", e.name)],
            Self::ReleaseArmed(e) => release(&e.name, &e.environment),
            Self::ReleaseStageStarted(e) => release(&e.name, &e.environment),
            Self::ReleaseRefused(e) => release(&e.name, &e.environment),
            Self::ReleaseExposed(e) => release(&e.name, &e.environment),
            Self::ReleasePaused(e) => release(&e.name, &e.environment),
            Self::ReleaseResumed(e) => release(&e.name, &e.environment),
            Self::ReleaseWithdrawing(e) => release(&e.name, &e.environment),
            Self::WithdrawalPartial(e) => release(&e.name, &e.environment),
            Self::ReleaseWithdrawn(e) => release(&e.name, &e.environment),
            Self::ReleaseClosed(e) => release(&e.name, &e.environment),
            Self::ReleaseCancelled(e) => release(&e.name, &e.environment),
            Self::NeedContradicted(e) => release(&e.release, &e.environment),
            Self::NeedRestored(e) => release(&e.release, &e.environment),
            Self::BaselineBlocked(e) => release(&e.release, &e.environment),
            Self::BaselineRestored(e) => release(&e.release, &e.environment),
            Self::BaselineSet(e) => vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)],
            Self::FeatureKilled(e) => vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)],
            Self::FeatureRestored(e) => vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)],
            Self::DecisionRecorded(e) => match &e.decision.about {
                crate::decision::About::Deployment(id) => vec![format!("deployment/{id}"), format!("person/{}", e.decision.by)],
                crate::decision::About::Release(name) => vec![format!("release/{name}"), format!("person/{}", e.decision.by)],
            },
            Self::HoldSet(e) => vec![format!("hold/{}", e.hold.id)],
            Self::HoldLifted(e) => vec![format!("hold/{}", e.id)],
            Self::PersonJoined(PersonJoined { id, .. }) | Self::PersonRolesSet(PersonRolesSet { id, .. }) | Self::PersonLeft(PersonLeft { id }) => vec![format!("person/{id}")],
            Self::TokenCreated(e) => vec![format!("token/{}", e.token.id)],
            Self::TokenRevoked(e) => vec![format!("token/{}", e.id)],
            Self::SeparationSet(_) => vec!["settings/separation".to_owned()],
            Self::Erased(_) => Vec::new(),
            Self::Archived(e) => {
                let builds = e.builds.iter().map(|(_, build)| format!("build/{build}"));
                builds.chain(e.deployments.iter().map(|id| format!("deployment/{id}"))).chain(e.releases.iter().map(|name| format!("release/{name}"))).collect()
            }
        }
    }
}
