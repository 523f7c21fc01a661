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
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut state = SEED;
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    finish(state, rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)), text.len())
}

const fn finish(state: u64, tail: u64, len: usize) -> u64 {
    mix(mix(state, tail), len as u64 ^ SEED)
}

/// [`hash`] of a text that arrives in pieces.
#[derive(Default)]
pub(crate) struct Streamed {
    state: Option<u64>,
    tail: u64,
    len: usize,
}

impl Streamed {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.tail |= u64::from(*byte) << (8 * (self.len % 8));
            self.len += 1;
            if self.len.is_multiple_of(8) {
                self.state = Some(mix(self.state.unwrap_or(SEED), self.tail));
                self.tail = 0;
            }
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        finish(self.state.unwrap_or(SEED), self.tail, self.len)
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
    fn pieces_hash_like_the_whole() {
        for text in ["", "a", "12345678", "123456789", "the quick brown fox jumps over the lazy dog"] {
            for cut in 0..=text.len() {
                let mut streamed = Streamed::default();
                streamed.push(&text.as_bytes()[..cut]);
                streamed.push(&text.as_bytes()[cut..]);
                assert_eq!(streamed.finish(), hash(text), "{text} cut at {cut}");
            }
        }
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
