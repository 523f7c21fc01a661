//! Rollouts: a deployment on one placement, and its life cycle.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deployment::check::CheckResult;
use crate::event::RolloutMoved;
use crate::few::Few;
use crate::id::{DeploymentId, Digest, Name, OperationId, PlacementKey, RolloutId};
use crate::refusal::Reason;
use crate::time::At;

/// Where a rollout is. Every step after `waiting` has an absolute deadline; `waiting` has a review date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Waiting {
        reasons: Vec<Reason>,
        review: At,
    },
    Applying {
        deadline: At,
    },
    Observing {
        deadline: At,
    },
    Verifying {
        deadline: At,
    },
    Live {
        at: At,
    },
    Failed {
        why: Vec<Reason>,
    },
    RolledBack {
        why: Vec<Reason>,
    },
    Superseded {
        why: Vec<Reason>,
    },
    Cancelled {
        why: Vec<Reason>,
    },
    /// Nobody answers: the lock stays; only an observation or a person leaves it.
    Unknown {
        since: At,
        why: Vec<Reason>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Waiting,
    Applying,
    Observing,
    Verifying,
    Live,
    Failed,
    RolledBack,
    Superseded,
    Cancelled,
    Unknown,
}

impl StepKind {
    pub const ALL: [StepKind; 10] = [
        StepKind::Waiting,
        StepKind::Applying,
        StepKind::Observing,
        StepKind::Verifying,
        StepKind::Live,
        StepKind::Failed,
        StepKind::RolledBack,
        StepKind::Superseded,
        StepKind::Cancelled,
        StepKind::Unknown,
    ];

    /// Nothing more will come of it.
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(self, Self::Live | Self::Failed | Self::RolledBack | Self::Superseded | Self::Cancelled)
    }

    /// Holds its placement: the target may be changing.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(self, Self::Applying | Self::Observing | Self::Verifying | Self::Unknown)
    }

    /// Whether the life cycle allows `self → to`.
    #[must_use]
    pub const fn may_become(self, to: StepKind) -> bool {
        use StepKind as K;
        match (self, to) {
            // reasons change while waiting; only a waiting one may be overtaken by a newer request
            (K::Waiting, K::Waiting | K::Applying | K::Superseded | K::Cancelled) => true,
            (K::Waiting, K::Observing | K::Verifying | K::Live | K::Failed | K::RolledBack | K::Unknown) => false,
            (K::Applying, K::Observing | K::Failed | K::RolledBack | K::Superseded | K::Cancelled | K::Unknown) => true,
            (K::Applying, K::Waiting | K::Applying | K::Verifying | K::Live) => false,
            (K::Observing, K::Verifying | K::Failed | K::RolledBack | K::Superseded | K::Cancelled | K::Unknown) => true,
            (K::Observing, K::Waiting | K::Applying | K::Observing | K::Live) => false,
            (K::Verifying, K::Live | K::Failed | K::Superseded | K::Cancelled | K::Unknown) => true,
            (K::Verifying, K::Waiting | K::Applying | K::Observing | K::Verifying | K::RolledBack) => false,
            // left by an observation (go on where it stands), or by a person (abandoned: failed, outcome unknown)
            (K::Unknown, K::Observing | K::Verifying | K::Failed | K::RolledBack | K::Superseded | K::Cancelled) => true,
            (K::Unknown, K::Waiting | K::Applying | K::Live | K::Unknown) => false,
            (K::Live | K::Failed | K::RolledBack | K::Superseded | K::Cancelled, _) => false,
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Applying => "applying",
            Self::Observing => "observing",
            Self::Verifying => "verifying",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        })
    }
}

impl Step {
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::Waiting { .. } => StepKind::Waiting,
            Self::Applying { .. } => StepKind::Applying,
            Self::Observing { .. } => StepKind::Observing,
            Self::Verifying { .. } => StepKind::Verifying,
            Self::Live { .. } => StepKind::Live,
            Self::Failed { .. } => StepKind::Failed,
            Self::RolledBack { .. } => StepKind::RolledBack,
            Self::Superseded { .. } => StepKind::Superseded,
            Self::Cancelled { .. } => StepKind::Cancelled,
            Self::Unknown { .. } => StepKind::Unknown,
        }
    }

    /// When time alone makes something due: the deadline, or the review date and the ends of reasons.
    pub fn dues(&self) -> impl Iterator<Item = At> + '_ {
        let (deadline, reasons) = match self {
            Self::Waiting { reasons, review } => (Some(*review), reasons.as_slice()),
            Self::Applying { deadline } | Self::Observing { deadline } | Self::Verifying { deadline } => (Some(*deadline), &[][..]),
            Self::Live { .. } | Self::Failed { .. } | Self::RolledBack { .. } | Self::Superseded { .. } | Self::Cancelled { .. } | Self::Unknown { .. } => (None, &[][..]),
        };
        deadline.into_iter().chain(reasons.iter().filter_map(|r| r.until))
    }

    /// The first of them.
    #[must_use]
    pub fn due(&self) -> Option<At> {
        self.dues().min()
    }

    /// Why it stands where it stands, where that needs saying.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Waiting { reasons, .. } => reasons,
            Self::Failed { why } | Self::RolledBack { why } | Self::Superseded { why } | Self::Cancelled { why } | Self::Unknown { why, .. } => why,
            Self::Applying { .. } | Self::Observing { .. } | Self::Verifying { .. } | Self::Live { .. } => &[],
        }
    }
}

/// A rollout as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub id: RolloutId,
    pub deployment: DeploymentId,
    pub key: PlacementKey,
    pub wave: u32,
    pub build: Digest,
    pub config: Digest,
    pub step: Step,
    pub attempt: u32,
    /// Given when it was allowed to change the target.
    pub fence: u64,
    /// A person asked it to stop; it ends when that is observed.
    pub cancelling: bool,
    pub moved_at: At,
    /// What each check has said about its build here. Another target's rollout of the same build has its own.
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub checks: Few<Name, Arc<CheckResult>>,
}

impl Rollout {
    /// Notes a result about its build; what could not be judged does not unsay what was.
    pub(crate) fn note(&mut self, result: &Arc<CheckResult>) {
        let known = self.checks.get(&result.name).is_some_and(|r| r.outcome.judged());
        if result.outcome.judged() || !known {
            self.checks = self.checks.iter().map(|(name, r)| (name.clone(), Arc::clone(r))).chain([(result.name.clone(), Arc::clone(result))]).collect();
        }
    }

    #[must_use]
    pub const fn op(&self) -> OperationId {
        OperationId { rollout: self.id, attempt: self.attempt }
    }

    /// The event by which it goes on to `to`.
    #[must_use]
    pub fn moved(&self, to: Step) -> RolloutMoved {
        RolloutMoved { rollout: self.id, deployment: self.deployment, key: self.key.clone(), build: self.build.clone(), from: self.step.kind(), to, op: self.op() }
    }
}

#[cfg(test)]
mod tests {
    use super::StepKind;

    #[test]
    fn what_ended_never_moves_again() {
        for from in StepKind::ALL {
            for to in StepKind::ALL {
                if from.ended() {
                    assert!(!from.may_become(to), "{from} -> {to}");
                }
            }
        }
    }

    #[test]
    fn live_is_reached_only_through_verifying() {
        let ways: Vec<_> = StepKind::ALL.into_iter().filter(|from| from.may_become(StepKind::Live)).collect();
        assert_eq!(ways, [StepKind::Verifying]);
    }
}
