//! Decisions: recorded go or no-go by a role, bound to the digest of what was decided on.

use std::collections::{BTreeMap, BTreeSet};

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
/// A `go` counts when it is on this `scope`, not expired, and under separation of duties neither by the only author of
/// the scope nor used for two roles (R3, R4). A `no-go` on the scope stands, expired or not, until it is answered in its
/// role by a later `go` that counts: silence must never let anything start.
#[must_use]
pub fn missing(rules: &[DecisionRule], decisions: &[Decision], scope: &Digest, authors: &[Actor], separation: bool, now: At) -> Vec<Missing> {
    let only_author = |d: &Decision| by_only_author(d, authors, separation);
    let mut latest: Vec<&Decision> = Vec::new();
    for decision in decisions.iter().filter(|d| d.scope == *scope && (d.verdict == Verdict::NoGo || d.expires > now)) {
        let answers = decision.verdict == Verdict::Go && !only_author(decision);
        latest.retain(|d| d.role != decision.role || !(d.by == decision.by || (answers && d.verdict == Verdict::NoGo)));
        latest.push(decision);
    }
    let go = |d: &&&Decision| d.verdict == Verdict::Go && !only_author(d);
    let wanted: Vec<Vec<PersonId>> = rules.iter().map(|rule| latest.iter().filter(go).filter(|d| d.role == rule.role).map(|d| d.by).collect()).collect();
    let have = if separation { assign(rules, &wanted) } else { rules.iter().zip(&wanted).map(|(rule, people)| rule.quorum.min(count(people.len()))).collect() };
    let mut open = Vec::new();
    for (rule, have) in rules.iter().zip(have) {
        let no_go = latest.iter().any(|d| d.role == rule.role && d.verdict == Verdict::NoGo);
        let by_author = latest.iter().any(|d| d.role == rule.role && d.verdict == Verdict::Go && only_author(d));
        if no_go || have < rule.quorum {
            open.push(Missing { role: rule.role, wanted: rule.quorum, have, by_author, no_go });
        }
    }
    open
}

/// Whether the only author of a scope decided on it, which under separation of duties makes no `go` (R3).
#[must_use]
pub fn by_only_author(decision: &Decision, authors: &[Actor], separation: bool) -> bool {
    separation && matches!(authors, [Actor::Person(only)] if *only == decision.by)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How many seats of each rule can be filled when nobody sits on two: augmenting paths, so that the order of rules and
/// signatures does not matter.
fn assign(rules: &[DecisionRule], people: &[Vec<PersonId>]) -> Vec<u32> {
    let mut seat: BTreeMap<PersonId, usize> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for _ in 0..rule.quorum {
            if !seat_one(index, people, &mut seat, &mut BTreeSet::new()) {
                break;
            }
        }
    }
    (0..rules.len()).map(|index| count(seat.values().filter(|s| **s == index).count())).collect()
}

/// Finds one more person for `rule`, moving others to rules that they also signed for where that frees someone.
fn seat_one(rule: usize, people: &[Vec<PersonId>], seat: &mut BTreeMap<PersonId, usize>, tried: &mut BTreeSet<PersonId>) -> bool {
    for person in people.get(rule).into_iter().flatten() {
        if !tried.insert(*person) {
            continue;
        }
        let free = match seat.get(person).copied() {
            None => true,
            Some(taken) => taken != rule && seat_one(taken, people, seat, tried),
        };
        if free {
            seat.insert(*person, rule);
            return true;
        }
    }
    false
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
