//! What the control plane answers. Instants are RFC 3339 in UTC with µs; digests are `sha256:…`.

use std::collections::BTreeMap;

use greenroom_domain::deployment::build::BuildSpec;
use greenroom_domain::deployment::check::{CheckKind, Outcome};
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::deployment::placement::Health;
use greenroom_domain::event::TokenKind;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::id::{AttributeName, BuildLabel, CheckId, DecisionId, DeploymentId, Digest, FeatureKey, HoldId, Name, PersonId, RolloutId, TokenId, VariantName, Version};
use greenroom_domain::refusal::Reason;
use greenroom_domain::release::attribute::AttributeSpec;
use greenroom_domain::release::feature::FeatureSpec;
use greenroom_domain::release::plan::ReleaseSpec;
use greenroom_domain::role::Role;
use greenroom_domain::time::At;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! view {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fm:meta])* $field:ident : $ty:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub struct $name { $($(#[$fm])* pub $field: $ty),* }
        )*
    };
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

view! {
    // people and tokens
    Person { id: PersonId, /** Absent once erased. */ #[serde(default, skip_serializing_if = "Option::is_none")] name: Option<String>, roles: Vec<Role>, joined: At, #[serde(default, skip_serializing_if = "Option::is_none")] left: Option<At> }
    /// The secret is shown once.
    SignedIn { token: String, person: Person, expires: At }
    WhoAmI { actor: String, #[serde(default, skip_serializing_if = "Option::is_none")] person: Option<Person>, #[serde(default, skip_serializing_if = "Option::is_none")] token: Option<Token>, roles: Vec<Role>, separation: bool }
    Token {
        id: TokenId, kind: TokenKind, title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] environment: Option<Name>,
        #[serde(default, skip_serializing_if = "Option::is_none")] person: Option<PersonId>,
        /// The person's name.
        #[serde(default, skip_serializing_if = "Option::is_none")] whose: Option<String>,
        created: At, expires: At,
    }
    /// The secret is shown once. `public_key` checks signed snapshots.
    TokenCreated { token: Token, secret: String, public_key: String }

    // manifests
    ManifestPlan {
        set: Name, changes: Vec<ManifestChange>, applied: bool,
        /// What to know about what changed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] notes: Vec<String>,
    }
    ManifestChange {
        kind: String, name: String, action: ChangeAction,
        #[serde(default, skip_serializing_if = "Option::is_none")] before: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")] after: Option<Value>,
    }
    /// What came of another product's definitions.
    Import {
        set: Name, environment: Name, changes: Vec<ManifestChange>, serves: Vec<Imported>,
        /// Not taken over, each with its reason.
        refused: Vec<NotImported>,
        /// What to know about the rest.
        notes: Vec<String>,
    }
    /// What an imported feature serves in the environment.
    Imported { feature: FeatureKey, rules: u64, default: VariantName, changed: bool }
    NotImported { feature: String, because: String }
    Environment { name: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, purpose: Purpose, after: Vec<Name>, policies: Vec<Name>, targets: Vec<Target>, revision: u64 }
    Target { name: Name, driver: String, address: String, wave: u32, endpoints: BTreeMap<Name, String> }
    Service { name: Name, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, components: Vec<Name>, newest: Option<Version>, builds: u64 }
    /// A declared attribute of callers.
    Attribute {
        name: AttributeName,
        #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>,
        spec: AttributeSpec,
        /// Cohorts and rules that read it, in words.
        read_by: Vec<String>,
    }
    Feature { key: FeatureKey, #[serde(default, skip_serializing_if = "Option::is_none")] title: Option<String>, spec: FeatureSpec, environments: Vec<FeatureIn> }
    /// How a feature stands in one environment.
    FeatureIn {
        environment: Name, default: VariantName,
        /// Off for everyone, whatever would serve it.
        #[serde(default, skip_serializing_if = "Option::is_none")] kill: Option<Kill>,
        serves: Vec<String>,
        /// Relays that answer `off`, whatever is decided here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] forced_off: Vec<ForcedOff>,
        /// What each protocol makes of it; left out of lists.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] protocols: Vec<Capability>,
    }
    /// A feature taken from everyone in an environment. `silenced`: the releases that served it, whose decisions lifting it needs.
    Kill {
        at: At, by: String, reason: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] silenced: Vec<Name>,
        /// Absent: killed by a version that did not ask who has taken it up.
        #[serde(default, skip_serializing_if = "Option::is_none")] withdrawal: Option<Withdrawal>,
    }
    /// How far what is taken back has come: `withdrawing`, `partial` (not everyone acknowledged it by the deadline) or
    /// `effective`; and of the evaluators that were in contact, how many have acknowledged.
    Withdrawal {
        state: String, deadline: At,
        #[serde(default, skip_serializing_if = "Option::is_none")] effective: Option<At>,
        in_contact: u64, acknowledged: u64,
        /// Some of those that have not, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] laggards: Vec<String>,
    }
    /// A feature that someone has forced off at a relay, for who asks through it.
    ForcedOff { relay: String, until: At, reason: String }
    /// How much a feature is evaluated, and by whom. Days are dates in UTC.
    FeatureUsage {
        feature: FeatureKey, evaluations: u64,
        /// Of the days asked about; absent: not once.
        #[serde(default, skip_serializing_if = "Option::is_none")] last: Option<String>,
        by: Vec<UsedBy>,
        /// Builds that declare to read it and run somewhere now.
        read_by: Vec<LiveReader>,
        /// Not evaluated in the days asked about.
        stale: bool,
    }
    /// Evaluations of one variant in one environment by one build; no build: the callers did not say theirs.
    UsedBy { environment: String, variant: String, #[serde(default, skip_serializing_if = "Option::is_none")] build: Option<String>, evaluations: u64, last: String }
    LiveReader { build: BuildLabel, environment: Name }
    /// Whether applications that ask by one protocol can evaluate a feature themselves (`locally`) or only here
    /// (`remotely`), why not, and what does not cross the wire.
    Capability { protocol: String, evaluated: String, #[serde(default, skip_serializing_if = "Vec::is_empty")] because: Vec<String> }

    // deployment
    Build { digest: Digest, sequence: u64, registered: At, #[serde(default, skip_serializing_if = "Option::is_none")] quarantined: Option<String>, spec: BuildSpec }
    Deployment {
        id: DeploymentId, number: u64, environment: Name, builds: Vec<BuildLabel>, motive: Motive, urgency: String, state: String, by: String, at: At,
        #[serde(default, skip_serializing_if = "Option::is_none")] ended: Option<At>,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] awaits: Vec<Name>,
        rollouts: Vec<Rollout>, decisions: Vec<Decision>,
    }
    Rollout {
        id: RolloutId, target: Name, service: Name, version: Version, wave: u32, state: String, since: At,
        #[serde(default, skip_serializing_if = "Option::is_none")] deadline: Option<At>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] reasons: Vec<Reason>,
        checks: Vec<Check>, cancelling: bool,
    }
    Check {
        id: CheckId, environment: Name, service: Name, name: Name, kind: CheckKind, outcome: Outcome, summary: String, at: At,
        set: BTreeMap<Name, Digest>, requirements: Vec<String>, evidence: Vec<Digest>,
    }
    Decision {
        id: DecisionId, role: Role, verdict: String, by: String, at: At, expires: At,
        /// On what is decided as it is now, and not expired.
        valid: bool,
        /// Why it does not count all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")] uncounted: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>, separation: bool,
    }
    Hold { id: HoldId, number: u64, scope: Scope, plane: Plane, stops: Stops, reason: String, owner: String, at: At, #[serde(default, skip_serializing_if = "Option::is_none")] expires: Option<At> }

    /// Services × environments.
    Board { environments: Vec<BoardEnvironment>, services: Vec<BoardRow>, at: At, seq: u64 }
    BoardEnvironment { name: Name, purpose: Purpose }
    BoardRow { service: Name, cells: Vec<BoardCell> }
    BoardCell {
        environment: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")] version: Option<Version>,
        /// Absent where nothing was ever seen.
        #[serde(default, skip_serializing_if = "Option::is_none")] health: Option<Health>,
        verified: bool,
        /// What ails it, one line for each target that is unhealthy, down or does not answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] ails: Vec<String>,
        /// For production: `dark`, `released`, `released to 10%`, or `partly released` where features differ.
        #[serde(default, skip_serializing_if = "Option::is_none")] exposure: Option<String>,
        /// What is on its way here, its state, and why it waits; or what was asked for last, and failed or was rolled back.
        #[serde(default, skip_serializing_if = "Option::is_none")] pending: Option<Pending>,
    }
    Pending { deployment: u64, version: Version, state: String, reasons: Vec<Reason> }

    // release
    Release {
        name: Name, number: u64, spec: ReleaseSpec, state: String, environments: Vec<ReleaseIn>, decisions: Vec<Decision>, authors: Vec<String>,
        contents: Contents,
    }
    ReleaseIn {
        environment: Name, state: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] stage: Option<Name>,
        /// Whom it serves now, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")] serves: Option<String>,
        needs: Vec<NeedView>,
        /// Everything that stands in the way of starting or growing now; empty means ready.
        missing: Vec<Reason>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] refused: Vec<Reason>,
        /// What stands in nobody's way and should be known first: features that nothing there reads.
        #[serde(default, skip_serializing_if = "Vec::is_empty")] notes: Vec<String>,
        headline: String,
    }
    NeedView { service: Name, floor: Version, status: String, #[serde(default, skip_serializing_if = "Option::is_none")] why: Option<String>, by: Vec<PlacementView> }
    PlacementView { target: Name, #[serde(default, skip_serializing_if = "Option::is_none")] runs: Option<Version>, #[serde(default, skip_serializing_if = "Option::is_none")] observed: Option<At> }
    /// What the release brings to production, computed.
    Contents { services: Vec<ContentService>, changes: Vec<ContentChange>, requirements: Vec<Coverage>, work_items: Vec<String> }
    ContentService { service: Name, change: String, from: Option<Version>, to: Version, components: Vec<ContentComponent> }
    ContentComponent { component: Name, change: String }
    ContentChange { service: Name, version: Version, commit: String, summary: String, work_items: Vec<String> }
    Coverage { requirement: String, confirmed: bool, by: Vec<String> }
    Dark {
        kind: String, name: String, environment: Name, since: At,
        /// Live builds that read the feature, or the unflagged build itself.
        builds: Vec<BuildLabel>,
        #[serde(default, skip_serializing_if = "Option::is_none")] release: Option<Name>,
        held_by: Vec<String>, reasons: Vec<Reason>,
        weeks: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")] cost: Option<String>,
    }
    Explained {
        feature: FeatureKey, environment: Name, revision: u64, at: At, variant: String, value: Value, reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] rule: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] release: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] blocked_by: Option<String>,
        /// The program as it ran, step by step.
        trace: Value,
    }

    // ledger
    Event { seq: u64, at: At, kind: String, version: u16, actor: String, /** A person's name where known. */ who: String, subjects: Vec<String>, summary: String, body: Value, hash: String }
    Verified { from: u64, to: u64, events: u64, head: String, took_ms: u64 }
    Erased { texts: u64 }
    Keys { ed25519: String }
    /// What a command would do; nothing was changed.
    Preview { would: Vec<Event> }
    Done { seq: u64 }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAction {
    Create,
    Change,
    Unchanged,
    Remove,
}
