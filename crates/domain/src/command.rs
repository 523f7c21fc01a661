//! Commands: what someone, or a part of Greenroom, asks to happen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agenda::Cursor;
use crate::decision::{About, Verdict};
use crate::deployment::build::BuildSpec;
use crate::deployment::check::Outcome;
use crate::deployment::deployment::Motive;
use crate::deployment::environment::EnvironmentSpec;
use crate::deployment::placement::Observation;
use crate::deployment::policy::PolicySpec;
use crate::deployment::service::ServiceSpec;
use crate::event::TokenKind;
use crate::hold::{Plane, Scope, Stops};
use crate::id::{
    AttributeName, BuildLabel, CheckId, DeploymentId, Digest, FeatureKey, HoldId, Name, OperationId, PersonId, PlacementKey, RolloutId, TokenId, VariantName, Version,
};
use crate::import::Serves;
use crate::release::attribute::AttributeSpec;
use crate::release::cohort::CohortSpec;
use crate::release::feature::{BaselineRule, FeatureSpec};
use crate::release::plan::ReleaseSpec;
use crate::role::Role;
use crate::sealed::Sealed;
use crate::time::{At, Span};
use crate::withdrawal::Withdrawn;

/// One manifest, parsed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Manifest {
    Environment { name: Name, title: Option<String>, spec: EnvironmentSpec },
    Service { name: Name, title: Option<String>, spec: ServiceSpec },
    Policy { name: Name, title: Option<String>, spec: PolicySpec },
    Feature { key: FeatureKey, title: Option<String>, spec: FeatureSpec },
    Cohort { name: Name, title: Option<String>, spec: CohortSpec },
    Attribute { name: AttributeName, title: Option<String>, spec: AttributeSpec },
}

impl Manifest {
    /// `environment/staging`: kind and name as one text.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Environment { name, .. } => format!("environment/{name}"),
            Self::Service { name, .. } => format!("service/{name}"),
            Self::Policy { name, .. } => format!("policy/{name}"),
            Self::Feature { key, .. } => format!("feature/{key}"),
            Self::Cohort { name, .. } => format!("cohort/{name}"),
            Self::Attribute { name, .. } => format!("attribute/{name}"),
        }
    }
}

/// What the reactor that drives rollouts has to say. All of it is matched by operation id and changes nothing twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The target took the operation; from now on it is watched.
    Applied {
        op: OperationId,
    },
    /// The wanted build serves everywhere, nothing old does, ready without restarts for long enough.
    Settled {
        op: OperationId,
        seen: Observation,
    },
    /// The target is as it was before: the new build never served.
    TakenBack {
        op: OperationId,
        why: String,
        /// Whether that is the build's fault: it was tried and did not do.
        blamed: bool,
        seen: Observation,
    },
    /// The target says no, or runs something that is not what this operation brings.
    Failed {
        op: OperationId,
        why: String,
    },
    /// Someone else changed the target.
    Overtaken {
        op: OperationId,
        why: String,
    },
    /// The operation was asked to stop and nothing of it runs any more.
    Stopped {
        op: OperationId,
    },
    /// What is seen cannot be tied to the operation, or the deadline passed without contact.
    Lost {
        op: OperationId,
        why: String,
    },
    Observed {
        key: PlacementKey,
        seen: Observation,
    },
    NoContact {
        key: PlacementKey,
        since: At,
    },
    Contact {
        key: PlacementKey,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    // manifests and builds
    Apply {
        set: Name,
        manifests: Vec<Manifest>,
        prune: bool,
    },
    /// Another product's definitions, as [`crate::import::translate`] gives them.
    Import {
        set: Name,
        environment: Name,
        manifests: Vec<Manifest>,
        serves: Vec<Serves>,
    },
    /// A person's word that a quarantined build may be deployed again.
    ClearBuild {
        build: BuildLabel,
        note: Option<String>,
    },
    RegisterBuild {
        build: BuildSpec,
    },
    // deployment
    Deploy {
        environment: Name,
        builds: Vec<BuildLabel>,
        motive: Motive,
        note: Option<String>,
    },
    Rollback {
        environment: Name,
        service: Name,
        to: Option<Version>,
        withdraw_first: bool,
        emergency: bool,
        note: Option<String>,
    },
    CancelDeployment {
        id: DeploymentId,
    },
    /// A person gives up on a rollout whose outcome nobody knows.
    AbandonRollout {
        id: RolloutId,
    },
    Adopt {
        key: PlacementKey,
        version: Version,
        digest: Option<Digest>,
    },
    Report(Report),
    RecordCheck(RecordCheck),
    // release
    PlanRelease {
        name: Name,
        spec: ReleaseSpec,
    },
    StartRelease {
        name: Name,
        environment: Option<Name>,
        /// Counted from 1; must be the next. Absent: whatever is next.
        stage: Option<u32>,
    },
    PauseRelease {
        name: Name,
        environment: Option<Name>,
        note: String,
    },
    ResumeRelease {
        name: Name,
        environment: Option<Name>,
    },
    WithdrawRelease {
        name: Name,
        environment: Option<Name>,
        confirm: bool,
        note: Option<String>,
    },
    CloseRelease {
        name: Name,
        environment: Option<Name>,
    },
    CancelRelease {
        name: Name,
    },
    /// What the publisher hears back from evaluators.
    ReportWithdrawal {
        what: Withdrawn,
        environment: Name,
        /// Of the event that began it: a kill may have been lifted since, and the feature killed again.
        seq: u64,
        in_contact: u64,
        acknowledged: u64,
        laggards: Vec<String>,
        effective: bool,
    },
    KillFeature {
        feature: FeatureKey,
        environment: Name,
        reason: String,
    },
    RestoreFeature {
        feature: FeatureKey,
        environment: Name,
    },
    /// Outside production. What is absent stays as it is, and so does what closed releases left there: it binds needs, and
    /// comes before the rules.
    SetBaseline {
        feature: FeatureKey,
        environment: Name,
        /// All of them anew; none takes those that stand away.
        rules: Option<Vec<BaselineRule>>,
        /// For whom no rule matches.
        variant: Option<VariantName>,
    },
    // both
    Decide {
        about: About,
        role: Role,
        verdict: Verdict,
        by: PersonId,
        note: Option<String>,
        valid_for: Option<Span>,
    },
    SetHold {
        scope: Scope,
        plane: Plane,
        stops: Stops,
        reason: String,
        expires: Option<At>,
    },
    LiftHold {
        id: HoldId,
    },
    // people
    AddPerson {
        name: String,
        roles: Vec<Role>,
    },
    SetRoles {
        id: PersonId,
        roles: Vec<Role>,
    },
    /// The hash of the new password commits beside the event, outside the chain.
    SetPassword {
        id: PersonId,
    },
    RemovePerson {
        id: PersonId,
    },
    CreateToken {
        kind: TokenKind,
        hash: Digest,
        person: Option<PersonId>,
        environment: Option<Name>,
        title: String,
        expires: At,
    },
    RevokeToken {
        id: TokenId,
    },
    SetSeparation {
        on: bool,
    },
    Erase {
        sealed: Vec<Sealed>,
    },
    /// Judge what became due or was touched since the cursor.
    Tick {
        cursor: Cursor,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct RecordCheck {
    pub id: Option<CheckId>,
    pub environment: Name,
    pub service: Name,
    pub check: Name,
    pub outcome: Outcome,
    pub summary: String,
    /// What was observed to run when the check began.
    pub set: BTreeMap<Name, Digest>,
    pub rollout: Option<RolloutId>,
    pub evidence: Vec<Digest>,
    pub requirements: Vec<String>,
}
