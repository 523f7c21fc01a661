//! What a model compiles into: features, rules and cohorts with their values looked up, sorted and hashed beforehand.
//!
//! Programs are immutable and refer to cohorts and other features by name or index, never by pointer, so that a snapshot
//! shares every program that a change does not touch.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::bucket::Bucketer;
use crate::context::{Attribute, Context};
use crate::fold::{self, Needle};
use crate::hash::{Table, hash};
use crate::instant::Instant;
use crate::model::{self, TARGETING_KEY};
use crate::version::Version;

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
    /// `{"key":"…",`: how an answer begins on the wire.
    pub opening: Box<str>,
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
    /// `"value":…,"variant":"…"`
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

    /// The bucket of the caller, or why there is none.
    #[inline]
    pub(crate) fn bucket<'s, C: Context + ?Sized>(&'s self, by: &Bucketer, context: &C) -> Result<u32, Verdict<'s>> {
        match self.of(context) {
            Some(Attribute::Text(value)) => Ok(by.bucket(value)),
            Some(_) => Err(Verdict::Mismatch("is not a text")),
            None => Err(match self {
                Self::TargetingKey => Verdict::NoKey,
                Self::Attribute(name) => Verdict::Missing(name),
            }),
        }
    }
}

/// How a clause went. Only `Yes` lets a rule match; the rest say why not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict<'s> {
    Yes,
    No,
    /// The caller did not give this attribute.
    Missing(&'s str),
    /// The attribute's value cannot be compared: it …
    Mismatch(&'static str),
    /// A share by targeting key, and the caller has none.
    NoKey,
}

impl Verdict<'_> {
    const fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl Clause {
    #[inline]
    pub(crate) fn judge<'s, C: Context + ?Sized>(&'s self, cohorts: &'s Cohorts, context: &C) -> Verdict<'s> {
        match &self.kind {
            Kind::Test(subject, test) => match (subject.of(context), test) {
                (given, Test::Absent) => Verdict::of(given.is_none()),
                (Some(given), test) => test.judge(given),
                (None, _) => Verdict::Missing(subject.name()),
            },
            Kind::Share(share) => match share.subject.bucket(&share.bucketer, context) {
                Ok(bucket) => Verdict::of(bucket < share.below),
                Err(verdict) => verdict,
            },
            Kind::Cohort(id) => cohorts.get(*id).map_or(Verdict::No, |cohort| cohort.judge(cohorts, context)),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Test {
    Present,
    Absent,
    In(Box<Members>),
    NotIn(Box<Members>),
    StartsWith(Texts),
    EndsWith(Texts),
    Contains(Box<[Box<str>]>),
    ContainsFolded(Box<[Needle]>),
    Regex(Box<[Regex]>),
    Number(Comparison, f64),
    Instant(Comparison, Instant),
    Version(Comparison, OwnedVersion),
    Address(Box<Networks>),
}

impl Test {
    #[inline]
    fn judge(&self, given: Attribute<'_>) -> Verdict<'static> {
        match self {
            Self::Present => Verdict::Yes,
            Self::Absent => Verdict::No,
            Self::In(members) => members.judge(given, true),
            Self::NotIn(members) => members.judge(given, false),
            Self::Number(comparison, value) => match given {
                Attribute::Number(number) if number.abs() > EXACT => Verdict::Mismatch("is beyond ±(2^53−1)"),
                Attribute::Number(number) => {
                    Verdict::of(number.partial_cmp(value).is_some_and(|o| comparison.holds(o)))
                }
                _ => Verdict::Mismatch("is not a number"),
            },
            text => match given {
                Attribute::Text(given) => text.judge_text(given),
                _ => Verdict::Mismatch("is not a text"),
            },
        }
    }

    fn judge_text(&self, given: &str) -> Verdict<'static> {
        match self {
            Self::StartsWith(texts) => Verdict::of(texts.any(given, str::starts_with, fold::starts_with)),
            Self::EndsWith(texts) => Verdict::of(texts.any(given, str::ends_with, fold::ends_with)),
            Self::Contains(texts) => Verdict::of(texts.iter().any(|text| given.contains(&**text))),
            Self::ContainsFolded(needles) => Verdict::of(needles.iter().any(|needle| needle.is_in(given))),
            Self::Regex(patterns) => Verdict::of(patterns.iter().any(|pattern| pattern.is_match(given))),
            Self::Instant(comparison, wanted) => match Instant::parse(given) {
                Some(instant) => Verdict::of(comparison.holds(instant.cmp(wanted))),
                None => Verdict::Mismatch("is not an RFC 3339 instant"),
            },
            Self::Version(comparison, wanted) => match Version::parse(given) {
                Some(version) => Verdict::of(comparison.holds(version.cmp(&wanted.borrow()))),
                None => Verdict::Mismatch("is not a semantic version"),
            },
            Self::Address(networks) => match given.parse::<IpAddr>() {
                Ok(address) => Verdict::of(networks.contain(address)),
                Err(_) => Verdict::Mismatch("is not an IP address"),
            },
            Self::Present | Self::Absent | Self::In(_) | Self::NotIn(_) | Self::Number(..) => Verdict::No,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ge => order.is_ge(),
            Self::Gt => order.is_gt(),
        }
    }
}

/// The values of an `in` or `not_in`, found in the same time however many they are.
#[derive(Debug)]
pub(crate) struct Members {
    pub texts: Table<Box<str>>,
    /// Whether texts are stored folded.
    pub fold: bool,
    /// Sorted.
    pub numbers: Box<[f64]>,
    pub yes: bool,
    pub no: bool,
}

impl Members {
    #[inline]
    fn judge(&self, given: Attribute<'_>, wanted: bool) -> Verdict<'static> {
        let member = match given {
            Attribute::Text(text) if self.fold => {
                self.texts.find(fold::hash_folded(text), |member| fold::equals(text, member)).is_some()
            }
            Attribute::Text(text) => self.texts.find(hash(text), |member| **member == *text).is_some(),
            Attribute::Number(number) if number.abs() > EXACT => return Verdict::Mismatch("is beyond ±(2^53−1)"),
            Attribute::Number(number) => {
                self.numbers.binary_search_by(|member| member.partial_cmp(&number).unwrap_or(Ordering::Less)).is_ok()
            }
            Attribute::Boolean(value) => {
                if value {
                    self.yes
                } else {
                    self.no
                }
            }
            Attribute::Compound => return Verdict::Mismatch("is a list or an object"),
        };
        Verdict::of(member == wanted)
    }
}

#[derive(Debug)]
pub(crate) struct Texts {
    pub fold: bool,
    /// Folded, if so.
    pub list: Box<[Box<str>]>,
}

impl Texts {
    fn any<'t>(&'t self, given: &str, exact: fn(&str, &'t str) -> bool, folded: fn(&str, &str) -> bool) -> bool {
        self.list.iter().any(|text| if self.fold { folded(given, text) } else { exact(given, text) })
    }
}

#[derive(Debug)]
pub(crate) struct OwnedVersion {
    pub core: [u64; 3],
    pub pre: Box<str>,
}

impl OwnedVersion {
    fn borrow(&self) -> Version<'_> {
        Version { core: self.core, pre: &self.pre }
    }
}

/// Disjoint, ascending ranges of addresses, both ends inside.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    pub v4: Box<[(u32, u32)]>,
    pub v6: Box<[(u128, u128)]>,
}

impl Networks {
    fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

fn within<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
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
    #[inline]
    fn judge<'s, C: Context + ?Sized>(&'s self, cohorts: &'s Cohorts, context: &C) -> Verdict<'s> {
        let mut outcome = Verdict::No;
        for group in &self.groups {
            let failed =
                group.iter().map(|clause| clause.judge(cohorts, context)).find(|verdict| *verdict != Verdict::Yes);
            match (failed, outcome) {
                (None, _) => return Verdict::Yes,
                (Some(Verdict::NoKey), _) => outcome = Verdict::NoKey,
                (Some(verdict @ Verdict::Missing(_)), Verdict::No) => outcome = verdict,
                _ => {}
            }
        }
        outcome
    }
}
