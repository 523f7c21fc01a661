//! What a model compiles into: features, rules and cohorts with their values looked up, sorted and hashed beforehand.
//!
//! Programs are immutable and refer to cohorts and other features by name or index, never by pointer, so that a snapshot
//! shares every program that a change does not touch.

mod caller;
mod entry;
mod served;
mod test;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::bucket::Bucketer;
use crate::context::Context;
use crate::evaluate::Reason;
use crate::hash::{Packed, same};
use crate::model::{self, Feature, ValueType};
use crate::source::{self, Reader};

use self::caller::Given;
pub(crate) use self::caller::{Asked, Names, Subject, Verdict};
pub(crate) use self::entry::{Entry, Head, Steps, Truth, truth};
pub(crate) use self::served::{Cause, Served};
pub(crate) use self::test::{Comparison, Members, Networks, OwnedVersion, Set, Test};

/// Numbers beyond ±(2^53−1) are not exact on every wire, so no comparison holds for them.
pub(crate) const EXACT: f64 = 9_007_199_254_740_991.0;

/// What evaluation needs of a feature only now and then. The rest is in its [`Entry`].
#[derive(Debug)]
pub(crate) struct Program {
    /// The key, then the source, then what of its answers never varies on the wire.
    pub text: Box<str>,
    /// Parts of the text: of each variant the name and how an answer with it begins on the wire,
    /// `{"key":"…","value":…,"variant":"…","reason":"`; of each rule of the source, claims first, the rule and how an answer
    /// by it ends, `,"rule":"…"`, its release, what blocks it, and the braces.
    pub parts: Box<[Span]>,
    /// The end of the key.
    pub key: u32,
    /// The end of the source.
    pub source: u32,
    pub variants: u16,
    pub off: u16,
    pub r#type: ValueType,
    /// Whether the default says why it is served.
    pub is_dark: bool,
    pub truth: Option<Truth>,
    /// Of each variant, unless `truth` says it.
    pub values: Box<[Value]>,
    pub prerequisites: Box<[Prerequisite]>,
    pub default: Served,
    pub gate: Gate,
}

/// A part of a program's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Program {
    #[inline]
    pub(crate) fn key(&self) -> &str {
        self.text.get(..self.key as usize).unwrap_or_default()
    }

    pub(crate) fn source(&self) -> &str {
        self.text.get(self.key as usize..self.source as usize).unwrap_or_default()
    }

    /// The canonical form that this was made of.
    pub(crate) fn feature(&self) -> Feature {
        // what does not read has never been compiled
        source::feature(self.source()).unwrap_or_else(|_| source::no_feature())
    }

    #[inline]
    fn part(&self, at: usize) -> Option<&str> {
        let Span { start, end } = *self.parts.get(at)?;
        self.text.get(start as usize..end as usize)
    }

    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.variants).map(|variant| self.name(variant))
    }

    #[inline]
    pub(crate) fn name(&self, variant: u16) -> &str {
        if variant < self.variants { self.part(2 * usize::from(variant)).unwrap_or_default() } else { "" }
    }

    /// The value of a variant that exists.
    pub(crate) fn value(&self, variant: u16) -> &Value {
        self.truth.and_then(|truth| entry::value(truth, variant)).or_else(|| self.values.get(usize::from(variant))).unwrap_or(&Value::Null)
    }

    /// The value of the variant of this name.
    pub(crate) fn variant(&self, name: &str) -> Option<&Value> {
        let at = self.names().position(|other| other == name)?;
        u16::try_from(at).ok().map(|at| self.value(at))
    }

    /// How an answer with this variant begins on the wire.
    #[inline]
    pub(crate) fn beginning(&self, variant: u16) -> &str {
        if variant < self.variants { self.part(2 * usize::from(variant) + 1).unwrap_or_default() } else { "" }
    }

    /// How an answer by this rule ends there.
    #[inline]
    pub(crate) fn ending(&self, rule: u16) -> Option<&str> {
        self.part(2 * (usize::from(self.variants) + usize::from(rule)) + 1)
    }

    pub(crate) fn rule(&self, rule: u16) -> Option<source::Rule<'_>> {
        Reader::new(self.part(2 * (usize::from(self.variants) + usize::from(rule)))?).rule().ok()
    }

    /// What keeps it, or its next release, from users: what killed it, and what the default says.
    pub(crate) fn killed(&self) -> Option<source::Blocked<'_>> {
        self.opening()?.killed
    }

    pub(crate) fn dark(&self) -> Option<source::Blocked<'_>> {
        self.opening()?.dark
    }

    fn opening(&self) -> Option<source::Opening<'_>> {
        Reader::new(self.source()).opening().ok()
    }

    /// Features that it needs, each with the variants that do.
    pub(crate) fn needs(&self) -> impl Iterator<Item = source::Prerequisite<'_>> {
        source::needs(self.source())
    }

    /// Whether the prerequisite at this place holds if its feature answers this variant.
    pub(crate) fn accepts(&self, place: u16, answer: &str) -> bool {
        self.needs().nth(usize::from(place)).is_some_and(|mut needed| needed.variants.any(|name| same(name, answer)))
    }

    /// What is served while the prerequisite at this place does not hold.
    pub(crate) const fn lacking(&self, place: u16) -> Served {
        Served::new(self.off, Reason::Disabled, Cause::Prerequisite(place))
    }
}

#[derive(Debug)]
pub(crate) enum Gate {
    Open,
    Killed,
    /// Some rule cannot be trusted: everyone gets `off`.
    Faulty(Box<[Fault]>),
    /// Not even `off` can be served.
    Unusable(Box<[Fault]>),
}

impl Gate {
    pub(crate) fn faults(&self) -> &[Fault] {
        match self {
            Self::Open | Self::Killed => &[],
            Self::Faulty(faults) | Self::Unusable(faults) => faults,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub rule: Option<String>,
    pub message: String,
}

#[derive(Debug)]
pub(crate) struct Prerequisite {
    pub feature: Box<str>,
    pub packed: Packed,
    pub hash: u64,
    /// Where the feature stood when this was compiled. It may have gone since.
    pub slot: u32,
    /// What an answer is blocked by while this does not hold.
    pub label: Box<str>,
}

/// The steps of a feature in the order in which they are tried, side by side: its prerequisites, then for each rule its
/// clauses and what it serves. Whoever comes to the end is served the default.
#[derive(Debug)]
pub(crate) enum Step {
    /// The prerequisite at this place must hold.
    Need(u16),
    /// Goes on with the next step if it holds.
    Clause(Clause),
    /// Serves whoever has a bucket in it.
    Split(Split),
    Serve(Served),
}

#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub subject: Subject,
    pub bucketer: Bucketer,
    pub shares: Shares,
    pub rule: u16,
    /// What is served whatever the bucket, as the rule is blocked; else [`Self::FREE`].
    pub off: u16,
}

/// Variant of all buckets below a number and not below the one before.
#[derive(Debug, Clone)]
pub(crate) enum Shares {
    Two {
        below: [u32; 2],
        variants: [u16; 2],
    },
    /// By a thin pointer, which keeps a step within a cache line.
    More(Arc<Vec<(u32, u16)>>),
}

impl Split {
    /// The number of no variant.
    pub(crate) const FREE: u16 = u16::MAX;

    /// What whoever has `bucket` is served.
    #[inline]
    pub(crate) fn serve(&self, bucket: u32) -> Option<Served> {
        let variant = self.pick(bucket)?;
        let (variant, reason) = if self.off == Self::FREE { (variant, Reason::Split) } else { (self.off, Reason::Disabled) };
        Some(Served::new(variant, reason, Cause::Rule(self.rule)))
    }

    /// Whether the bucket is that of the targeting key.
    pub(crate) fn is_keyed(&self) -> bool {
        self.subject == Subject::TARGETING_KEY
    }

    /// The variant of whoever has `bucket`.
    #[inline]
    pub(crate) fn pick(&self, bucket: u32) -> Option<u16> {
        match &self.shares {
            // by arithmetic: of a half nobody can foretell which side the next caller is on, a processor no more than we
            Shares::Two { below: [first, second], variants: [one, other] } => {
                let behind = u32::from(bucket >= *first);
                let (below, variant) = (first + (second - first) * behind, u32::from(*one) ^ (u32::from(*one ^ *other) * behind));
                (bucket < below).then_some(variant as u16)
            }
            Shares::More(shares) => shares.iter().find(|(below, _)| bucket < *below).map(|(_, variant)| *variant),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Clause {
    pub kind: Kind,
    /// Its place in the source: shares are tried last.
    pub at: u16,
    /// The rule that it belongs to, in a feature.
    pub rule: u16,
    /// The step to go on with if it does not hold: that of the next rule or group.
    pub next: u32,
    /// The same, past all that is known by then: clauses that the next rules begin with too, and which held or did not.
    pub skip: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Cohort(u32),
    Share(Share),
    Test(Subject, Test),
    Not(Subject, Test),
}

#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub subject: Subject,
    pub bucketer: Bucketer,
    /// Buckets below this one are inside.
    pub below: u32,
}

impl Kind {
    /// What is asked of the caller alone. No cohort is.
    #[inline(always)]
    pub(crate) fn judge<C: Context + ?Sized>(&self, caller: &mut Asked<'_, '_, C>) -> Verdict {
        match self {
            Self::Test(subject, test) => {
                let given = caller.of(*subject);
                match given.text {
                    Some(text) => test.judge_text(text, given.packed),
                    None if given.other.is_none() && !matches!(test, Test::Absent) => Verdict::Missing(*subject),
                    None => test.judge_other(given.other),
                }
            }
            Self::Not(subject, test) => Verdict::of(!matches!(test.judge(caller.of(*subject)), Verdict::Yes)),
            Self::Share(share) => match share.subject.bucket(&share.bucketer, caller) {
                Ok(bucket) => Verdict::of(bucket < share.below),
                Err(verdict) => verdict,
            },
            Self::Cohort(_) => Verdict::No,
        }
    }
}

/// All cohorts of an environment. An id stays with its name through every change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cohorts {
    pub ids: BTreeMap<Arc<str>, u32>,
    pub list: Vec<Option<Arc<Cohort>>>,
}

#[derive(Debug)]
pub(crate) struct Cohort {
    pub name: Arc<str>,
    /// Groups side by side, each all of its clauses: a clause that does not hold leads to the next group. None while
    /// the cohort is faulty.
    pub clauses: Box<[Clause]>,
    /// Some group asks nothing.
    pub everyone: bool,
    pub fault: Option<String>,
    pub source: Box<str>,
}

impl Cohorts {
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&Cohort> {
        self.list.get(id as usize)?.as_deref()
    }

    pub(crate) fn named(&self, name: &str) -> Option<(u32, &Cohort)> {
        let id = *self.ids.get(name)?;
        Some((id, self.get(id)?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cohort> {
        self.ids.values().filter_map(|id| self.get(*id))
    }
}

impl Cohort {
    /// What a cohort of a single clause makes of its verdict.
    #[inline(always)]
    pub(crate) const fn by_one(verdict: Verdict) -> Verdict {
        match verdict {
            telling @ (Verdict::Yes | Verdict::NoKey | Verdict::Missing(_)) => telling,
            _ => Verdict::No,
        }
    }

    /// `Yes` if any group matches. Otherwise what would help most to know: that only a key was missing, then that an
    /// attribute was.
    #[inline(never)]
    pub(crate) fn judge<C: Context + ?Sized>(&self, context: &C, names: &[Arc<str>]) -> Verdict {
        if self.everyone {
            return Verdict::Yes;
        }
        let mut caller = Asked::new(context, names);
        if let [only] = &*self.clauses {
            return Self::by_one(only.kind.judge(&mut caller));
        }
        let (mut outcome, mut at) = (Verdict::No, 0);
        while let Some(clause) = self.clauses.get(at) {
            at += 1;
            match (clause.kind.judge(&mut caller), outcome) {
                (Verdict::Yes, _) if at == clause.next as usize => return Verdict::Yes,
                (Verdict::Yes, _) => continue,
                (Verdict::NoKey, _) => outcome = Verdict::NoKey,
                (missing @ Verdict::Missing(_), Verdict::No) => outcome = missing,
                _ => {}
            }
            at = clause.next as usize;
        }
        outcome
    }

    /// The canonical form that this was made of.
    pub(crate) fn model(&self) -> model::Cohort {
        // what does not read has never been compiled
        source::cohort(&self.source).unwrap_or_else(|_| model::Cohort { version: 0, any_of: Vec::new(), internal: false })
    }

    /// The place of the first group that matches.
    pub(crate) fn group<C: Context + ?Sized>(&self, context: &C, names: &[Arc<str>]) -> Option<usize> {
        let (mut caller, mut start) = (Asked::new(context, names), 0);
        self.model().any_of.iter().position(|group| {
            let clauses = self.clauses.get(start..start + group.len()).unwrap_or_default();
            start += group.len();
            clauses.iter().all(|clause| matches!(clause.kind.judge(&mut caller), Verdict::Yes))
        })
    }
}
