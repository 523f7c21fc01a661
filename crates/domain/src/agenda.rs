//! What time makes due, and what a change of facts makes worth judging again.
//!
//! Both are ordered indexes that `apply` maintains. Whoever judges keeps
//! its own place (`Cursor`) in them: losing it means judging everything once more, which changes nothing twice.

use imbl::OrdSet;
use smallvec::SmallVec;

use crate::id::{HoldId, Name, RolloutId};
use crate::map::HashMap;
use crate::time::{At, Span};

/// A thing to judge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    Rollout(RolloutId),
    Release(Name),
    /// Whether a newer build of the service should come to the environment by itself.
    Promotion {
        environment: Name,
        service: Name,
    },
    Hold(HoldId),
    /// Whether what ended on this day (since 1970) may be forgotten.
    Archive(i64),
}

/// How far judging has come: everything due up to `at` and touched up to `seq` was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    pub at: At,
    pub seq: u64,
}

impl Cursor {
    /// From where to judge at `now`: from the beginning where the clock was set back, for what had aged is fresh again.
    fn at_most(self, now: At) -> Self {
        if self.at > now { Self::default() } else { self }
    }
}

/// Sorts before every other.
const FIRST: Due = Due::Rollout(RolloutId::new(uuid::Uuid::nil()));

#[derive(Debug, Clone, Default)]
pub struct Agenda {
    by_time: OrdSet<(At, Due)>,
    times_of: HashMap<Due, SmallVec<[At; 2]>>,
    by_touch: OrdSet<(u64, Due)>,
    touch_of: HashMap<Due, u64>,
    /// Notes nothing: what a long history made due on its way is over by its end.
    asleep: bool,
}

impl Agenda {
    /// One that notes nothing.
    #[must_use]
    pub fn asleep() -> Self {
        Self { asleep: true, ..Self::default() }
    }

    #[must_use]
    pub const fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Sets the deadlines of `due`, in place of those it had. All of them: one that passes without an event must not
    /// hide the next.
    pub fn schedule(&mut self, due: &Due, times: impl IntoIterator<Item = At>) {
        if self.asleep {
            return;
        }
        for old in self.times_of.remove(due).into_iter().flatten() {
            self.by_time.remove(&(old, due.clone()));
        }
        let times: SmallVec<[At; 2]> = times.into_iter().collect();
        if !times.is_empty() {
            self.by_time.extend(times.iter().map(|at| (*at, due.clone())));
            self.times_of.insert(due.clone(), times);
        }
    }

    /// Marks `due` as touched by the event `seq`.
    pub fn touch(&mut self, due: &Due, seq: u64) {
        if self.asleep {
            return;
        }
        if let Some(old) = self.touch_of.insert(due.clone(), seq) {
            if old == seq {
                return;
            }
            self.by_touch.remove(&(old, due.clone()));
        }
        self.by_touch.insert((seq, due.clone()));
    }

    /// Forgets `due` altogether.
    pub fn drop(&mut self, due: &Due) {
        self.schedule(due, None);
        if let Some(seq) = self.touch_of.remove(due) {
            self.by_touch.remove(&(seq, due.clone()));
        }
    }

    /// Looks at what ages on the day of `at` once it is `keep` old. Days that are past need no entry any more: the next
    /// one looks at everything older too.
    pub fn age(&mut self, at: At, keep: Span) {
        const DAY: i64 = 86_400_000_000;
        if self.asleep {
            return;
        }
        let day = at.0.div_euclid(DAY);
        let due = Due::Archive(day);
        if self.times_of.contains_key(&due) {
            return;
        }
        let past: Vec<Due> = self.by_time.iter().take_while(|(time, _)| *time <= at).map(|(_, due)| due).filter(|d| matches!(d, Due::Archive(_))).cloned().collect();
        for old in past {
            self.drop(&old);
        }
        self.schedule(&due, Some(At((day + 1) * DAY) + keep));
    }

    fn after(&self, at: At) -> impl Iterator<Item = &(At, Due)> {
        // the least key of the next µs: everything at `at` itself sorts before it
        self.by_time.range((At(at.0.saturating_add(1)), FIRST)..)
    }

    /// The first deadline after `cursor`.
    #[must_use]
    pub fn next_deadline(&self, cursor: Cursor) -> Option<At> {
        self.after(cursor.at).next().map(|(at, _)| *at)
    }

    /// Whether anything is to be judged between `cursor` and `now`, which is never before the state's own time.
    #[must_use]
    pub fn has_work(&self, cursor: Cursor, now: At) -> bool {
        let cursor = cursor.at_most(now);
        self.by_touch.get_max().is_some_and(|(seq, _)| *seq > cursor.seq) || self.after(cursor.at).next().is_some_and(|(at, _)| *at <= now)
    }

    /// Everything to judge between `cursor` and `now`, each once, in order.
    #[must_use]
    pub fn work(&self, cursor: Cursor, now: At) -> Vec<Due> {
        let cursor = cursor.at_most(now);
        let mut all: Vec<Due> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut take = |due: &Due| {
            if seen.insert(due.clone()) {
                all.push(due.clone());
            }
        };
        for (_, due) in self.after(cursor.at).take_while(|(at, _)| *at <= now) {
            take(due);
        }
        for (_, due) in self.by_touch.iter().rev().take_while(|(seq, _)| *seq > cursor.seq) {
            take(due);
        }
        all
    }
}
