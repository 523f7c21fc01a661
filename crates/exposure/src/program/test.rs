//! Comparing one attribute with the values of a rule, which were read, sorted and hashed beforehand.

use std::cmp::Ordering;
use std::net::IpAddr;

use regex::Regex;

use super::{EXACT, Verdict};
use crate::context::Attribute;
use crate::fold::{self, Needle};
use crate::hash::{ByHash, Packed, Texts, Word};
use crate::instant::Instant;
use crate::version::Version;

#[derive(Debug)]
pub(crate) enum Test {
    Present,
    Absent,
    /// One of a few texts, or none of them. Comparing with a few is faster than hashing.
    Few(Box<[Word]>, bool),
    /// One of many texts, or none of them.
    Many(Box<Texts>, bool),
    /// A member or none, whatever its type and case.
    In(Box<Members>, bool),
    StartsWith(Affixes),
    EndsWith(Affixes),
    Contains(Box<[Box<str>]>),
    ContainsFolded(Box<[Needle]>),
    Regex(Box<[Regex]>),
    Number(Comparison, f64),
    Instant(Comparison, Instant),
    Version(Comparison, Box<OwnedVersion>),
    Address(Box<Networks>),
}

impl Test {
    #[inline]
    pub(super) fn judge(&self, given: Attribute<'_>) -> Verdict<'static> {
        match self {
            Self::Present => Verdict::Yes,
            Self::Absent => Verdict::No,
            Self::Few(words, wanted) => match given {
                Attribute::Text(text) => {
                    let packed = Packed::of(text);
                    Verdict::of(words.iter().any(|word| word.is(packed, text)) == *wanted)
                }
                other => no_text(other, *wanted),
            },
            Self::Many(texts, wanted) => match given {
                Attribute::Text(text) => Verdict::of(texts.contains(text) == *wanted),
                other => no_text(other, *wanted),
            },
            Self::In(members, wanted) => members.judge(given, *wanted),
            Self::Number(comparison, value) => match given {
                Attribute::Number(number) if number.abs() > EXACT => Verdict::Inexact,
                Attribute::Number(number) => Verdict::of(number.partial_cmp(value).is_some_and(|o| comparison.holds(o))),
                _ => Verdict::NotNumber,
            },
            text => match given {
                Attribute::Text(given) => text.judge_text(given),
                _ => Verdict::NotText,
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
            Self::Present | Self::Absent | Self::Few(..) | Self::Many(..) | Self::In(..) | Self::Number(..) => Verdict::No,
        }
    }
}

/// Anything but a text is no member of a list of texts.
fn no_text(given: Attribute<'_>, wanted: bool) -> Verdict<'static> {
    match given {
        Attribute::Number(number) if number.abs() > EXACT => Verdict::Inexact,
        Attribute::Compound => Verdict::Compound,
        Attribute::Text(_) | Attribute::Number(_) | Attribute::Boolean(_) => Verdict::of(!wanted),
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
    fn judge(&self, given: Attribute<'_>, wanted: bool) -> Verdict<'static> {
        let member = match given {
            Attribute::Text(text) => match &self.texts {
                Set::Exact(texts) => texts.contains(text),
                Set::Folded(texts) => texts.get(&fold::hash_folded(text)).is_some_and(|texts| texts.iter().any(|member| fold::equals(text, member))),
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
    Exact(Texts),
    /// Folded texts by their hash.
    Folded(ByHash<Vec<Box<str>>>),
}

/// Beginnings or ends.
#[derive(Debug)]
pub(crate) struct Affixes {
    pub fold: bool,
    /// Folded, if so.
    pub list: Box<[Box<str>]>,
}

impl Affixes {
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
