//! One evaluator, generic over whether it is watched, so that an explanation cannot disagree with an answer.
//!
//! Order: fault and kill switch, prerequisites, then the first rule that matches, then the default. Nothing allocates,
//! unless more than 32 features wait for each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Context;
use crate::hash::Packed;
use crate::model::{Blocked, Feature};
use crate::program::{Asked, Cause, Clause, Entry, Gate, Head, Kind, Prerequisite, Program, Served, Split, Step, Subject, Verdict};
use crate::snapshot::{Handle, Snapshot};

/// What an answer is blocked by when the feature's own definition is at fault.
pub const INVALID: &str = "invalid";

/// Why a variant was chosen, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Every caller gets this answer until the next revision.
    Static,
    TargetingMatch,
    /// By the caller's bucket, in a share or a split.
    Split,
    /// `off`, because the feature may not be shown.
    Disabled,
    /// No rule matched.
    Default,
}

impl Reason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Default => "DEFAULT",
        }
    }
}

/// Which variant a caller is served, and why. It borrows from the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'s> {
    entry: &'s Entry,
    outcome: Outcome<'s>,
}

/// What an evaluation comes to: two words, which are returned in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome<'s> {
    pub served: Served,
    pub missing: Option<&'s Subject>,
}

impl<'s> Answer<'s> {
    #[inline]
    pub(crate) const fn new(entry: &'s Entry, outcome: Outcome<'s>) -> Self {
        Self { entry, outcome }
    }

    /// What is to be counted: a feature and a variant of it, and a hash of both.
    #[inline]
    pub(crate) fn counted(&self) -> (&'s Arc<Program>, u16, u64) {
        (&self.entry.program, self.outcome.served.variant(), self.entry.hash.rotate_left(32) ^ Packed::of(self.variant()).hash(self.variant()))
    }

    #[must_use]
    pub fn key(&self) -> &'s str {
        &self.entry.program.key
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { slot: self.entry.slot, hash: self.entry.hash }
    }

    #[must_use]
    pub fn variant(&self) -> &'s str {
        self.entry.name(self.outcome.served.variant())
    }

    #[must_use]
    #[inline]
    pub fn value(&self) -> &'s Value {
        self.entry.value(self.outcome.served.variant())
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.outcome.served.reason()
    }

    /// The rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&'s str> {
        self.source_rule().map(|rule| rule.name.as_str())
    }

    /// The release that shows this answer or is kept from doing so.
    #[must_use]
    pub fn release(&self) -> Option<&'s str> {
        match self.source_rule() {
            Some(rule) => rule.release.as_deref(),
            None => self.blocked()?.release.as_deref(),
        }
    }

    /// What keeps the feature, or its next release, from this caller.
    #[must_use]
    pub fn blocked_by(&self) -> Option<&'s str> {
        match self.outcome.served.cause() {
            Cause::Rule(_) => self.source_rule()?.blocked.as_deref(),
            Cause::Prerequisite(at) => self.entry.program.prerequisites.get(usize::from(at)).map(|needed| &*needed.label),
            Cause::Fault => Some(INVALID),
            Cause::Killed | Cause::Default => self.blocked().map(|blocked| blocked.blocked_by.as_str()),
        }
    }

    /// The first attribute that a clause asked for and the caller did not give.
    #[must_use]
    pub fn missing(&self) -> Option<&'s str> {
        self.outcome.missing.map(Subject::name)
    }

    /// A rule would have matched but for a share or split by targeting key, and the caller has none: with one, the
    /// answer may be another.
    #[must_use]
    pub const fn needs_targeting_key(&self) -> bool {
        self.outcome.served.wants_key()
    }

    pub(crate) fn feature(&self) -> &'s Feature {
        &self.entry.program.source
    }

    pub(crate) const fn cause(&self) -> Cause {
        self.outcome.served.cause()
    }

    fn source_rule(&self) -> Option<&'s crate::model::Rule> {
        match self.outcome.served.cause() {
            Cause::Rule(at) => self.entry.program.source_rule(usize::from(at)),
            _ => None,
        }
    }

    fn blocked(&self) -> Option<&'s Blocked> {
        match self.outcome.served.cause() {
            Cause::Killed => self.feature().killed.as_ref(),
            Cause::Default => self.feature().dark.as_ref(),
            Cause::Rule(_) | Cause::Prerequisite(_) | Cause::Fault => None,
        }
    }

    /// How the answer begins on the wire and, unless it takes some thought, how it ends.
    #[inline]
    pub(crate) fn wire(&self) -> (&'s str, Option<&'s str>) {
        let program = &*self.entry.program;
        let end = match self.outcome.served.cause() {
            Cause::Rule(at) => program.endings.get(usize::from(at)).map(|ending| &**ending),
            Cause::Default if program.source.dark.is_none() => Some("}}"),
            _ => None,
        };
        let begin = program.variants.get(usize::from(self.outcome.served.variant())).map_or("", |variant| &variant.wire);
        (begin, end)
    }
}

/// Watches an evaluation. The defaults watch nothing and compile to nothing.
pub(crate) trait Tracer<'s> {
    /// Whether every step is to be taken, also those whose outcome is known beforehand.
    const WATCHES: bool = true;

    fn clause(&mut self, _of: &'s Program, _clause: &'s Clause, _verdict: Verdict<'s>) {}
    fn matched(&mut self, _of: &'s Program, _rule: u16) {}
    fn split(&mut self, _of: &'s Program, _split: &'s Split, _bucket: Result<u32, Verdict<'s>>) {}
    /// `answer` is the variant of the feature that is needed.
    fn prerequisite(&mut self, _of: &'s Program, _needed: &'s Prerequisite, _answer: Option<&'s str>, _holds: bool) {}
}

pub(crate) struct Silent;

impl Tracer<'_> for Silent {
    const WATCHES: bool = false;
}

static TARGETING_KEY: Subject = Subject::TargetingKey;

/// One caller's questions.
pub(crate) struct Evaluation<'s, 'c, C: ?Sized, T> {
    snapshot: &'s Snapshot,
    caller: Asked<'c, C>,
    tracer: T,
    missing: Option<&'s Subject>,
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
        Self { snapshot, caller: Asked::new(context), tracer, missing: None, needs_targeting_key: false, cohorts: Membership::default() }
    }

    /// Whatever was asked before about the same caller is remembered.
    pub(crate) fn ask(&mut self, entry: &'s Entry) -> Option<Answer<'s>> {
        let outcome = match entry.head() {
            Head::Unusable => return None,
            Head::Fixed(served) if !T::WATCHES || !matches!(entry.program.gate, Gate::Open) => Outcome { served, missing: None },
            _ => self.steps(entry),
        };
        Some(Answer::new(entry, outcome))
    }

    #[inline(always)]
    pub(crate) fn steps(&mut self, entry: &'s Entry) -> Outcome<'s> {
        (self.missing, self.needs_targeting_key) = (None, false);
        let served = if matches!(entry.steps.first(), Some(Step::Need(_))) { self.needing(entry) } else { self.go(entry, 0) };
        self.outcome(served)
    }

    #[inline(always)]
    pub(crate) const fn outcome(&self, served: Served) -> Outcome<'s> {
        Outcome { served: served.for_want_of_key(self.needs_targeting_key), missing: self.missing }
    }

    /// From the step `at`, which is behind all prerequisites. All that it calls on the way is part of it, so that what it
    /// keeps about the caller never leaves the registers.
    #[inline(always)]
    pub(crate) fn go(&mut self, entry: &'s Entry, mut at: usize) -> Served {
        while let Some(step) = entry.steps.get(at) {
            at += 1;
            match step {
                Step::Clause(clause) => {
                    let verdict = match clause.kind {
                        Kind::Cohort(id) => self.belongs(id),
                        ref own => own.judge(&mut self.caller),
                    };
                    self.tracer.clause(&entry.program, clause, verdict);
                    if !matches!(verdict, Verdict::Yes) {
                        self.note(verdict);
                        at = if T::WATCHES { clause.next } else { clause.skip } as usize;
                    }
                }
                Step::Serve(served) => {
                    if T::WATCHES
                        && let Cause::Rule(rule) = served.cause()
                    {
                        self.tracer.matched(&entry.program, rule);
                    }
                    return *served;
                }
                Step::Split(split) => {
                    if let Some(served) = self.split(&entry.program, split) {
                        return served;
                    }
                }
                Step::Need(_) => {}
            }
        }
        unanswered(entry)
    }

    /// `None` if the caller has no bucket in it: the next rule is tried.
    #[inline(always)]
    fn split(&mut self, program: &'s Program, split: &'s Split) -> Option<Served> {
        self.tracer.matched(program, split.rule);
        let bucket = split.subject.bucket(&split.bucketer, &mut self.caller);
        self.tracer.split(program, split, bucket);
        match bucket {
            Ok(bucket) => split.pick(bucket).map(|variant| if split.blocked { split.served } else { split.served.with_variant(variant) }),
            Err(verdict) => {
                self.note(verdict);
                None
            }
        }
    }

    #[inline(always)]
    fn belongs(&mut self, cohort: u32) -> Verdict<'s> {
        let bit = 1_u64.checked_shl(cohort).unwrap_or(0);
        if self.cohorts.inside & bit != 0 {
            return Verdict::Yes;
        }
        if self.cohorts.outside & bit != 0 {
            return Verdict::No;
        }
        let verdict = self.snapshot.cohorts().get(cohort).map_or(Verdict::No, |cohort| cohort.judge(self.caller.context));
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
    fn note(&mut self, verdict: Verdict<'s>) {
        let missing = match verdict {
            Verdict::Missing(subject) => subject,
            Verdict::NoKey => {
                self.needs_targeting_key = true;
                &TARGETING_KEY
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
            let mut answered = match (entry.head(), entry.steps.get(at)) {
                (Head::Unusable, _) => None,
                (Head::Fixed(served), _) if !T::WATCHES || !matches!(entry.program.gate, Gate::Open) => Some((entry, served)),
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
                let Some((dependent, step)) = waiting.pop() else { return answered.map_or(unanswered(entry), |(_, served)| served) };
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
        let Some(Step::Need(place)) = dependent.steps.get(step) else { return None };
        let needed = program.prerequisites.get(usize::from(*place))?;
        let answer = answered.map(|(other, served)| other.name(served.variant()));
        let holds = answer.is_some_and(|answer| program.accepts(*place, answer));
        self.tracer.prerequisite(program, needed, answer, holds);
        (!holds).then(|| program.lacking(*place))
    }
}

/// What [`Evaluation::go`] makes of a single clause that names no cohort.
#[inline(always)]
pub(crate) fn by_one<'s, C: Context + ?Sized>(clause: &'s Clause, yes: Served, no: Served, context: &C) -> Outcome<'s> {
    match clause.kind.judge(&mut Asked::new(context)) {
        Verdict::Yes => Outcome { served: yes, missing: None },
        Verdict::Missing(subject) => Outcome { served: no, missing: Some(subject) },
        Verdict::NoKey => Outcome { served: no.for_want_of_key(true), missing: Some(&TARGETING_KEY) },
        _ => Outcome { served: no, missing: None },
    }
}

/// What [`Evaluation::go`] makes of a split without clauses.
#[inline(always)]
pub(crate) fn by_split<'s, C: Context + ?Sized>(split: &'s Split, default: Served, context: &C) -> Outcome<'s> {
    let missing = match split.subject.bucket(&split.bucketer, &mut Asked::new(context)) {
        Ok(bucket) => match split.pick(bucket) {
            Some(_) if split.blocked => return Outcome { served: split.served, missing: None },
            Some(variant) => return Outcome { served: split.served.with_variant(variant), missing: None },
            None => None,
        },
        Err(Verdict::Missing(subject)) => Some(subject),
        Err(Verdict::NoKey) => return Outcome { served: default.for_want_of_key(true), missing: Some(&TARGETING_KEY) },
        Err(_) => None,
    };
    Outcome { served: default, missing }
}

/// Never served: every feature ends by serving its default.
#[cold]
fn unanswered(entry: &Entry) -> Served {
    Served::new(entry.program.off, Reason::Disabled, Cause::Fault)
}

/// Features that wait for one that they need, and at which step. Deeper than is sane, it takes memory.
struct Waiting<'s> {
    some: [Option<(&'s Entry, usize)>; 32],
    len: usize,
    more: Vec<(&'s Entry, usize)>,
}

impl<'s> Waiting<'s> {
    const fn new() -> Self {
        Self { some: [None; 32], len: 0, more: Vec::new() }
    }

    fn push(&mut self, entry: &'s Entry, step: usize) {
        match self.some.get_mut(self.len) {
            Some(place) => *place = Some((entry, step)),
            None => self.more.push((entry, step)),
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<(&'s Entry, usize)> {
        self.len = self.len.checked_sub(1)?;
        match self.some.get(self.len) {
            Some(place) => *place,
            None => self.more.pop(),
        }
    }
}
