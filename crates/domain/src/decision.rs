//! Decisions: recorded go or no-go by a role, bound to the digest of what was decided on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{DecisionId, DeploymentId, Digest, Name, PersonId};
use crate::role::Role;
use crate::sealed::Sealed;
use crate::time::At;

/// So many people in a role must have said `go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRule {
    pub role: Role,
    #[serde(default = "one")]
    pub quorum: u32,
}

const fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Go,
    NoGo,
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    Deployment(DeploymentId),
    Release(Name),
}

/// A decision as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub id: DecisionId,
    pub about: About,
    pub role: Role,
    pub verdict: Verdict,
    pub by: PersonId,
    pub scope: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Sealed>,
    pub at: At,
    pub expires: At,
}

/// Which of `rules` are not yet satisfied, with how many signatures are missing.
///
/// A decision counts when it is `go`, on this `scope`, not expired, and under separation of duties neither made by the
/// only author of the scope nor used for two roles (R3, R4). One `no-go` on the scope stands until its author or
/// another in that role decides `go`.
#[must_use]
pub fn missing(rules: &[DecisionRule], decisions: &[Decision], scope: &Digest, authors: &[Actor], separation: bool, now: At) -> Vec<Missing> {
    let valid = |d: &&Decision| d.scope == *scope && d.expires > now;
    let mut latest: Vec<&Decision> = Vec::new();
    for decision in decisions.iter().filter(valid) {
        latest.retain(|d| !(d.by == decision.by && d.role == decision.role));
        latest.push(decision);
    }
    let only_author = |d: &Decision| separation && matches!(authors, [Actor::Person(only)] if *only == d.by);
    let mut used: Vec<PersonId> = Vec::new();
    let mut open = Vec::new();
    for rule in rules {
        let mut have = 0_u32;
        let mut by_author = false;
        let mut no_go = false;
        for decision in latest.iter().filter(|d| d.role == rule.role) {
            if decision.verdict == Verdict::NoGo {
                no_go = true;
            } else if only_author(decision) {
                by_author = true;
            } else if !(separation && used.contains(&decision.by)) && have < rule.quorum {
                used.push(decision.by);
                have += 1;
            }
        }
        if no_go || have < rule.quorum {
            open.push(Missing { role: rule.role, wanted: rule.quorum, have, by_author, no_go });
        }
    }
    open
}

/// One rule that decisions do not satisfy yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub role: Role,
    pub wanted: u32,
    pub have: u32,
    /// The only author decided, which does not count.
    pub by_author: bool,
    pub no_go: bool,
}
