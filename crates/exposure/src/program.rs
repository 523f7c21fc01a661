//! What a model compiles into: features, rules and cohorts with their values looked up, sorted and hashed beforehand.
//!
//! Programs are immutable and refer to cohorts and other features by name or index, never by pointer, so that a snapshot
//! shares every program that a change does not touch.

mod test;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::bucket::Bucketer;
use crate::context::{Attribute, Context};
use crate::model::{self, TARGETING_KEY};

pub(crate) use self::test::{Comparison, Members, Networks, OwnedVersion, Set, Test, Texts};

/// Numbers beyond ±(2^53−1) are not exact on every wire, so no comparison holds for them.
pub(crate) const EXACT: f64 = 9_007_199_254_740_991.0;

#[derive(Debug)]
pub(crate) struct Program {
    pub key: Box<str>,
    pub hash: u64,
    pub slot: u32,
    pub gate: Gate,
    pub off: u16,
    pub default: u16,
    pub variants: Box<[Variant]>,
    pub prerequisites: Box<[Prerequisite]>,
    /// One per rule of the source, claims first.
    pub rules: Box<[Rule]>,
    pub source: Arc<model::Feature>,
}

impl Program {
    pub(crate) fn source_rule(&self, at: usize) -> Option<&model::Rule> {
        let claims = &self.source.claims;
        claims.get(at).or_else(|| self.source.baseline.get(at.checked_sub(claims.len())?))
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
pub(crate) struct Variant {
    pub name: Box<str>,
    pub value: Value,
    /// How an answer begins on the wire: `{"key":"…","value":…,"variant":"…","reason":"`.
    pub wire: Box<str>,
}

#[derive(Debug)]
pub(crate) struct Prerequisite {
    pub feature: Box<str>,
    pub hash: u64,
    /// What an answer is blocked by while this does not hold.
    pub label: Box<str>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub when: Box<[Clause]>,
    pub then: Then,
    pub blocked: bool,
    /// One of its own clauses is a share.
    pub shared: bool,
    /// How an answer by this rule ends on the wire: `,"rule":"…"`, its release and what blocks it, and the braces.
    pub wire: Box<str>,
}

#[derive(Debug)]
pub(crate) enum Then {
    Variant(u16),
    Split(Box<Split>),
}

#[derive(Debug)]
pub(crate) struct Split {
    pub subject: Subject,
    pub bucketer: Bucketer,
    /// Variant of all buckets below this one and not below the last.
    pub steps: Box<[(u32, u16)]>,
}

impl Split {
    /// The variant of whoever has `bucket`.
    pub(crate) fn pick(&self, bucket: u32) -> Option<u16> {
        self.steps.iter().find(|(below, _)| bucket < *below).map(|(_, variant)| *variant)
    }
}

#[derive(Debug)]
pub(crate) struct Clause {
    /// Its place in the source: shares are tried last.
    pub at: u16,
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Cohort(u32),
    Share(Box<Share>),
    Test(Subject, Test),
    Not(Subject, Test),
}

#[derive(Debug)]
pub(crate) struct Share {
    pub subject: Subject,
    pub bucketer: Bucketer,
    /// Buckets below this one are inside.
    pub below: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Subject {
    TargetingKey,
    Attribute(Arc<str>),
}

impl Subject {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::TargetingKey => TARGETING_KEY,
            Self::Attribute(name) => name,
        }
    }

    #[inline]
    pub(crate) fn of<'c, C: Context + ?Sized>(&self, context: &'c C) -> Option<Attribute<'c>> {
        match self {
            Self::TargetingKey => context.targeting_key().filter(|key| !key.is_empty()).map(Attribute::Text),
            Self::Attribute(name) => context.attribute(name),
        }
    }

    #[inline]
    fn judge<'s, C: Context + ?Sized>(&'s self, test: &'s Test, context: &C) -> Verdict<'s> {
        match (self.of(context), test) {
            (given, Test::Absent) => Verdict::of(given.is_none()),
            (Some(given), test) => test.judge(given),
            (None, _) => Verdict::Missing(self),
        }
    }

    /// The bucket of the caller, or why there is none.
    #[inline]
    pub(crate) fn bucket<'s, C: Context + ?Sized>(&'s self, by: &Bucketer, context: &C) -> Result<u32, Verdict<'s>> {
        match self.of(context) {
            Some(Attribute::Text(value)) => Ok(by.bucket(value)),
            Some(_) => Err(Verdict::NotText),
            None => Err(match self {
                Self::TargetingKey => Verdict::NoKey,
                Self::Attribute(_) => Verdict::Missing(self),
            }),
        }
    }
}

/// How a clause went. Only `Yes` lets a rule match; the rest say why not. Small enough to be returned in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict<'s> {
    Yes,
    No,
    /// The caller did not give this attribute.
    Missing(&'s Subject),
    /// A share by targeting key, and the caller has none.
    NoKey,
    NotText,
    NotNumber,
    NotInstant,
    NotVersion,
    NotAddress,
    /// A number beyond ±(2^53−1).
    Inexact,
    /// A list or an object.
    Compound,
}

impl Verdict<'_> {
    #[inline]
    const fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    /// What kept the attribute from being compared: it …
    pub(crate) const fn mismatch(&self) -> Option<&'static str> {
        Some(match self {
            Self::Yes | Self::No | Self::Missing(_) | Self::NoKey => return None,
            Self::NotText => "is not a text",
            Self::NotNumber => "is not a number",
            Self::NotInstant => "is not an RFC 3339 instant",
            Self::NotVersion => "is not a semantic version",
            Self::NotAddress => "is not an IP address",
            Self::Inexact => "is beyond ±(2^53−1)",
            Self::Compound => "is a list or an object",
        })
    }
}

impl Clause {
    #[inline]
    pub(crate) fn judge<'s, C: Context + ?Sized>(&'s self, cohorts: &'s Cohorts, context: &C) -> Verdict<'s> {
        match &self.kind {
            Kind::Test(subject, test) => subject.judge(test, context),
            Kind::Not(subject, test) => Verdict::of(!matches!(subject.judge(test, context), Verdict::Yes)),
            Kind::Share(share) => match share.subject.bucket(&share.bucketer, context) {
                Ok(bucket) => Verdict::of(bucket < share.below),
                Err(verdict) => verdict,
            },
            Kind::Cohort(id) => cohorts.get(*id).map_or(Verdict::No, |cohort| cohort.judge(cohorts, context)),
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
    /// Any of these, each all of its clauses; none while the cohort is faulty.
    pub groups: Box<[Box<[Clause]>]>,
    pub fault: Option<String>,
    pub source: Arc<model::Cohort>,
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
    /// `Yes` if any group matches. Otherwise what would help most to know: that only a key was missing, then that an
    /// attribute was.
    pub(crate) fn judge<'s, C: Context + ?Sized>(&'s self, cohorts: &'s Cohorts, context: &C) -> Verdict<'s> {
        let mut outcome = Verdict::No;
        'groups: for group in &self.groups {
            for clause in group {
                match (clause.judge(cohorts, context), outcome) {
                    (Verdict::Yes, _) => continue,
                    (Verdict::NoKey, _) => outcome = Verdict::NoKey,
                    (missing @ Verdict::Missing(_), Verdict::No) => outcome = missing,
                    _ => {}
                }
                continue 'groups;
            }
            return Verdict::Yes;
        }
        outcome
    }
}
