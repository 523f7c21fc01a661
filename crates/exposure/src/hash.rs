//! Texts that hash and compare as two words, and sets of them.
//!
//! The hash is not keyed. What is *stored* comes from configuration, not from callers, so a caller can at worst pick a
//! value that probes a few entries.

use crate::table::Table;

const ONE: u64 = 0x243f_6a88_85a3_08d3;
const OTHER: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(one: u64, other: u64) -> u64 {
    let wide = (one as u128).wrapping_mul(other as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// A text as two words: wholly, with its length, if it is short; else its beginning and a mark that it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u64, u64);

impl Packed {
    const LONG: u64 = 0xff << 56;
    pub(crate) const EMPTY: Self = Self(0, 0);

    #[inline]
    pub(crate) fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    #[inline]
    fn of_bytes(bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64) << 56;
        // The end is read as a whole, again in part where it overlaps what comes before.
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), _) if bytes.len() > 15 => Self(u64::from_le_bytes(*first), Self::LONG),
            // What overlaps is shifted out, in two steps, as all of it may be.
            (Some(first), Some(last)) => Self(u64::from_le_bytes(*first), length | u64::from_le_bytes(*last) >> 8 >> (8 * (15 - bytes.len() as u32))),
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => Self(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() as u32 - 4)), length),
                _ => Self(bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)), length),
            },
        }
    }

    /// Whether equal words do not yet make equal texts.
    #[inline]
    pub(crate) const fn is_long(self) -> bool {
        self.1 == Self::LONG
    }

    /// The hash of the text that this was made of.
    #[inline]
    pub(crate) fn hash(self, text: &str) -> u64 {
        self.hash_bytes(text.as_bytes())
    }

    #[inline]
    fn hash_bytes(self, bytes: &[u8]) -> u64 {
        if self.is_long() { long(bytes) } else { mix(self.0 ^ ONE, self.1 ^ OTHER) }
    }
}

fn long(bytes: &[u8]) -> u64 {
    let both = |state: u64, block: &[u8; 16]| {
        let block = u128::from_le_bytes(*block);
        mix(state ^ block as u64, (block >> 64) as u64 ^ OTHER)
    };
    let (blocks, _) = bytes.as_chunks::<16>();
    let state = blocks.iter().fold(ONE ^ (bytes.len() as u64).wrapping_mul(OTHER), both);
    bytes.last_chunk::<16>().map_or(state, |last| both(state.rotate_left(23), last))
}

/// Whether two texts are equal, without a call where they are short.
#[inline]
pub(crate) fn same(one: &str, other: &str) -> bool {
    same_bytes(one.as_bytes(), other.as_bytes())
}

#[inline]
pub(crate) fn starts_with(text: &str, beginning: &str) -> bool {
    text.as_bytes().get(..beginning.len()).is_some_and(|own| same_bytes(own, beginning.as_bytes()))
}

#[inline]
pub(crate) fn ends_with(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.and_then(|start| text.as_bytes().get(start..)).is_some_and(|own| same_bytes(own, end.as_bytes()))
}

#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let eight = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let four = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    if a.len() > 16 {
        a == b
    } else if let (Some(a1), Some(a2), Some(b1), Some(b2)) = (a.first_chunk(), a.last_chunk(), b.first_chunk(), b.last_chunk()) {
        (eight(a1) ^ eight(b1)) | (eight(a2) ^ eight(b2)) == 0
    } else if let (Some(a1), Some(a2), Some(b1), Some(b2)) = (a.first_chunk(), a.last_chunk(), b.first_chunk(), b.last_chunk()) {
        (four(a1) ^ four(b1)) | (four(a2) ^ four(b2)) == 0
    } else {
        a.iter().zip(b).all(|(a, b)| a == b)
    }
}

/// A text kept for comparing: without memory of its own while it is short.
#[derive(Debug)]
pub(crate) struct Word {
    packed: Packed,
    long: Box<str>,
}

impl Word {
    pub(crate) fn new(text: &str) -> Self {
        let packed = Packed::of(text);
        Self { packed, long: if packed.is_long() { text.into() } else { Box::default() } }
    }

    /// `packed` is that of `text`.
    #[inline(always)]
    pub(crate) fn is(&self, packed: Packed, text: &str) -> bool {
        self.packed == packed && (!packed.is_long() || *self.long == *text)
    }
}

/// Texts of which one is found in the same time however many they are.
#[derive(Debug)]
pub(crate) struct Words {
    table: Table,
    words: Box<[Word]>,
}

impl Words {
    /// Of texts that differ from each other.
    pub(crate) fn new(texts: &[&str]) -> Self {
        Self { table: Table::of(texts.iter().map(|text| Packed::of(text).hash(text))), words: texts.iter().map(|text| Word::new(text)).collect() }
    }

    /// `packed` is that of `text`.
    #[inline(always)]
    pub(crate) fn contain(&self, packed: Packed, text: &str) -> bool {
        self.table.find(packed.hash(text), |at| self.words.get(at as usize).filter(|word| word.is(packed, text))).is_some()
    }
}

/// A hash of a text that arrives in pieces; another one than [`Packed::hash`].
#[derive(Default)]
pub(crate) struct Streamed {
    state: u64,
    word: u64,
    len: usize,
}

impl Streamed {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.word = (self.word << 8) | u64::from(*byte);
            self.len += 1;
            if self.len.is_multiple_of(8) {
                self.state = mix(self.state ^ ONE ^ self.word, OTHER);
            }
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        mix(mix(self.state ^ ONE ^ self.word, OTHER) ^ self.len as u64, OTHER)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(text: &str) -> u64 {
        Packed::of(text).hash(text)
    }

    #[test]
    fn pieces_hash_alike_however_they_are_cut() {
        let of = |pieces: &[&str]| {
            let mut streamed = Streamed::default();
            pieces.iter().for_each(|piece| streamed.push(piece.as_bytes()));
            streamed.finish()
        };
        let text = "the quick brown fox";
        for cut in 0..=text.len() {
            assert_eq!(of(&[&text[..cut], &text[cut..]]), of(&[text]), "cut at {cut}");
        }
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let (mut seen, mut streamed_seen) = (BTreeMap::new(), BTreeMap::new());
        for length in 0..40 {
            for changed in 0..=length {
                let text: String = (0..length).map(|at| if at == changed { 'b' } else { 'a' }).collect();
                let mut streamed = Streamed::default();
                streamed.push(text.as_bytes());
                assert_eq!(seen.entry(hash(&text)).or_insert_with(|| text.clone()), &text);
                assert_eq!(streamed_seen.entry(streamed.finish()).or_insert_with(|| text.clone()), &text);
            }
        }
        assert_eq!(seen.len(), 820);
    }

    proptest! {
        #[test]
        fn words_are_equal_exactly_where_texts_are(one in "[ab\\x00é]{0,20}", other in "[ab\\x00é]{0,20}") {
            for (one, other) in [(&one, &other), (&one, &one.clone())] {
                prop_assert_eq!(same(one, other), one == other);
                prop_assert_eq!(starts_with(one, other), one.starts_with(other.as_str()));
                prop_assert_eq!(ends_with(one, other), one.ends_with(other.as_str()));
                prop_assert_eq!(Word::new(one).is(Packed::of(other), other), one == other);
                prop_assert_eq!(hash(one) == hash(other), one == other);
            }
        }

        #[test]
        fn sets_hold_what_they_are_made_of(texts in proptest::collection::btree_set("[ab]{0,18}", 0..40), other in "[ab]{0,18}") {
            let words = Words::new(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for text in texts.iter().chain([&other]) {
                prop_assert_eq!(words.contain(Packed::of(text), text), texts.contains(text));
            }
        }
    }
}
