//! Comparing one attribute with the values of a rule, which were read, sorted and hashed beforehand.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use regex::Regex;

use super::{EXACT, Given, Verdict};
use crate::context::Attribute;
use crate::fold::{self, FoldedWords, Needle};
use crate::hash::{Packed, Words, ends_with, starts_with};
use crate::instant::Instant;
use crate::version::Version;

/// Cheap to clone: values are shared.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Present,
    Absent,
    /// One of a few short texts, or none of them. Comparing with a few is faster than hashing.
    Few(Arc<[Packed]>, bool),
    /// One of many texts, or none of them.
    Many(Arc<Words>, bool),
    /// A member or none, whatever its type and case.
    In(Arc<Members>, bool),
    StartsWith(Arc<[Box<str>]>),
    EndsWith(Arc<[Box<str>]>),
    /// Folded, as the next.
    StartsWithFolded(Arc<[Box<str>]>),
    EndsWithFolded(Arc<[Box<str>]>),
    Contains(Arc<[Box<str>]>),
    ContainsFolded(Arc<[Needle]>),
    Regex(Arc<[Regex]>),
    Number(Comparison, f64),
    Instant(Comparison, Instant),
    Version(Comparison, Arc<OwnedVersion>),
    Address(Arc<Networks>),
}

impl Test {
    #[inline]
    pub(super) fn judge(&self, given: &Given<'_>) -> Verdict {
        match given.text {
            Some(text) => self.judge_text(text, given.packed),
            None => self.judge_other(given.other),
        }
    }

    /// The tests that people write most are judged in place.
    #[inline(always)]
    pub(super) fn judge_text(&self, text: &str, packed: Packed) -> Verdict {
        match self {
            Self::Few(words, wanted) => Verdict::of(words.contains(&packed) == *wanted),
            Self::Many(words, wanted) => Verdict::of(words.contain(packed, text) == *wanted),
            _ => self.judge_text_at_length(text),
        }
    }

    /// What is not a text.
    #[inline(never)]
    pub(super) fn judge_other(&self, given: Option<Attribute<'_>>) -> Verdict {
        let Some(given) = given else { return Verdict::of(matches!(self, Self::Absent)) };
        match (self, given) {
            (Self::Present, _) => Verdict::Yes,
            (Self::Absent, _) => Verdict::No,
            (Self::In(members, wanted), given) => members.judge(given, *wanted),
            (Self::Few(..) | Self::Many(..) | Self::Number(..), Attribute::Number(number)) if number.abs() > EXACT => Verdict::Inexact,
            (Self::Few(..) | Self::Many(..), Attribute::Compound) => Verdict::Compound,
            // Anything but a text is no member of a list of texts.
            (Self::Few(_, wanted) | Self::Many(_, wanted), _) => Verdict::of(!wanted),
            (Self::Number(comparison, value), Attribute::Number(number)) => Verdict::of(number.partial_cmp(value).is_some_and(|order| comparison.holds(order))),
            (Self::Number(..), _) => Verdict::NotNumber,
            _ => Verdict::NotText,
        }
    }

    #[inline(never)]
    fn judge_text_at_length(&self, given: &str) -> Verdict {
        match self {
            Self::Present => Verdict::Yes,
            Self::In(members, wanted) => members.judge(Attribute::Text(given), *wanted),
            Self::EndsWith(texts) => Verdict::of(texts.iter().any(|end| ends_with(given, end))),
            Self::StartsWith(texts) => Verdict::of(texts.iter().any(|beginning| starts_with(given, beginning))),
            Self::StartsWithFolded(texts) => Verdict::of(texts.iter().any(|text| fold::starts_with(given, text))),
            Self::EndsWithFolded(texts) => Verdict::of(texts.iter().any(|text| fold::ends_with(given, text))),
            Self::Contains(texts) => Verdict::of(texts.iter().any(|text| given.contains(&**text))),
            Self::ContainsFolded(needles) => Verdict::of(needles.iter().any(|needle| needle.is_in(given))),
            Self::Regex(patterns) => Verdict::of(patterns.iter().any(|pattern| pattern.is_match(given))),
            Self::Instant(comparison, wanted) => match Instant::parse(given) {
                Some(instant) => Verdict::of(comparison.holds(instant.cmp(wanted))),
                None => Verdict::NotInstant,
            },
            Self::Version(comparison, wanted) => match Version::parse(given) {
                Some(version) => Verdict::of(comparison.holds(version.cmp(&wanted.borrow()))),
                None => Verdict::NotVersion,
            },
            Self::Address(networks) => match given.parse::<IpAddr>() {
                Ok(address) => Verdict::of(networks.contain(address)),
                Err(_) => Verdict::NotAddress,
            },
            Self::Number(..) => Verdict::NotNumber,
            Self::Absent | Self::Few(..) | Self::Many(..) => Verdict::No,
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

/// The values of an `in` or `not_in` that are not all texts, or not all as they are written.
#[derive(Debug)]
pub(crate) struct Members {
    pub texts: Set,
    /// Sorted.
    pub numbers: Box<[f64]>,
    pub yes: bool,
    pub no: bool,
}

impl Members {
    fn judge(&self, given: Attribute<'_>, wanted: bool) -> Verdict {
        let member = match given {
            Attribute::Text(text) => match &self.texts {
                Set::Exact(texts) => texts.contain(Packed::of(text), text),
                Set::Folded(texts) => texts.contain(text),
            },
            Attribute::Number(number) if number.abs() > EXACT => return Verdict::Inexact,
            Attribute::Number(number) => self.numbers.binary_search_by(|member| member.partial_cmp(&number).unwrap_or(Ordering::Less)).is_ok(),
            Attribute::Boolean(true) => self.yes,
            Attribute::Boolean(false) => self.no,
            Attribute::Compound => return Verdict::Compound,
        };
        Verdict::of(member == wanted)
    }
}

#[derive(Debug)]
pub(crate) enum Set {
    Exact(Words),
    Folded(FoldedWords),
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
