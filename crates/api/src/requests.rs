//! What is sent to the control plane. Unknown fields are refused everywhere.

use std::collections::BTreeMap;

use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::event::TokenKind;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::id::{BuildLabel, Digest, Name, PersonId, RolloutId, VariantName, Version};
use greenroom_domain::release::feature::BaselineRule;
use greenroom_domain::release::plan::ReleaseSpec;
use greenroom_domain::role::Role;
use greenroom_domain::time::{At, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Characters that a password has at least.
pub const PASSWORD_LENGTH: usize = 8;

macro_rules! request {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fm:meta])* $field:ident : $ty:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$fm])* pub $field: $ty),* }
        )*
    };
}

request! {
    /// The first person, made with the token that the server printed at its first start.
    Setup { token: String, name: String, password: String }
    Login { name: String, password: String }
    AddPerson { name: String, roles: Vec<Role>, #[serde(default, skip_serializing_if = "Option::is_none")] password: Option<String> }
    SetRoles { roles: Vec<Role> }
    SetPassword { password: String }
    SetPreset { preset: Preset }
    CreateToken {
        kind: TokenKind,
        #[serde(default)] title: String,
        /// For `pat`: whose; absent means the caller's own.
        #[serde(default, skip_serializing_if = "Option::is_none")] person: Option<PersonId>,
        /// For `sdk`: the one environment it reads.
        #[serde(default, skip_serializing_if = "Option::is_none")] environment: Option<Name>,
        /// Absent: 90 days.
        #[serde(default, skip_serializing_if = "Option::is_none")] valid_for: Option<Span>,
    }
    /// A set of manifests as files, so that errors can name file and line.
    ApplyManifests { documents: Vec<File>, #[serde(default)] prune: bool }
    File { file: String, text: String }
    /// Definitions of another product, as its API or its export has them.
    Import {
        from: Product,
        /// Where what they serve shall be served.
        environment: Name,
        /// The set that features and cohorts are to belong to; absent: named after the product.
        #[serde(default, skip_serializing_if = "Option::is_none")] set: Option<Name>,
        text: String,
    }
    Deploy {
        environment: Name,
        builds: Vec<BuildLabel>,
        #[serde(default = "promote")] motive: Motive,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
    }
    Rollback {
        environment: Name,
        service: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")] to: Option<Version>,
        #[serde(default)] withdraw_first: bool,
        #[serde(default)] emergency: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
    }
    Adopt {
        environment: Name, target: Name, service: Name, version: Version,
        #[serde(default, skip_serializing_if = "Option::is_none")] digest: Option<Digest>,
    }
    /// A check that ran elsewhere.
    RecordCheck {
        environment: Name, service: Name, check: Name, outcome: Outcome, summary: String,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")] set: BTreeMap<Name, Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")] rollout: Option<RolloutId>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] requirements: Vec<String>,
        /// Evidence as text, kept as it is (at most 16 MiB together).
        #[serde(default, skip_serializing_if = "Vec::is_empty")] evidence: Vec<Evidence>,
    }
    Evidence { kind: String, text: String }
    ClearBuild { #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String> }
    PlanRelease { spec: ReleaseSpec }
    OnRelease {
        /// Absent: all environments of the release.
        #[serde(default, skip_serializing_if = "Option::is_none")] environment: Option<Name>,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
        /// The preview was looked at: take back what is not `clean` too.
        #[serde(default)] confirm: bool,
        /// For start: the stage that shall begin, counted from 1; refused unless it is the next. Absent: whatever is next.
        #[serde(default, skip_serializing_if = "Option::is_none")] stage: Option<u32>,
    }
    KillFeature { environment: Name, reason: String }
    RestoreFeature { environment: Name }
    /// What is absent stays as it is.
    SetBaseline {
        environment: Name,
        /// All of them anew, in order: the first that matches decides. Empty takes those that stand away.
        #[serde(default, skip_serializing_if = "Option::is_none")] rules: Option<Vec<BaselineRule>>,
        /// For whom no rule matches.
        #[serde(default, skip_serializing_if = "Option::is_none")] variant: Option<VariantName>,
    }
    Decide {
        about: About, role: Role, verdict: Verdict,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] valid_for: Option<Span>,
    }
    SetHold {
        #[serde(default)] scope: Scope, plane: Plane, stops: Stops, reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] expires: Option<At>,
    }
    /// A person's name, or one sealed text by its hash.
    Erase { #[serde(default, skip_serializing_if = "Option::is_none")] person: Option<PersonId>, #[serde(default, skip_serializing_if = "Vec::is_empty")] sealed: Vec<Digest> }
    Nothing {}
}

const fn promote() -> Motive {
    Motive::Promote
}

/// Whose definitions can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    Unleash,
    Flagd,
}

/// How many people share the duties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// One person holds every role; separation of duties is off, and every decision says so.
    Solo,
    /// Roles are given to people; nobody decides alone on what they alone wrote.
    Team,
}
