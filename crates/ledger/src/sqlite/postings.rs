//! Which events concern a term (a subject or an actor).
//!
//! An index row per event and subject would dirty a random page for each, which halves the
//! append rate. So the newest events' terms stay in memory as sorted chunks of numbers, and a run
//! of 65,536 events, once complete, is written by and by in term order, one row per term, behind
//! the rows of the run before. A restart rebuilds what was not written from the events themselves.

use std::collections::VecDeque;

/// Events of a run; an offset in it fits 16 bits.
pub(super) const RUN: u64 = 1 << 16;
/// Entries after which the open chunk is sorted.
const CHUNK: usize = 4096;

/// Two kinds of term share one number space.
pub(super) fn subject_term(id: u64) -> u64 {
    id << 1
}

pub(super) fn actor_term(id: u32) -> u64 {
    u64::from(id) << 1 | 1
}

/// The run an event belongs to, and its place there.
pub(super) fn place(seq: u64) -> (u64, u64) {
    let index = seq.saturating_sub(1);
    (index / RUN, index % RUN)
}

/// What is not in the file yet: `runs[0]` is the run `first`, the last one is still growing.
/// An entry is the term with the offset in its low 16 bits.
pub(super) struct Tail {
    first: u64,
    runs: VecDeque<Vec<Box<[u64]>>>,
    open: Vec<u64>,
    last: u64,
}

/// How far the oldest run in memory has been written: a cursor into each of its chunks.
#[derive(Clone, Default)]
pub(super) struct Written {
    cursors: Vec<usize>,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail::starting_at(0)
    }
}

impl Tail {
    pub(super) fn starting_at(first: u64) -> Tail {
        Tail { first, runs: VecDeque::from([Vec::new()]), open: Vec::new(), last: first * RUN }
    }

    /// The first run that must be looked for here and not in the file.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The last event known here; a later one may be in the file already.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Entries come in order of seq.
    pub(super) fn push(&mut self, term: u64, seq: u64) {
        let (run, offset) = place(seq);
        while self.first + self.runs.len() as u64 <= run {
            self.seal();
            self.runs.push_back(Vec::new());
        }
        self.last = seq;
        self.open.push((term << 16) | offset);
        if self.open.len() >= CHUNK {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let mut chunk = std::mem::take(&mut self.open);
        chunk.sort_unstable();
        chunk.dedup();
        if let Some(run) = self.runs.back_mut().filter(|_| !chunk.is_empty()) {
            run.push(chunk.into_boxed_slice());
        }
    }

    /// Every seq in memory that concerns the term, ascending.
    pub(super) fn find(&self, term: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for (run, chunks) in (self.first..).zip(&self.runs) {
            for chunk in chunks {
                let start = chunk.partition_point(|entry| entry >> 16 < term);
                let hits = chunk.iter().skip(start);
                found.extend(hits.take_while(|entry| *entry >> 16 == term).map(|entry| seq_of(run, *entry)));
            }
        }
        let last = self.first + (self.runs.len() as u64).saturating_sub(1);
        let open = self.open.iter().filter(|entry| *entry >> 16 == term);
        found.extend(open.map(|entry| seq_of(last, *entry)));
        found.dedup();
        found
    }

    /// Goes on writing the oldest run, if it is complete: gives about `budget` rows of (run, term,
    /// offsets) to `emit` and says whether that was the last of them. `None`: nothing to write.
    pub(super) fn write_some<E>(&self, written: &mut Written, budget: usize, mut emit: impl FnMut(u64, u64, &[u8]) -> Result<(), E>) -> Result<Option<Finished>, E> {
        let Some(chunks) = self.runs.front().filter(|_| self.runs.len() > 1) else {
            return Ok(None);
        };
        written.cursors.resize(chunks.len(), 0);
        let mut offsets = Vec::new();
        for _ in 0..budget {
            let heads = chunks.iter().zip(&written.cursors);
            let Some(term) = heads.filter_map(|(chunk, at)| chunk.get(*at)).map(|entry| entry >> 16).min() else {
                return Ok(Some(Finished(true)));
            };
            offsets.clear();
            let mut previous = 0;
            for (chunk, at) in chunks.iter().zip(&mut written.cursors) {
                while let Some(entry) = chunk.get(*at).filter(|entry| **entry >> 16 == term) {
                    let offset = entry & 0xffff;
                    put_number(&mut offsets, offset - previous);
                    previous = offset;
                    *at += 1;
                }
            }
            emit(self.first, term, &offsets)?;
        }
        Ok(Some(Finished(false)))
    }

    /// The oldest run is in the file for good.
    pub(super) fn forget_first(&mut self) {
        self.runs.pop_front();
        self.first += 1;
    }
}

/// Whether a run is written to its end.
pub(super) struct Finished(pub(super) bool);

fn seq_of(run: u64, entry: u64) -> u64 {
    run * RUN + (entry & 0xffff) + 1
}

/// The seqs of a stored row, ascending.
pub(super) fn stored_seqs(run: u64, offsets: &[u8]) -> impl Iterator<Item = u64> {
    let mut offset = 0;
    numbers(offsets).map(move |delta| {
        offset += delta;
        run * RUN + offset + 1
    })
}

/// Unsigned LEB128.
pub(super) fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// The numbers of a list; a torn last one is left out.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let mut bytes = bytes.iter();
    std::iter::from_fn(move || {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(list in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut bytes = Vec::new();
            list.iter().for_each(|n| put_number(&mut bytes, *n));
            prop_assert_eq!(numbers(&bytes).collect::<Vec<_>>(), list);
        }

        #[test]
        fn a_run_is_written_whole_whatever_the_slices(
            terms in prop::collection::vec(0u64..200, 1..2000), budget in 1usize..60,
        ) {
            let mut tail = Tail::default();
            let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (n, term) in terms.iter().enumerate() {
                let seq = n as u64 / 2 + 1;
                tail.push(*term, seq);
                let seqs = expected.entry(*term).or_default();
                if seqs.last() != Some(&seq) { seqs.push(seq); }
            }
            for (term, seqs) in &expected {
                prop_assert_eq!(&tail.find(*term), seqs);
            }
            tail.push(7, RUN + 1);
            let (mut written, mut rows) = (Written::default(), BTreeMap::new());
            loop {
                let finished = tail.write_some(&mut written, budget, |run, term, offsets| {
                    rows.insert(term, stored_seqs(run, offsets).collect::<Vec<_>>());
                    Ok::<_, ()>(())
                }).unwrap().unwrap();
                if finished.0 { break }
            }
            prop_assert_eq!(rows, expected);
            tail.forget_first();
            prop_assert_eq!(tail.find(7), vec![RUN + 1]);
        }
    }
}
