//! Asking a snapshot.

use std::collections::BTreeSet;

use super::{Handle, Snapshot};
use crate::context::Context;
use crate::evaluate::{self, Answer, Evaluation, Outcome, Silent};
use crate::explain::{self, Explanation};
use crate::program::{Clause, Entry, Gate, Head, Kind, Step, Steps, Subject};

impl Snapshot {
    /// `None` if there is no such feature, or not even its `off` variant can be served.
    #[must_use]
    #[inline]
    pub fn evaluate<C: Context + ?Sized>(&self, key: &str, context: &C) -> Option<Answer<'_>> {
        self.ask(self.store.by_key(key)?, context)
    }

    /// As [`Self::evaluate`], without looking the key up.
    #[must_use]
    #[inline]
    pub fn evaluate_handle<C: Context + ?Sized>(&self, handle: Handle, context: &C) -> Option<Answer<'_>> {
        self.ask(self.store.by_handle(handle)?, context)
    }

    /// Every feature for one caller.
    pub fn evaluate_all<C: Context + ?Sized>(&self, context: &C) -> impl Iterator<Item = Answer<'_>> {
        let mut evaluation = Evaluation::new(self, context, Silent);
        self.store.iter().filter_map(move |entry| evaluation.ask(entry))
    }

    #[inline]
    fn ask<'s, C: Context + ?Sized>(&'s self, entry: &'s Entry, context: &C) -> Option<Answer<'s>> {
        // one after the other, those that are most first: what a table of them jumps to is guessed worse
        let outcome = if let Some(served) = entry.fixed() {
            Outcome { served, missing: None }
        } else if entry.is_split() {
            self.split(entry, context)
        } else {
            match entry.head() {
                Head::One => self.one(entry, context),
                Head::Steps => self.step(entry, context),
                Head::Needs => self.need(entry, context),
                Head::Fixed(_) | Head::Split | Head::Unusable => return None,
            }
        };
        Some(Answer::new(self, entry, outcome))
    }

    /// What most rules that ask something come to, without the state that others need.
    #[inline(never)]
    fn one<'s, C: Context + ?Sized>(&'s self, entry: &'s Entry, context: &C) -> Outcome {
        match &entry.steps {
            Steps::One(clause, yes) => evaluate::by_one(clause, *yes, entry.default(), context, &self.subjects),
            _ => self.step(entry, context),
        }
    }

    #[inline(never)]
    fn split<'s, C: Context + ?Sized>(&'s self, entry: &'s Entry, context: &C) -> Outcome {
        match &entry.steps {
            Steps::Split(split) => evaluate::by_split(split, entry.default(), context, &self.subjects),
            _ => self.step(entry, context),
        }
    }

    #[inline(never)]
    fn step<'s, C: Context + ?Sized>(&'s self, entry: &'s Entry, context: &C) -> Outcome {
        let mut evaluation = Evaluation::new(self, context, Silent);
        let served = evaluation.go(entry, 0);
        evaluation.outcome(served)
    }

    #[inline(never)]
    fn need<'s, C: Context + ?Sized>(&'s self, entry: &'s Entry, context: &C) -> Outcome {
        let mut evaluation = Evaluation::new(self, context, Silent);
        let served = evaluation.needing(entry);
        evaluation.outcome(served)
    }

    /// [`Self::evaluate`] with every step that led to the answer.
    #[must_use]
    pub fn explain<C: Context + ?Sized>(&self, key: &str, context: &C) -> Option<Explanation> {
        explain::explain(self, self.store.by_key(key)?, context)
    }

    /// Whether some caller's answer depends on a targeting key. Whether this caller's did, says
    /// [`Answer::needs_targeting_key`].
    #[must_use]
    pub fn needs_targeting_key(&self, key: &str) -> bool {
        let mut asked: Vec<&Entry> = self.store.by_key(key).into_iter().collect();
        let mut seen: BTreeSet<u32> = asked.iter().map(|entry| entry.slot).collect();
        while let Some(entry) = asked.pop() {
            let open = matches!(entry.program.gate, Gate::Open);
            let keyed = match &entry.steps {
                Steps::One(clause, _) => self.keyed(clause),
                Steps::Split(split) => split.is_keyed(),
                Steps::Many(steps) => steps.iter().any(|step| match step {
                    Step::Split(split) => split.is_keyed(),
                    Step::Clause(clause) => self.keyed(clause),
                    Step::Need(_) | Step::Serve(_) => false,
                }),
            };
            if keyed {
                return true;
            }
            let needed = entry.program.prerequisites.iter().filter(|_| open).filter_map(|needed| self.needed(needed));
            asked.extend(needed.filter(|entry| seen.insert(entry.slot)));
        }
        false
    }

    fn keyed(&self, clause: &Clause) -> bool {
        match &clause.kind {
            Kind::Share(share) => share.subject == Subject::TARGETING_KEY,
            Kind::Cohort(id) => self.cohorts.get(*id).is_some_and(|cohort| cohort.clauses.iter().any(|clause| self.keyed(clause))),
            Kind::Test(..) | Kind::Not(..) => false,
        }
    }
}
