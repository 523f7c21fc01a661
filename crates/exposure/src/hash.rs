//! A fast hash over text and a small open-addressing table, for lookups that cost the same at any size.
//!
//! The hash is not keyed. What is *stored* comes from configuration, not from callers, so a caller can at worst pick a
//! value that probes a few entries.

use std::sync::Arc;

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const K: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(state: u64, word: u64) -> u64 {
    let wide = ((state ^ word) as u128).wrapping_mul(K as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

pub(crate) fn hash(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let tail = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // The end is read as a whole, again in part where it overlaps what comes before.
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)),
        _ => bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    };
    let (words, _) = bytes.as_chunks::<8>();
    finish(words.iter().fold(SEED, |state, word| mix(state, u64::from_le_bytes(*word))), tail, bytes.len())
}

const fn finish(state: u64, tail: u64, len: usize) -> u64 {
    mix(mix(state, tail), len as u64 ^ SEED)
}

/// A hash of a text that arrives in pieces; another one than [`hash`].
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
                self.state = mix(self.state ^ SEED, self.word);
            }
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        finish(self.state ^ SEED, self.word, self.len)
    }
}

/// Entries by hash, linear probing, at most half full; a clone shares them until one side is edited.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    slots: Arc<[Option<(u64, T)>]>,
    len: usize,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Arc::new([]), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.position(hash, is).and_then(|at| self.slots.get(at)?.as_ref()).map(|(_, item)| item)
    }

    #[inline]
    fn position(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        while let Some((other, item)) = self.slots.get(at)?.as_ref() {
            if *other == hash && is(item) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

impl<T: Clone> Table<T> {
    /// From items known to differ from each other.
    pub(crate) fn from_distinct(items: Vec<(u64, T)>) -> Self {
        let len = items.len();
        let mut slots: Vec<Option<(u64, T)>> = vec![None; capacity(len)];
        for item in items {
            place(&mut slots, item);
        }
        Self { slots: slots.into(), len }
    }

    /// Empty, and with room for as many items as given before it grows.
    pub(crate) fn with_room(items: usize) -> Self {
        Self { slots: vec![None; capacity(items)].into(), len: 0 }
    }

    /// Adds an item, or replaces the one that `is` recognises.
    pub(crate) fn put(&mut self, hash: u64, item: T, is: impl Fn(&T) -> bool) {
        let known = self.position(hash, is);
        if known.is_none() {
            self.len += 1;
            if capacity(self.len) > self.slots.len() {
                let items = self.slots.iter().flatten().cloned().chain([(hash, item)]).collect();
                *self = Self::from_distinct(items);
                return;
            }
        }
        let slots = Arc::make_mut(&mut self.slots);
        match known.and_then(|at| slots.get_mut(at)) {
            Some(slot) => *slot = Some((hash, item)),
            None => place(slots, (hash, item)),
        }
    }

    /// Takes the item that `is` recognises out; the rest is placed anew, which closes the gap. Whether there was one.
    pub(crate) fn drop(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> bool {
        let known = self.position(hash, is);
        if let Some(gone) = known {
            let rest = self.slots.iter().enumerate().filter(|(at, _)| *at != gone).filter_map(|(_, slot)| slot.clone());
            *self = Self::from_distinct(rest.collect());
        }
        known.is_some()
    }
}

impl<T> Table<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|(_, item)| item)
    }
}

/// At least one slot stays free, so that a probe ends.
fn capacity(len: usize) -> usize {
    if len == 0 { 0 } else { (len * 2).next_power_of_two() }
}

fn place<T>(slots: &mut [Option<(u64, T)>], item: (u64, T)) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = item.0 as usize & mask;
    while let Some(slot) = slots.get_mut(at) {
        if slot.is_none() {
            *slot = Some(item);
            return;
        }
        at = (at + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut seen = std::collections::BTreeMap::new();
        let mut streamed_seen = std::collections::BTreeMap::new();
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

    #[test]
    fn a_table_finds_what_was_put_and_nothing_else() {
        let mut table = Table::new();
        for n in 0..1_000_u32 {
            // Few distinct hashes: probing and replacing must survive collisions.
            table.put(u64::from(n % 7), n, |item| *item == n);
            table.put(u64::from(n % 7), n, |item| *item == n);
        }
        assert_eq!(table.len(), 1_000);
        let before = table.clone();
        for n in (0..1_000).step_by(3) {
            table.drop(u64::from(n % 7), |item| *item == n);
        }
        for n in 0..1_000 {
            assert_eq!(table.find(u64::from(n % 7), |item| *item == n).is_some(), n % 3 != 0);
            assert!(before.find(u64::from(n % 7), |item| *item == n).is_some());
        }
        assert_eq!(table.iter().count(), table.len());
        assert!(Table::<u32>::new().find(3, |_| true).is_none());
    }
}
