//! One evaluator, generic over whether it is watched, so that an explanation cannot disagree with an answer.
//!
//! Order: fault and kill switch, prerequisites, then the first rule that matches, then the default. Nothing allocates,
//! unless more than 32 features wait for each other.

mod answer;
mod waiting;

use std::sync::Arc;

pub(crate) use self::answer::Outcome;
pub use self::answer::{Answer, INVALID, Reason, Why};
use self::waiting::Waiting;
use crate::context::Context;
use crate::program::{Asked, Cause, Clause, Cohort, Entry, Head, Kind, Prerequisite, Program, Served, Split, Step, Steps, Subject, Verdict};
use crate::snapshot::Snapshot;

/// Watches an evaluation. The defaults watch nothing and compile to nothing.
pub(crate) trait Tracer<'s> {
    /// Whether every step is to be taken, also those whose outcome is known beforehand.
    const WATCHES: bool = true;

    fn clause(&mut self, _of: &'s Program, _clause: &'s Clause, _verdict: Verdict) {}
    fn matched(&mut self, _of: &'s Program, _rule: u16) {}
    fn split(&mut self, _of: &'s Program, _split: &'s Split, _bucket: Result<u32, Verdict>) {}
    /// `answer` is the variant of the feature that is needed.
    fn prerequisite(&mut self, _of: &'s Program, _needed: &'s Prerequisite, _answer: Option<&'s str>, _holds: bool) {}
}

pub(crate) struct Silent;

impl Tracer<'_> for Silent {
    const WATCHES: bool = false;
}

/// One caller's questions.
pub(crate) struct Evaluation<'s, 'c, C: ?Sized, T> {
    snapshot: &'s Snapshot,
    caller: Asked<'c, 's, C>,
    tracer: T,
    missing: Option<Subject>,
    needs_targeting_key: bool,
    cohorts: Membership,
}

/// To which of the first 64 cohorts the caller belongs, as far as it was asked: rules and features share cohorts.
#[derive(Debug, Clone, Copy, Default)]
struct Membership {
    inside: u64,
    outside: u64,
}

impl<'s, 'c, C: Context + ?Sized, T: Tracer<'s>> Evaluation<'s, 'c, C, T> {
    #[inline]
    pub(crate) fn new(snapshot: &'s Snapshot, context: &'c C, tracer: T) -> Self {
        Self { snapshot, caller: Asked::new(context, snapshot.names()), tracer, missing: None, needs_targeting_key: false, cohorts: Membership::default() }
    }

    /// Whatever was asked before about the same caller is remembered.
    pub(crate) fn ask(&mut self, entry: &'s Entry) -> Option<Answer<'s>> {
        let outcome = match entry.head() {
            Head::Unusable => return None,
            Head::Fixed(served) if !T::WATCHES || entry.steps.many().is_empty() => Outcome { served: self.served(entry, served), missing: None },
            _ => self.steps(entry),
        };
        Some(Answer::new(self.snapshot, entry, outcome))
    }

    /// What is served by the rule that was come to, if by any.
    #[inline(always)]
    fn served(&mut self, entry: &'s Entry, served: Served) -> Served {
        if T::WATCHES
            && let Cause::Rule(rule) = served.cause()
        {
            self.tracer.matched(&entry.program, rule);
        }
        served
    }

    #[inline(always)]
    pub(crate) fn steps(&mut self, entry: &'s Entry) -> Outcome {
        (self.missing, self.needs_targeting_key) = (None, false);
        let served = if matches!(entry.steps.many().first(), Some(Step::Need(_))) { self.needing(entry) } else { self.go(entry, 0) };
        self.outcome(served)
    }

    #[inline(always)]
    pub(crate) const fn outcome(&self, served: Served) -> Outcome {
        Outcome { served: served.for_want_of_key(self.needs_targeting_key), missing: self.missing }
    }

    /// From the step `at`, which is behind all prerequisites. All that it calls on the way is part of it, so that what it
    /// keeps about the caller never leaves the registers.
    #[inline(always)]
    pub(crate) fn go(&mut self, entry: &'s Entry, mut at: usize) -> Served {
        let steps = match &entry.steps {
            Steps::Many(steps) => &**steps,
            Steps::One(clause, yes) => return if self.holds(&entry.program, clause) { self.served(entry, *yes) } else { entry.default() },
            Steps::Split(split) => return self.split(&entry.program, split).unwrap_or(entry.default()),
        };
        while let Some(step) = steps.get(at) {
            at += 1;
            match step {
                Step::Clause(clause) => {
                    if !self.holds(&entry.program, clause) {
                        at = if T::WATCHES { clause.next } else { clause.skip } as usize;
                    }
                }
                Step::Serve(served) => return self.served(entry, *served),
                Step::Split(split) => {
                    if let Some(served) = self.split(&entry.program, split) {
                        return served;
                    }
                }
                Step::Need(_) => {}
            }
        }
        entry.default()
    }

    #[inline(always)]
    fn holds(&mut self, program: &'s Program, clause: &'s Clause) -> bool {
        let verdict = match clause.kind {
            Kind::Cohort(id) => self.belongs(id),
            ref own => own.judge(&mut self.caller),
        };
        self.tracer.clause(program, clause, verdict);
        let holds = matches!(verdict, Verdict::Yes);
        if !holds {
            self.note(verdict);
        }
        holds
    }

    /// `None` if the caller has no bucket in it: the next rule is tried.
    #[inline(always)]
    fn split(&mut self, program: &'s Program, split: &'s Split) -> Option<Served> {
        if T::WATCHES {
            self.tracer.matched(program, split.rule);
        }
        let bucket = split.subject.bucket(&split.bucketer, &mut self.caller);
        self.tracer.split(program, split, bucket);
        match bucket {
            Ok(bucket) => split.serve(bucket),
            Err(verdict) => {
                self.note(verdict);
                None
            }
        }
    }

    #[inline(always)]
    fn belongs(&mut self, cohort: u32) -> Verdict {
        let bit = 1_u64.checked_shl(cohort).unwrap_or(0);
        if self.cohorts.inside & bit != 0 {
            return Verdict::Yes;
        }
        if self.cohorts.outside & bit != 0 {
            return Verdict::No;
        }
        let verdict = match self.snapshot.cohorts().get(cohort) {
            Some(cohort) => match &*cohort.clauses {
                [only] if !cohort.everyone => Cohort::by_one(only.kind.judge(&mut self.caller)),
                _ => cohort.judge(self.caller.context, self.caller.names),
            },
            None => Verdict::No,
        };
        match verdict {
            Verdict::Yes => self.cohorts.inside |= bit,
            Verdict::No => self.cohorts.outside |= bit,
            // Says what was missing, and is worked out again for whoever asks next.
            _ => {}
        }
        verdict
    }

    /// Remembers what the caller lacked.
    #[inline]
    fn note(&mut self, verdict: Verdict) {
        let missing = match verdict {
            Verdict::Missing(subject) => subject,
            Verdict::NoKey => {
                self.needs_targeting_key = true;
                Subject::TARGETING_KEY
            }
            _ => return,
        };
        self.missing = self.missing.or(Some(missing));
    }

    /// A feature with prerequisites, which may have their own, to any depth: those under way wait on a stack of our own.
    /// Compilation has made sure that asking ends.
    #[inline(never)]
    pub(crate) fn needing(&mut self, entry: &'s Entry) -> Served {
        let mut waiting = Waiting::new();
        let (mut entry, mut at) = (entry, 0);
        loop {
            let mut answered = match (entry.head(), entry.steps.many().get(at)) {
                (Head::Unusable, _) => None,
                (Head::Fixed(served), _) if !T::WATCHES || entry.steps.many().is_empty() => Some((entry, self.served(entry, served))),
                (_, Some(Step::Need(place))) => {
                    waiting.push(entry, at);
                    if let Some(needed) = entry.program.prerequisites.get(usize::from(*place)).and_then(|needed| self.snapshot.needed(needed)) {
                        (entry, at) = (needed, 0);
                        continue;
                    }
                    None
                }
                _ => Some((entry, self.go(entry, at))),
            };
            // Whoever waits for an answer that does not do is off, and that is an answer for whoever waits for them.
            (entry, at) = loop {
                let Some((dependent, step)) = waiting.pop() else { return answered.map_or(entry.default(), |(_, served)| served) };
                match self.broken(dependent, step, answered) {
                    None => break (dependent, step + 1),
                    Some(off) => answered = Some((dependent, off)),
                }
            };
        }
    }

    /// What the feature serves if this answer to its prerequisite is not one of those wanted.
    fn broken(&mut self, dependent: &'s Entry, step: usize, answered: Option<(&'s Entry, Served)>) -> Option<Served> {
        let program = &*dependent.program;
        let Some(Step::Need(place)) = dependent.steps.many().get(step) else { return None };
        let needed = program.prerequisites.get(usize::from(*place))?;
        let answer = answered.map(|(other, served)| other.name(served.variant()));
        let holds = answer.is_some_and(|answer| program.accepts(*place, answer));
        self.tracer.prerequisite(program, needed, answer, holds);
        (!holds).then(|| program.lacking(*place))
    }
}

/// What [`Evaluation::go`] makes of a single clause that names no cohort.
#[inline(always)]
pub(crate) fn by_one<C: Context + ?Sized>(clause: &Clause, yes: Served, no: Served, context: &C, names: &[Arc<str>]) -> Outcome {
    match clause.kind.judge(&mut Asked::new(context, names)) {
        Verdict::Yes => Outcome { served: yes, missing: None },
        Verdict::Missing(subject) => Outcome { served: no, missing: Some(subject) },
        Verdict::NoKey => Outcome { served: no.for_want_of_key(true), missing: Some(Subject::TARGETING_KEY) },
        _ => Outcome { served: no, missing: None },
    }
}

/// What [`Evaluation::go`] makes of a split without clauses.
#[inline(always)]
pub(crate) fn by_split<C: Context + ?Sized>(split: &Split, default: Served, context: &C, names: &[Arc<str>]) -> Outcome {
    match split.subject.bucket(&split.bucketer, &mut Asked::new(context, names)) {
        Ok(bucket) => Outcome { served: split.serve(bucket).unwrap_or(default), missing: None },
        Err(Verdict::NoKey) => Outcome { served: default.for_want_of_key(true), missing: Some(Subject::TARGETING_KEY) },
        Err(Verdict::Missing(subject)) => Outcome { served: default, missing: Some(subject) },
        Err(_) => Outcome { served: default, missing: None },
    }
}
