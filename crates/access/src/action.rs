//! Everything that can be attempted, each with the name that policies, logs and refusals use.

use std::fmt;
use std::str::FromStr;

use greenroom_domain::role::Role;

macro_rules! actions {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// Something a principal may attempt.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($name,)*
            /// To say go or no-go as this role.
            Decide(Role),
        }

        /// Places in the table of verdicts.
        #[derive(Clone, Copy)]
        enum Place {
            $($name,)*
            Decide,
        }

        const PLAIN: usize = Place::Decide as usize;

        impl Action {
            /// How many there are.
            pub const COUNT: usize = PLAIN + Role::ALL.len();

            /// Every action there is.
            pub const ALL: [Action; Action::COUNT] = [
                $(Action::$name,)*
                Action::Decide(Role::Viewer),
                Action::Decide(Role::Engineer),
                Action::Decide(Role::Deployer),
                Action::Decide(Role::ReleaseManager),
                Action::Decide(Role::ProductOwner),
                Action::Decide(Role::Approver),
                Action::Decide(Role::OnCall),
                Action::Decide(Role::Auditor),
                Action::Decide(Role::Admin),
            ];

            /// Stable name, as in `deployment.request` or `decide.approver`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Decide(role) => decide_as(role),
                }
            }

            /// The action in Cedar, where the role of a decision is the resource.
            pub(crate) const fn cedar_name(self) -> &'static str {
                match self {
                    Self::Decide(_) => "decide",
                    other => other.as_str(),
                }
            }

            pub(crate) const fn index(self) -> usize {
                match self {
                    $(Self::$name => Place::$name as usize,)*
                    Self::Decide(role) => PLAIN + role as usize,
                }
            }
        }
    };
}

actions! {
    // reading
    BoardRead = "board.read",
    EnvironmentsRead = "environments.read",
    BuildsRead = "builds.read",
    DeploymentsRead = "deployments.read",
    ReleasesRead = "releases.read",
    FeaturesRead = "features.read",
    InsightsRead = "insights.read",
    LogRead = "log.read",
    EventsRead = "events.read",
    Explain = "explain",
    PeopleRead = "people.read",
    TokensRead = "tokens.read",
    LedgerVerify = "ledger.verify",
    ExposureEvaluate = "exposure.evaluate",
    // building and deploying
    ManifestsApply = "manifests.apply",
    BuildRegister = "build.register",
    CheckRecord = "check.record",
    DeploymentRequest = "deployment.request",
    DeploymentCancel = "deployment.cancel",
    DeploymentRollback = "deployment.rollback",
    DeploymentEmergency = "deployment.emergency",
    DeploymentAdopt = "deployment.adopt",
    RolloutAbandon = "rollout.abandon",
    // releasing
    ReleasePlan = "release.plan",
    ReleaseEdit = "release.edit",
    ReleaseStart = "release.start",
    ReleasePause = "release.pause",
    ReleaseResume = "release.resume",
    ReleaseWithdraw = "release.withdraw",
    ReleaseClose = "release.close",
    ReleaseCancel = "release.cancel",
    FeatureKill = "feature.kill",
    FeatureRestore = "feature.restore",
    FeatureBaseline = "feature.baseline",
    // both
    HoldSet = "hold.set",
    HoldLift = "hold.lift",
    PermitGrant = "permit.grant",
    // administering
    PersonAdd = "person.add",
    PersonRoles = "person.roles",
    PersonRemove = "person.remove",
    TokenCreate = "token.create",
    TokenRevoke = "token.revoke",
    SettingsChange = "settings.change",
    LedgerErase = "ledger.erase",
}

const fn decide_as(role: Role) -> &'static str {
    match role {
        Role::Viewer => "decide.viewer",
        Role::Engineer => "decide.engineer",
        Role::Deployer => "decide.deployer",
        Role::ReleaseManager => "decide.release-manager",
        Role::ProductOwner => "decide.product-owner",
        Role::Approver => "decide.approver",
        Role::OnCall => "decide.on-call",
        Role::Auditor => "decide.auditor",
        Role::Admin => "decide.admin",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an action")]
pub struct UnknownAction(String);

impl FromStr for Action {
    type Err = UnknownAction;
    fn from_str(s: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|a| a.as_str() == s).ok_or_else(|| UnknownAction(s.chars().take(60).collect()))
    }
}
