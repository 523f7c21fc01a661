//! What is being taken back from users: releases, and features by a kill. Each is over once whoever evaluates has
//! acknowledged it; at its deadline it is partial, and stays open.

use crate::id::{FeatureKey, Name};
use crate::release::feature::Feature;
use crate::release::release::{Course, Release};
use crate::time::{At, Share};

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Withdrawn {
    Release(Name),
    Feature(FeatureKey),
}

/// One that is not effective yet, in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub what: Withdrawn,
    pub environment: Name,
    /// Of the event that began it: who answers from this revision or a later one has taken it up.
    pub seq: u64,
    pub deadline: At,
    /// Of the evaluators that were in contact then, how many have to acknowledge.
    pub share: Share,
    /// Its deadline has passed, and was reported.
    pub partial: bool,
    /// Whether there is anything that anyone could have kept.
    pub shows: bool,
}

impl Release {
    pub fn withdrawals(&self) -> impl Iterator<Item = Open> + '_ {
        self.environments.iter().filter_map(|(environment, inside)| {
            let Course::Withdrawing { seq, deadline, share, partial, .. } = inside.course else { return None };
            let shows = !self.spec.features.is_empty();
            Some(Open { what: Withdrawn::Release(self.name.clone()), environment: environment.clone(), seq, deadline, share, partial, shows })
        })
    }
}

impl Feature {
    /// By kills.
    pub fn withdrawals(&self) -> impl Iterator<Item = Open> + '_ {
        self.kills.iter().filter_map(|(environment, kill)| {
            let open = kill.withdrawal.as_ref().filter(|w| w.effective.is_none())?;
            let (seq, deadline, share, partial) = (open.seq, open.deadline, open.share, open.partial);
            Some(Open { what: Withdrawn::Feature(self.key.clone()), environment: environment.clone(), seq, deadline, share, partial, shows: true })
        })
    }
}
