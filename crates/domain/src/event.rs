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
use crate::hold::{Hold, Scope, Why};
use crate::id::{AttributeName, DeploymentId, Digest, FeatureKey, HoldId, Name, OperationId, PersonId, PlacementKey, Requirement, RolloutId, TokenId};
use crate::refusal::Reason;
use crate::release::attribute::AttributeSpec;
use crate::release::cohort::CohortSpec;
use crate::release::feature::{Baseline, FeatureSpec};
use crate::release::plan::ReleaseSpec;
use crate::role::Role;
use crate::sealed::Sealed;
use crate::state::State;
use crate::time::{At, Share};

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

/// Hops from older bodies to newer ones.
const HOPS: &[Hop] = &[
    // a baseline had no rules of its own: an absent list is an empty one, and an older program must not read past it
    ("baseline.set", 1, |body| body),
    // versions of cohorts were counted by whoever read it; an older program would go on counting
    ("cohort.defined", 1, |body| body),
    ("release.planned", 1, |body| body),
    ("release.scope_changed", 1, |body| body),
    // keys and variants had names as narrow as ours; what came later may have any, which an older program cannot read
    ("feature.defined", 1, |body| body),
];

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
    FeatureDefined = "feature.defined" / 2 { key: FeatureKey, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: FeatureSpec }
    FeatureRemoved = "feature.removed" / 1 { key: FeatureKey }
    CohortDefined = "cohort.defined" / 2 {
        name: Name, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: CohortSpec,
        #[serde(default, skip_serializing_if = "Option::is_none")] users: Option<Sealed>,
        /// Counted from 1; not said by version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")] version: Option<u64>,
    }
    CohortRemoved = "cohort.removed" / 1 { name: Name }
    AttributeDefined = "attribute.defined" / 1 { name: AttributeName, set: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: AttributeSpec }
    AttributeRemoved = "attribute.removed" / 1 { name: AttributeName }

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
    BuildCleared = "build.cleared" / 1 { service: Name, build: Digest, #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<Sealed> }
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
    CheckRecorded = "check.recorded" / 1 { result: CheckResult, #[serde(default, skip_serializing_if = "Option::is_none")] deployment: Option<DeploymentId> }

    // release
    ReleasePlanned = "release.planned" / 2 {
        name: Name, number: u64, spec: ReleaseSpec, scope: Digest, salt: String, environments: Vec<Name>, draft: bool,
        /// Versions of the cohorts that its stages name, as decided; not said by version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")] cohorts: Option<BTreeMap<Name, u64>>,
    }
    ReleaseScopeChanged = "release.scope_changed" / 2 {
        name: Name, spec: ReleaseSpec, scope: Digest, environments: Vec<Name>, draft: bool, changed: Vec<String>,
        /// As in `release.planned`.
        #[serde(default, skip_serializing_if = "Option::is_none")] cohorts: Option<BTreeMap<Name, u64>>,
    }
    ReleaseArmed = "release.armed" / 1 { name: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseStageStarted = "release.stage_started" / 1 { name: Name, environment: Name, stage: u32, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseRefused = "release.refused" / 1 { name: Name, environment: Name, wanted: String, reasons: Vec<Reason>, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseExposed = "release.exposed" / 1 { name: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleasePaused = "release.paused" / 1 { name: Name, environment: Name, off: bool, why: Vec<Reason>, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseResumed = "release.resumed" / 1 { name: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseWithdrawing = "release.withdrawing" / 1 { name: Name, environment: Name, deadline: At, #[serde(default = "Share::all", skip_serializing_if = "Share::is_all")] share: Share, #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<Sealed>, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    WithdrawalPartial = "withdrawal.partial" / 1 { name: Name, environment: Name, in_contact: u64, acknowledged: u64, laggards: Vec<String>, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseWithdrawn = "release.withdrawn" / 1 { name: Name, environment: Name, in_contact: u64, acknowledged: u64, effective: At, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseClosed = "release.closed" / 1 { name: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    ReleaseCancelled = "release.cancelled" / 1 { name: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    NeedContradicted = "need.contradicted" / 1 { release: Name, environment: Name, need: Requirement, placement: PlacementKey }
    NeedRestored = "need.restored" / 1 { release: Name, environment: Name, service: Name }
    BaselineBlocked = "baseline.blocked" / 1 { release: Name, environment: Name, need: Requirement, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    BaselineRestored = "baseline.restored" / 1 { release: Name, environment: Name, #[serde(default, skip_serializing_if = "Vec::is_empty")] features: Vec<FeatureKey> }
    BaselineSet = "baseline.set" / 2 { feature: FeatureKey, environment: Name, baseline: Baseline }
    FeatureKilled = "feature.killed" / 1 {
        feature: FeatureKey, environment: Name, silenced: Vec<Name>, reason: Sealed,
        /// Until when whoever evaluates has to acknowledge it; the first versions did not ask.
        #[serde(default, skip_serializing_if = "Option::is_none")] deadline: Option<At>,
        #[serde(default = "Share::all", skip_serializing_if = "Share::is_all")] share: Share,
    }
    KillPartial = "kill.partial" / 1 { feature: FeatureKey, environment: Name, in_contact: u64, acknowledged: u64, laggards: Vec<String> }
    KillEffective = "kill.effective" / 1 { feature: FeatureKey, environment: Name, in_contact: u64, acknowledged: u64 }
    FeatureRestored = "feature.restored" / 1 { feature: FeatureKey, environment: Name }

    // both planes
    DecisionRecorded = "decision.recorded" / 1 { decision: Decision }
    HoldSet = "hold.set" / 1 { hold: Hold }
    HoldLifted = "hold.lifted" / 1 { id: HoldId, #[serde(default, skip_serializing_if = "Option::is_none")] scope: Option<Scope>, #[serde(default, skip_serializing_if = "Option::is_none")] because: Option<Why> }

    // people
    PersonJoined = "person.joined" / 1 { id: PersonId, name: Sealed, roles: Vec<Role> }
    PersonRolesSet = "person.roles_set" / 1 { id: PersonId, roles: Vec<Role> }
    PersonPasswordSet = "person.password_set" / 1 { id: PersonId }
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
    /// Follows one environment for others who ask, and is told who they may be.
    Relay,
    /// Asks what one environment shows a caller, and cannot fetch its rules: for pages and apps, where anyone can read it.
    Web,
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
    /// Says in the event what it concerns beside what it changes, as `state` before it knows: its subjects are hashed
    /// with it, so what is left out here can never be asked for.
    pub(crate) fn concerning(mut self, state: &State) -> Self {
        let of = |name: &Name| state.releases.get(name).map(|r| r.spec.features.iter().map(|f| f.key.clone()).collect()).unwrap_or_default();
        match &mut self {
            Self::ReleaseArmed(e) => e.features = of(&e.name),
            Self::ReleaseStageStarted(e) => e.features = of(&e.name),
            Self::ReleaseRefused(e) => e.features = of(&e.name),
            Self::ReleaseExposed(e) => e.features = of(&e.name),
            Self::ReleasePaused(e) => e.features = of(&e.name),
            Self::ReleaseResumed(e) => e.features = of(&e.name),
            Self::ReleaseWithdrawing(e) => e.features = of(&e.name),
            Self::WithdrawalPartial(e) => e.features = of(&e.name),
            Self::ReleaseWithdrawn(e) => e.features = of(&e.name),
            Self::ReleaseClosed(e) => e.features = of(&e.name),
            Self::ReleaseCancelled(e) => e.features = of(&e.name),
            Self::BaselineBlocked(e) => e.features = of(&e.release),
            Self::BaselineRestored(e) => e.features = of(&e.release),
            Self::HoldLifted(e) => e.scope = state.holds.get(&e.id).map(|h| h.scope.clone()),
            Self::CheckRecorded(e) => e.deployment = e.result.rollout.and_then(|id| state.rollouts.get(&id)).map(|r| r.deployment),
            _ => {}
        }
        self
    }

    /// Every subject of the event, as text: what history is asked by. Names that must be unique are subjects too.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let placement = |k: &PlacementKey| vec![format!("placement/{k}"), format!("environment/{}", k.environment), format!("service/{}", k.service)];
        let release = |name: &Name, environment: &Name, features: &[FeatureKey]| {
            let mut all = vec![format!("release/{name}"), format!("environment/{environment}")];
            all.extend(features.iter().map(|key| format!("feature/{key}")));
            all
        };
        let planned = |name: &Name, environments: &[Name], spec: &ReleaseSpec| {
            let mut all = vec![format!("release/{name}")];
            all.extend(environments.iter().map(|e| format!("environment/{e}")));
            all.extend(spec.features.iter().map(|f| format!("feature/{}", f.key)));
            all
        };
        let with = |mut all: Vec<String>, more: String| {
            all.push(more);
            all
        };
        let hold = |id: &HoldId, scope: Option<&Scope>| {
            let mut all = vec![format!("hold/{id}")];
            if let Some(scope) = scope {
                all.extend(scope.environment.iter().map(|e| format!("environment/{e}")));
                all.extend(scope.service.iter().map(|s| format!("service/{s}")));
                all.extend(scope.release.iter().map(|r| format!("release/{r}")));
                all.extend(scope.feature.iter().map(|f| format!("feature/{f}")));
            }
            all
        };
        match self {
            Self::EnvironmentDefined(EnvironmentDefined { name, .. }) | Self::EnvironmentRemoved(EnvironmentRemoved { name }) => vec![format!("environment/{name}")],
            Self::ServiceDefined(ServiceDefined { name, .. }) | Self::ServiceRemoved(ServiceRemoved { name }) => vec![format!("service/{name}")],
            Self::PolicyDefined(PolicyDefined { name, .. }) | Self::PolicyRemoved(PolicyRemoved { name }) => vec![format!("policy/{name}")],
            Self::FeatureDefined(FeatureDefined { key, .. }) | Self::FeatureRemoved(FeatureRemoved { key }) => vec![format!("feature/{key}")],
            Self::CohortDefined(CohortDefined { name, .. }) | Self::CohortRemoved(CohortRemoved { name }) => vec![format!("cohort/{name}")],
            Self::AttributeDefined(AttributeDefined { name, .. }) | Self::AttributeRemoved(AttributeRemoved { name }) => vec![format!("attribute/{name}")],
            Self::BuildRegistered(e) => vec![format!("service/{}", e.build.service), format!("version/{}/{}", e.build.service, e.build.version), format!("build/{}", e.digest)],
            Self::BuildRecalled(e) => vec![format!("service/{}", e.build.service), format!("version/{}/{}", e.build.service, e.build.version), format!("build/{}", e.digest)],
            Self::BuildQuarantined(e) => vec![format!("service/{}", e.service), format!("build/{}", e.build)],
            Self::BuildCleared(e) => vec![format!("service/{}", e.service), format!("build/{}", e.build)],
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
                all.push(format!("rollout/{}", e.rollout));
                all.push(format!("build/{}", e.build));
                all
            }
            Self::RolloutCancelRequested(e) => vec![format!("deployment/{}", e.deployment), format!("rollout/{}", e.rollout)],
            Self::PlacementObserved(e) => placement(&e.key),
            Self::PlacementAdopted(e) => with(placement(&e.key), format!("build/{}", e.build)),
            Self::ContactLost(e) => placement(&e.key),
            Self::ContactRegained(e) => placement(&e.key),
            Self::CheckRecorded(e) => {
                let mut all = vec![format!("service/{}", e.result.service), format!("environment/{}", e.result.environment), format!("check/{}", e.result.name)];
                all.extend(e.result.build().map(|build| format!("build/{build}")));
                all.extend(e.deployment.map(|id| format!("deployment/{id}")));
                all
            }
            Self::ReleasePlanned(e) => planned(&e.name, &e.environments, &e.spec),
            Self::ReleaseScopeChanged(e) => planned(&e.name, &e.environments, &e.spec),
            Self::ReleaseArmed(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseStageStarted(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseRefused(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseExposed(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleasePaused(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseResumed(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseWithdrawing(e) => release(&e.name, &e.environment, &e.features),
            Self::WithdrawalPartial(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseWithdrawn(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseClosed(e) => release(&e.name, &e.environment, &e.features),
            Self::ReleaseCancelled(e) => release(&e.name, &e.environment, &e.features),
            Self::NeedContradicted(e) => with(release(&e.release, &e.environment, &[]), format!("service/{}", e.need.service)),
            Self::NeedRestored(e) => with(release(&e.release, &e.environment, &[]), format!("service/{}", e.service)),
            Self::BaselineBlocked(e) => with(release(&e.release, &e.environment, &e.features), format!("service/{}", e.need.service)),
            Self::BaselineRestored(e) => release(&e.release, &e.environment, &e.features),
            Self::BaselineSet(e) => vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)],
            Self::FeatureKilled(e) => {
                let mut all = vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)];
                all.extend(e.silenced.iter().map(|name| format!("release/{name}")));
                all
            }
            Self::KillPartial(KillPartial { feature, environment, .. }) | Self::KillEffective(KillEffective { feature, environment, .. }) => {
                vec![format!("feature/{feature}"), format!("environment/{environment}")]
            }
            Self::FeatureRestored(e) => vec![format!("feature/{}", e.feature), format!("environment/{}", e.environment)],
            Self::DecisionRecorded(e) => match &e.decision.about {
                crate::decision::About::Deployment(id) => vec![format!("deployment/{id}"), format!("person/{}", e.decision.by)],
                crate::decision::About::Release(name) => vec![format!("release/{name}"), format!("person/{}", e.decision.by)],
            },
            Self::HoldSet(e) => hold(&e.hold.id, Some(&e.hold.scope)),
            Self::HoldLifted(e) => hold(&e.id, e.scope.as_ref()),
            Self::PersonJoined(PersonJoined { id, .. })
            | Self::PersonRolesSet(PersonRolesSet { id, .. })
            | Self::PersonPasswordSet(PersonPasswordSet { id })
            | Self::PersonLeft(PersonLeft { id }) => vec![format!("person/{id}")],
            Self::TokenCreated(e) => [format!("token/{}", e.token.id)].into_iter().chain(e.token.person.map(|id| format!("person/{id}"))).collect(),
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
