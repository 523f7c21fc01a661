//! One evaluator, generic over whether it is watched, so that an explanation cannot disagree with an answer.
//!
//! Order: fault and kill switch, prerequisites, then the first rule that matches, then the default. Nothing allocates.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Context;
use crate::model::{Blocked, Feature, TARGETING_KEY, ValueType};
use crate::program::{Clause, Gate, Kind, Prerequisite, Program, Rule, Split, Then, Variant, Verdict};
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
    program: &'s Program,
    variant: &'s Variant,
    missing: Option<&'s str>,
    cause: Cause,
    reason: Reason,
    needs_targeting_key: bool,
}

/// What decided, from which the rest of the answer is looked up when someone asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Default,
    Rule(u32),
    Prerequisite(u32),
    Killed,
    Fault,
}

impl<'s> Answer<'s> {
    #[must_use]
    pub fn key(&self) -> &'s str {
        &self.program.key
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { slot: self.program.slot, hash: self.program.hash }
    }

    #[must_use]
    pub fn variant(&self) -> &'s str {
        &self.variant.name
    }

    /// Where the variant stands among the feature's, which are in the order of their names: an index for counters.
    #[must_use]
    pub fn variant_index(&self) -> usize {
        self.program.variants.iter().position(|variant| std::ptr::eq(variant, self.variant)).unwrap_or_default()
    }

    #[must_use]
    pub const fn value(&self) -> &'s Value {
        &self.variant.value
    }

    /// The type that every variant of the feature has.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.program.source.r#type
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
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
        match self.cause {
            Cause::Rule(_) => self.source_rule()?.blocked.as_deref(),
            Cause::Prerequisite(at) => self.program.prerequisites.get(at as usize).map(|needed| &*needed.label),
            Cause::Fault => Some(INVALID),
            Cause::Killed | Cause::Default => self.blocked().map(|blocked| blocked.blocked_by.as_str()),
        }
    }

    /// The first attribute that a clause asked for and the caller did not give.
    #[must_use]
    pub const fn missing(&self) -> Option<&'s str> {
        self.missing
    }

    /// A rule would have matched but for a share or split by targeting key, and the caller has none: with one, the
    /// answer may be another.
    #[must_use]
    pub const fn needs_targeting_key(&self) -> bool {
        self.needs_targeting_key
    }

    pub(crate) fn feature(&self) -> &'s Feature {
        &self.program.source
    }

    pub(crate) const fn cause(&self) -> Cause {
        self.cause
    }

    fn source_rule(&self) -> Option<&'s crate::model::Rule> {
        match self.cause {
            Cause::Rule(at) => self.program.source_rule(at as usize),
            _ => None,
        }
    }

    fn blocked(&self) -> Option<&'s Blocked> {
        match self.cause {
            Cause::Killed => self.program.source.killed.as_ref(),
            Cause::Default => self.program.source.dark.as_ref(),
            Cause::Rule(_) | Cause::Prerequisite(_) | Cause::Fault => None,
        }
    }

    /// How the answer begins on the wire and, unless it takes some thought, how it ends.
    #[inline]
    pub(crate) fn wire(&self) -> (&'s str, Option<&'s str>) {
        let end = match self.cause {
            Cause::Rule(at) => self.program.rules.get(at as usize).map(|rule| &*rule.wire),
            Cause::Default if self.program.source.dark.is_none() => Some("}}"),
            _ => None,
        };
        (&self.variant.wire, end)
    }
}

/// Watches an evaluation. The defaults watch nothing and compile to nothing.
pub(crate) trait Tracer<'s> {
    fn clause(&mut self, _of: &'s Program, _rule: usize, _clause: &'s Clause, _verdict: Verdict<'s>) {}
    fn matched(&mut self, _of: &'s Program, _rule: usize) {}
    fn split(&mut self, _of: &'s Program, _rule: usize, _split: &'s Split, _bucket: Result<u32, Verdict<'s>>) {}
    fn prerequisite(&mut self, _of: &'s Program, _needed: &'s Prerequisite, _answer: Option<&Answer<'s>>, _holds: bool) {}
}

pub(crate) struct Silent;

impl Tracer<'_> for Silent {}

pub(crate) struct Evaluation<'s, 'c, C: ?Sized, T> {
    snapshot: &'s Snapshot,
    context: &'c C,
    tracer: &'c mut T,
    missing: Option<&'s str>,
    needs_targeting_key: bool,
    cohorts: Membership,
}

/// To which of the first 64 cohorts the caller belongs, as far as it was asked: rules and features share cohorts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Membership {
    inside: u64,
    outside: u64,
}

impl<'s, 'c, C: Context + ?Sized, T: Tracer<'s>> Evaluation<'s, 'c, C, T> {
    pub(crate) fn new(snapshot: &'s Snapshot, context: &'c C, tracer: &'c mut T) -> Self {
        Self::remembering(snapshot, context, tracer, Membership::default())
    }

    /// For the same caller as an earlier evaluation, whose memory this is.
    pub(crate) fn remembering(snapshot: &'s Snapshot, context: &'c C, tracer: &'c mut T, cohorts: Membership) -> Self {
        Self { snapshot, context, tracer, missing: None, needs_targeting_key: false, cohorts }
    }

    pub(crate) const fn memory(&self) -> Membership {
        self.cohorts
    }

    #[inline]
    pub(crate) fn ask(&mut self, program: &'s Program) -> Option<Answer<'s>> {
        match program.gate {
            Gate::Open => {}
            Gate::Killed => return self.off(program, Cause::Killed),
            Gate::Faulty(_) => return self.off(program, Cause::Fault),
            Gate::Unusable(_) => return None,
        }
        if !program.prerequisites.is_empty()
            && let Some(broken) = self.broken_prerequisite(program)
        {
            return self.off(program, Cause::Prerequisite(broken));
        }
        for (at, rule) in program.rules.iter().enumerate() {
            if self.matches(program, at, rule)
                && let Some(variant) = self.outcome(program, at, rule)
            {
                return self.serve(program, at, rule, variant);
            }
        }
        let depends = !program.rules.is_empty() || !program.prerequisites.is_empty();
        // where some rule shows it to others, this caller is only not among them
        let shown = program.rules.iter().any(|rule| !rule.blocked);
        let reason = match depends {
            _ if program.default == program.off && program.source.dark.is_some() && !shown => Reason::Disabled,
            true => Reason::Default,
            false => Reason::Static,
        };
        self.answer(program, program.default, reason, Cause::Default)
    }

    #[inline]
    fn matches(&mut self, program: &'s Program, at: usize, rule: &'s Rule) -> bool {
        for clause in &rule.when {
            let verdict = match clause.kind {
                Kind::Cohort(id) => self.belongs(id),
                _ => clause.judge(self.snapshot.cohorts(), self.context),
            };
            self.tracer.clause(program, at, clause, verdict);
            match verdict {
                Verdict::Yes => {}
                other => {
                    self.note(other);
                    return false;
                }
            }
        }
        self.tracer.matched(program, at);
        true
    }

    #[inline]
    fn belongs(&mut self, cohort: u32) -> Verdict<'s> {
        let bit = 1_u64.checked_shl(cohort).unwrap_or(0);
        if self.cohorts.inside & bit != 0 {
            return Verdict::Yes;
        }
        if self.cohorts.outside & bit != 0 {
            return Verdict::No;
        }
        let cohorts = self.snapshot.cohorts();
        let verdict = cohorts.get(cohort).map_or(Verdict::No, |cohort| cohort.judge(cohorts, self.context));
        match verdict {
            Verdict::Yes => self.cohorts.inside |= bit,
            Verdict::No => self.cohorts.outside |= bit,
            // Says what was missing, and is worked out again for whoever asks next.
            _ => {}
        }
        verdict
    }

    /// Remembers what the caller lacked.
    fn note(&mut self, verdict: Verdict<'s>) {
        let missing = match verdict {
            Verdict::Missing(subject) => subject.name(),
            Verdict::NoKey => {
                self.needs_targeting_key = true;
                TARGETING_KEY
            }
            _ => return,
        };
        self.missing = self.missing.or(Some(missing));
    }

    /// `None` if it is a split that this caller has no bucket in: the next rule is tried.
    #[inline]
    fn outcome(&mut self, program: &'s Program, at: usize, rule: &'s Rule) -> Option<u16> {
        let split = match &rule.then {
            Then::Variant(variant) => return Some(*variant),
            Then::Split(split) => split,
        };
        let bucket = split.subject.bucket(&split.bucketer, self.context);
        self.tracer.split(program, at, split, bucket);
        match bucket {
            Ok(bucket) => split.pick(bucket),
            Err(verdict) => {
                self.note(verdict);
                None
            }
        }
    }

    #[inline]
    fn serve(&mut self, program: &'s Program, at: usize, rule: &'s Rule, variant: u16) -> Option<Answer<'s>> {
        let cause = Cause::Rule(at as u32);
        if rule.blocked {
            return self.off(program, cause);
        }
        let reason = match &rule.then {
            Then::Split(_) => Reason::Split,
            Then::Variant(_) if rule.shared => Reason::Split,
            Then::Variant(_) if at == 0 && rule.when.is_empty() && program.prerequisites.is_empty() => Reason::Static,
            Then::Variant(_) => Reason::TargetingMatch,
        };
        self.answer(program, variant, reason, cause)
    }

    /// The first prerequisite that does not hold for this caller. Compilation has made sure that asking ends.
    fn broken_prerequisite(&mut self, program: &'s Program) -> Option<u32> {
        for (at, needed) in program.prerequisites.iter().enumerate() {
            let other = self.snapshot.program(needed.hash, &needed.feature);
            let answer = other.and_then(|other| self.ask(other));
            let wanted = program.source.prerequisites.get(at).map_or(&[][..], |source| source.variants.as_slice());
            let holds = answer.is_some_and(|answer| wanted.iter().any(|name| name == answer.variant()));
            self.tracer.prerequisite(program, needed, answer.as_ref(), holds);
            if !holds {
                return Some(at as u32);
            }
        }
        None
    }

    #[inline]
    fn off(&self, program: &'s Program, cause: Cause) -> Option<Answer<'s>> {
        self.answer(program, program.off, Reason::Disabled, cause)
    }

    #[inline]
    fn answer(&self, program: &'s Program, variant: u16, reason: Reason, cause: Cause) -> Option<Answer<'s>> {
        let variant = program.variants.get(usize::from(variant))?;
        let Self { missing, needs_targeting_key, .. } = *self;
        Some(Answer { program, variant, missing, cause, reason, needs_targeting_key })
    }
}
