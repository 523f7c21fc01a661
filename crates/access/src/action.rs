//! Everything that can be attempted, each with the name that policies and logs use, and the words of refusals.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use greenroom_domain::role::Role;

macro_rules! actions {
    ($($name:ident = $text:literal $words:literal),* $(,)?) => {
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

            /// What it is, after *you may not*.
            #[must_use]
            pub fn words(self) -> Cow<'static, str> {
                match self {
                    $(Self::$name => Cow::Borrowed($words),)*
                    Self::Decide(role) => Cow::Owned(format!("decide as {role}")),
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
    BoardRead = "board.read" "look at the board",
    EnvironmentsRead = "environments.read" "look at environments",
    BuildsRead = "builds.read" "look at builds",
    DeploymentsRead = "deployments.read" "look at deployments",
    ReleasesRead = "releases.read" "look at releases",
    FeaturesRead = "features.read" "look at features",
    InsightsRead = "insights.read" "look at insights",
    LogRead = "log.read" "read the log",
    EventsRead = "events.read" "read events",
    Explain = "explain" "ask what a user gets and why",
    PeopleRead = "people.read" "look at people",
    TokensRead = "tokens.read" "look at tokens",
    LedgerVerify = "ledger.verify" "verify the ledger",
    ExposureEvaluate = "exposure.evaluate" "evaluate features",
    // building and deploying
    ManifestsApply = "manifests.apply" "apply manifests here",
    BuildRegister = "build.register" "register builds",
    BuildClear = "build.clear" "clear quarantined builds",
    CheckRecord = "check.record" "record checks",
    DeploymentRequest = "deployment.request" "deploy here",
    DeploymentCancel = "deployment.cancel" "cancel deployments here",
    DeploymentRollback = "deployment.rollback" "roll back here",
    DeploymentEmergency = "deployment.emergency" "act in an emergency",
    DeploymentAdopt = "deployment.adopt" "take over what runs",
    RolloutAbandon = "rollout.abandon" "abandon rollouts",
    // releasing
    ReleasePlan = "release.plan" "plan releases",
    ReleaseEdit = "release.edit" "change releases",
    ReleaseStart = "release.start" "start releases",
    ReleasePause = "release.pause" "pause releases",
    ReleaseResume = "release.resume" "resume releases",
    ReleaseWithdraw = "release.withdraw" "withdraw releases",
    ReleaseClose = "release.close" "close releases",
    ReleaseCancel = "release.cancel" "cancel releases",
    FeatureKill = "feature.kill" "kill features",
    FeatureRestore = "feature.restore" "restore features",
    FeatureBaseline = "feature.baseline" "set what a feature serves here",
    // both
    HoldSet = "hold.set" "set holds",
    HoldLift = "hold.lift" "lift holds",
    PermitGrant = "permit.grant" "grant permits",
    // administering
    PersonAdd = "person.add" "add people",
    PersonRoles = "person.roles" "change people's roles",
    PersonRemove = "person.remove" "remove people",
    TokenCreate = "token.create" "create tokens",
    TokenRevoke = "token.revoke" "revoke tokens",
    SettingsChange = "settings.change" "change settings",
    LedgerErase = "ledger.erase" "erase texts",
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
