//! Comparing text without regard to case: Unicode *simple* case folding, one character to one, without allocating.

use std::cmp::Ordering;

use crate::hash::Streamed;
use crate::table::Table;

/// The simple case folding of a character (statuses C and S of Unicode's `CaseFolding.txt`), up to the choice of the
/// representative: two characters fold alike here exactly if they do there. Turkic mappings are not used.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        // Dotless i is on its own, although its upper case is `I`.
        'ı' => 'ı',
        // Pairs without a simple case mapping between them.
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => only(only(c, c.to_uppercase()), only(c, c.to_uppercase()).to_lowercase()),
    }
}

/// The single character of a mapping, or `c` where it maps to several.
fn only(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

pub(crate) fn folded(text: &str) -> String {
    text.chars().map(fold).collect()
}

/// A hash of the text as [`folded`], for tables of such texts.
pub(crate) fn hash_folded(text: &str) -> u64 {
    let mut streamed = Streamed::default();
    for c in text.chars() {
        streamed.push(fold(c).encode_utf8(&mut [0; 4]).as_bytes());
    }
    streamed.finish()
}

/// Folded texts, of which one is found in the same time however many they are.
#[derive(Debug)]
pub(crate) struct FoldedWords {
    table: Table,
    texts: Box<[Box<str>]>,
}

impl FoldedWords {
    /// Of texts that, folded, differ from each other.
    pub(crate) fn new(texts: Vec<String>) -> Self {
        Self { table: Table::of(texts.iter().map(|text| hash_folded(text))), texts: texts.into_iter().map(String::into_boxed_str).collect() }
    }

    pub(crate) fn contain(&self, text: &str) -> bool {
        self.table.find(hash_folded(text), |at| self.texts.get(at as usize).filter(|folded| equals(text, folded))).is_some()
    }
}

/// Whether `text` folds to `needle`, which is folded already.
pub(crate) fn equals(text: &str, needle: &str) -> bool {
    text.chars().map(fold).cmp(needle.chars()) == Ordering::Equal
}

pub(crate) fn starts_with(text: &str, needle: &str) -> bool {
    begins(text.chars().map(fold), needle.chars())
}

pub(crate) fn ends_with(text: &str, needle: &str) -> bool {
    begins(text.chars().rev().map(fold), needle.chars().rev())
}

fn begins(mut text: impl Iterator<Item = char>, needle: impl Iterator<Item = char>) -> bool {
    needle.into_iter().all(|c| text.next() == Some(c))
}

/// A folded text to look for inside others, in linear time (Knuth, Morris, Pratt).
#[derive(Debug)]
pub(crate) struct Needle {
    chars: Box<[char]>,
    /// Length of the longest proper prefix that also ends at this character.
    border: Box<[usize]>,
}

impl Needle {
    pub(crate) fn new(text: &str) -> Self {
        let chars: Box<[char]> = text.chars().map(fold).collect();
        let mut border: Vec<usize> = Vec::with_capacity(chars.len());
        for (at, c) in chars.iter().enumerate() {
            let next = if at == 0 { 0 } else { step(&chars, &border, border.last().copied().unwrap_or(0), *c) };
            border.push(next);
        }
        Self { chars, border: border.into() }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        let mut held = 0;
        self.chars.is_empty()
            || text.chars().map(fold).any(|c| {
                held = step(&self.chars, &self.border, held, c);
                held == self.chars.len()
            })
    }
}

/// How much of the needle is matched after `c`, given that `held` characters were before it.
fn step(chars: &[char], border: &[usize], mut held: usize, c: char) -> usize {
    loop {
        if chars.get(held) == Some(&c) {
            return held + 1;
        }
        match held.checked_sub(1).and_then(|last| border.get(last)) {
            Some(shorter) => held = *shorter,
            None => return 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// The regex engine carries Unicode's own folding table: what it gives a case variant must agree with ours. Letters
    /// younger than that table are no words to it, and left out.
    #[test]
    fn agrees_with_the_unicode_table() {
        let known = Regex::new(r"^\w$").unwrap();
        let cased = |c: &char| fold(*c) != *c || c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c]);
        let cased: Vec<char> = (0..=0x1_ffff).filter_map(char::from_u32).filter(|c| cased(c) && known.is_match(c.encode_utf8(&mut [0; 4]))).collect();
        assert!(cased.len() > 2_700, "{}", cased.len());
        for some in cased.chunks(64) {
            let pattern: String = some.iter().map(|c| format!(r"\x{{{:x}}}", u32::from(*c))).collect();
            let pattern = Regex::new(&format!("(?i)^{pattern}$")).unwrap();
            assert!(pattern.is_match(&some.iter().copied().map(fold).collect::<String>()), "{some:?}");
        }
        for c in cased {
            for other in [only(c, c.to_lowercase()), only(c, c.to_uppercase())] {
                if fold(c) != fold(other) {
                    let pattern = Regex::new(&format!(r"(?i)^\x{{{:x}}}$", u32::from(c))).unwrap();
                    assert!(!pattern.is_match(&other.to_string()), "{c:?} and {other:?}");
                }
            }
        }
    }

    #[test]
    fn folds_beyond_ascii() {
        assert!(equals("ΣΊΣΥΦΟΣ", &folded("σίσυφος")));
        assert!(equals("Straẞe", &folded("straße")) && !equals("strasse", &folded("straße")));
        assert!(starts_with("ÉCOLE normale", &folded("éco")) && ends_with("grande ÉCOLE", &folded("école")));
    }

    proptest! {
        #[test]
        fn a_needle_is_found_exactly_where_it_is(text in "[abAB]{0,12}", needle in "[abAB]{0,4}") {
            prop_assert_eq!(Needle::new(&needle).is_in(&text), folded(&text).contains(&folded(&needle)));
        }

        #[test]
        fn folded_comparisons_agree_with_folding_first(text in "\\PC{0,8}", needle in "\\PC{0,3}") {
            let (whole, part) = (folded(&text), folded(&needle));
            prop_assert_eq!(hash_folded(&text), hash_folded(&whole));
            prop_assert_eq!(equals(&text, &part), whole == part);
            prop_assert_eq!(starts_with(&text, &part), whole.starts_with(&part));
            prop_assert_eq!(ends_with(&text, &part), whole.ends_with(&part));
        }
    }
}
