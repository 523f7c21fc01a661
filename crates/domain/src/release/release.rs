//! Releases: the business decision, and its life cycle per environment.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::decision::Decision;
use crate::id::{Digest, Name, Requirement};
use crate::refusal::Reason;
use crate::release::plan::{ReleaseSpec, Slice};
use crate::time::{At, Share};

/// Where a release is in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Contents or stages are missing.
    Draft,
    Planned,
    /// Starts by itself when its mode says so.
    Armed,
    /// Stage `stage` serves; 0 while the unflagged builds are being deployed.
    Exposing {
        stage: u32,
        since: At,
    },
    Exposed {
        since: At,
    },
    /// Growth stopped. `off`: nobody is served until a person resumes.
    Paused {
        stage: u32,
        off: bool,
        why: Vec<Reason>,
        since: At,
    },
    /// Published; evaluators have until the deadline to say so, and `share` of them must. `partial`: it passed.
    Withdrawing {
        since: At,
        seq: u64,
        deadline: At,
        share: Share,
        partial: bool,
    },
    Withdrawn {
        since: At,
    },
    Closed {
        since: At,
    },
    Cancelled {
        since: At,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CourseKind {
    Draft,
    Planned,
    Armed,
    Exposing,
    Exposed,
    Paused,
    Withdrawing,
    Withdrawn,
    Closed,
    Cancelled,
}

impl CourseKind {
    pub const ALL: [CourseKind; 10] = [
        CourseKind::Draft,
        CourseKind::Planned,
        CourseKind::Armed,
        CourseKind::Exposing,
        CourseKind::Exposed,
        CourseKind::Paused,
        CourseKind::Withdrawing,
        CourseKind::Withdrawn,
        CourseKind::Closed,
        CourseKind::Cancelled,
    ];

    /// Whether the life cycle allows `self → to`.
    #[must_use]
    pub const fn may_become(self, to: CourseKind) -> bool {
        use CourseKind as K;
        match (self, to) {
            (K::Draft, K::Draft | K::Planned | K::Armed | K::Cancelled) => true,
            (K::Draft, K::Exposing | K::Exposed | K::Paused | K::Withdrawing | K::Withdrawn | K::Closed) => false,
            (K::Planned, K::Draft | K::Planned | K::Armed | K::Exposing | K::Cancelled) => true,
            (K::Planned, K::Exposed | K::Paused | K::Withdrawing | K::Withdrawn | K::Closed) => false,
            (K::Armed, K::Draft | K::Planned | K::Armed | K::Exposing | K::Cancelled) => true,
            (K::Armed, K::Exposed | K::Paused | K::Withdrawing | K::Withdrawn | K::Closed) => false,
            (K::Exposing, K::Exposing | K::Exposed | K::Paused | K::Withdrawing) => true,
            (K::Exposing, K::Draft | K::Planned | K::Armed | K::Withdrawn | K::Closed | K::Cancelled) => false,
            (K::Exposed, K::Paused | K::Withdrawing | K::Closed) => true,
            (K::Exposed, K::Draft | K::Planned | K::Armed | K::Exposing | K::Exposed | K::Withdrawn | K::Cancelled) => false,
            (K::Paused, K::Exposing | K::Exposed | K::Paused | K::Withdrawing) => true,
            (K::Paused, K::Draft | K::Planned | K::Armed | K::Withdrawn | K::Closed | K::Cancelled) => false,
            // partial is said once, while withdrawing
            (K::Withdrawing, K::Withdrawing | K::Withdrawn) => true,
            (K::Withdrawing, K::Draft | K::Planned | K::Armed | K::Exposing | K::Exposed | K::Paused | K::Closed | K::Cancelled) => false,
            // leads on only by a new plan, with every decision void
            (K::Withdrawn, K::Draft | K::Planned | K::Armed | K::Cancelled) => true,
            (K::Withdrawn, K::Exposing | K::Exposed | K::Paused | K::Withdrawing | K::Withdrawn | K::Closed) => false,
            // taking its entries out of the baseline
            (K::Closed, K::Withdrawing) => true,
            (K::Closed, K::Draft | K::Planned | K::Armed | K::Exposing | K::Exposed | K::Paused | K::Withdrawn | K::Closed | K::Cancelled) => false,
            (K::Cancelled, _) => false,
        }
    }

    /// Is still to start.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::Draft | Self::Planned | Self::Armed)
    }

    /// Serves, or may be serving, somebody.
    #[must_use]
    pub const fn started(self) -> bool {
        matches!(self, Self::Exposing | Self::Exposed | Self::Paused | Self::Withdrawing | Self::Closed)
    }
}

impl fmt::Display for CourseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Draft => "draft",
            Self::Planned => "planned",
            Self::Armed => "armed",
            Self::Exposing => "exposing",
            Self::Exposed => "exposed",
            Self::Paused => "paused",
            Self::Withdrawing => "withdrawing",
            Self::Withdrawn => "withdrawn",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        })
    }
}

impl Course {
    #[must_use]
    pub const fn kind(&self) -> CourseKind {
        match self {
            Self::Draft => CourseKind::Draft,
            Self::Planned => CourseKind::Planned,
            Self::Armed => CourseKind::Armed,
            Self::Exposing { .. } => CourseKind::Exposing,
            Self::Exposed { .. } => CourseKind::Exposed,
            Self::Paused { .. } => CourseKind::Paused,
            Self::Withdrawing { .. } => CourseKind::Withdrawing,
            Self::Withdrawn { .. } => CourseKind::Withdrawn,
            Self::Closed { .. } => CourseKind::Closed,
            Self::Cancelled { .. } => CourseKind::Cancelled,
        }
    }
}

/// One release in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InEnvironment {
    pub course: Course,
    /// Order among started releases: the ledger's seq of its start.
    #[serde(default)]
    pub started: Option<u64>,
    /// Needs seen contradicted, since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contradicted: BTreeMap<Name, At>,
    /// Why the last attempt to start or grow by itself was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Reason>,
}

/// A release as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub name: Name,
    pub number: u64,
    pub spec: ReleaseSpec,
    /// Digest of the scope: what decisions bind to.
    pub scope: Digest,
    /// Shared by all its features and kept for ever, so that a user has all of it or none, and keeps it.
    pub salt: String,
    /// Everyone who edited the scope since it was last decided on.
    pub authors: Vec<Actor>,
    pub decisions: Vec<Decision>,
    pub at: At,
    /// Versions of its cohorts as planned: the scope that decisions bind to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cohorts: BTreeMap<Name, u64>,
    pub environments: BTreeMap<Name, InEnvironment>,
}

impl Release {
    /// Needs of the release as pairs of service and floor; an unflagged build is a need of its own.
    pub fn needs(&self) -> impl Iterator<Item = Requirement> + '_ {
        let builds = self.spec.services.iter().map(|b| Requirement { service: b.service.clone(), floor: b.version.clone() });
        self.spec.needs.iter().cloned().chain(builds)
    }

    /// Whom stages 1..=`stage` reach together.
    #[must_use]
    pub fn slices(&self, stage: u32) -> Vec<Slice> {
        let mut slices: Vec<Slice> = Vec::new();
        for stage in self.spec.stages.iter().take(stage as usize) {
            match slices.iter_mut().find(|s| s.cohort == stage.cohort) {
                Some(slice) => slice.share = slice.share.max(stage.share),
                None => {
                    let version = stage.cohort.as_ref().and_then(|name| self.cohorts.get(name)).copied();
                    slices.push(Slice { cohort: stage.cohort.clone(), version, share: stage.share });
                }
            }
        }
        slices
    }

    /// Stages that serve somebody now in `environment`; `None` when nobody is served through a claim.
    #[must_use]
    pub fn serving_stage(&self, environment: &Name) -> Option<u32> {
        match self.environments.get(environment)?.course {
            Course::Exposing { stage, .. } | Course::Paused { stage, off: false, .. } => Some(stage),
            Course::Exposed { .. } => Some(self.last_stage()),
            Course::Draft
            | Course::Planned
            | Course::Armed
            | Course::Paused { off: true, .. }
            | Course::Withdrawing { .. }
            | Course::Withdrawn { .. }
            | Course::Closed { .. }
            | Course::Cancelled { .. } => None,
        }
    }

    /// Whether it is still to start, everywhere: only then can its scope change.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.environments.values().all(|i| i.course.kind().waits())
    }

    #[must_use]
    pub fn last_stage(&self) -> u32 {
        u32::try_from(self.spec.stages.len()).unwrap_or(u32::MAX)
    }
}

/// `10% of everyone`, `all of staff`: never an invented head count.
#[must_use]
pub fn audience(slices: &[Slice]) -> String {
    let part = |s: &Slice| {
        let whom = s.cohort.as_ref().map_or("everyone", Name::as_str);
        if s.share == Share::ALL { if s.cohort.is_some() { format!("all of {whom}") } else { whom.to_owned() } } else { format!("{} of {whom}", s.share) }
    };
    if slices.iter().any(|s| s.cohort.is_none() && s.share == Share::ALL) {
        return "everyone".to_owned();
    }
    slices.iter().map(part).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::CourseKind;

    #[test]
    fn exposure_is_never_entered_from_nowhere() {
        for from in [CourseKind::Draft, CourseKind::Withdrawn, CourseKind::Cancelled, CourseKind::Closed, CourseKind::Withdrawing] {
            assert!(!from.may_become(CourseKind::Exposing), "{from}");
        }
    }

    #[test]
    fn whatever_serves_can_be_withdrawn() {
        for from in CourseKind::ALL {
            assert!(!from.started() || from.may_become(CourseKind::Withdrawing), "{from}");
        }
    }
}
