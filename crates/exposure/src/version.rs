//! Precedence of Semantic Versioning 2.0 (§11) over borrowed text, so that a caller's version is compared without
//! allocating. Build metadata is checked and does not count.

use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub core: [u64; 3],
    /// Dot-separated identifiers; empty for a release.
    pub pre: &'a str,
}

impl<'a> Version<'a> {
    /// `None` unless the text is a version to the letter: no leading `v`, no missing part, no leading zero.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (text, build) = split(text, '+');
        let (core, pre) = split(text, '-');
        if build.is_some_and(|build| !build.split('.').all(identifier)) || !pre.is_none_or(|pre| pre.split('.').all(pre_identifier)) {
            return None;
        }
        let mut parts = core.split('.');
        let core = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
        parts.next().is_none().then_some(Self { core, pre: pre.unwrap_or("") })
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn number(text: &str) -> Option<u64> {
    numeric(text).then(|| text.parse().ok()).flatten()
}

fn numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn pre_identifier(text: &str) -> bool {
    identifier(text) && (numeric(text) || !text.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_identifiers(self.pre, other.pre),
        })
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Numbers by size and below words, words by ASCII; the longer list wins among equals.
fn compare_identifiers(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (numeric(a), numeric(b)) {
                // Without leading zeros the longer number is the larger, whatever its size.
                (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_order_of_the_specification() {
        let order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "2.0.0", "10.0.0"];
        for pair in order.windows(2) {
            assert!(Version::parse(pair[0]) < Version::parse(pair[1]), "{pair:?}");
        }
        assert_eq!(Version::parse("1.0.0+linux.1").cmp(&Version::parse("1.0.0+mac")), Ordering::Equal);
    }

    proptest! {
        /// The `semver` crate reads and orders the same.
        #[test]
        fn agrees_with_the_semver_crate(
            one in "(v?[0-9]{1,3}\\.[0-9]{1,2}\\.[0-9](-[0-9a-b.-]{0,6})?(\\+[0-9a.-]{0,3})?|[0-9.]{0,6})",
            other in "[0-2]\\.[0-2]\\.[0-2](-[0-9a-b.]{1,4})?",
        ) {
            let theirs = (semver::Version::parse(&one), semver::Version::parse(&other));
            let ours = (Version::parse(&one), Version::parse(&other));
            prop_assert_eq!(ours.0.is_some(), theirs.0.is_ok(), "{}", one);
            if let ((Some(a), Some(b)), (Ok(x), Ok(y))) = (ours, theirs) {
                prop_assert_eq!(a.cmp(&b), x.cmp_precedence(&y), "{} and {}", one, other);
            }
        }
    }
}
