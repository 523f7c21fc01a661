//! How often which variant of which feature was served, counted beside the answers without holding them up.
//!
//! A [`Board`] has a number for each variant of each feature, side by side, in a lane for each of a few threads: to count is to find
//! the feature's first number by its slot and to add one. Boards last as long as features and variants do. What they held is
//! kept by name until someone takes it; what there is no room for is counted as dropped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::evaluate::Answer;
use crate::snapshot::Snapshot;
use crate::wire::follow::Count;

/// Threads count in lanes of their own, as long as there are not more of them.
const LANES: usize = 8;
/// Variants that are counted, unless it is said otherwise: 800 kB for each lane that is used.
const ROOM: usize = 100_000;
/// The place of a feature that is not counted.
const NOWHERE: u32 = u32::MAX;

/// The counts of one environment, whatever its revision.
pub struct Counters {
    room: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The one in use last. Those before it are there until nobody can count on them any more.
    boards: Vec<(Arc<Board>, Snapshot)>,
    waiting: Waiting,
}

/// What was counted since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// In order of features and variants.
    pub counts: Vec<Count>,
    /// Answers for which there was no room.
    pub dropped: u64,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Counters {
    /// With room for so many variants.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { room, held: Mutex::default() }
    }

    /// Where answers of `snapshot` are counted, and of no other: get it once a revision, beside the snapshot. It is the same as
    /// long as features and variants are.
    #[must_use]
    pub fn board(&self, snapshot: &Snapshot) -> Arc<Board> {
        let mut held = self.held();
        if let Some((board, known)) = held.boards.last_mut().filter(|(_, known)| known.counts_like(snapshot)) {
            *known = snapshot.clone();
            return Arc::clone(board);
        }
        let board = Arc::new(Board::new(snapshot, self.room));
        held.boards.push((Arc::clone(&board), snapshot.clone()));
        held.read_out(self.room);
        board
    }

    /// Takes all counts out and starts anew. Each answer is in exactly one of the results.
    #[must_use]
    pub fn drain(&self) -> Counted {
        let mut held = self.held();
        held.read_out(self.room);
        let Waiting { counts, dropped } = std::mem::take(&mut held.waiting);
        let counts = counts.into_iter().map(|((feature, variant), count)| Count { build: None, feature, variant, count });
        Counted { counts: counts.collect(), dropped }
    }

    /// Takes back what could not be reported.
    pub fn give_back(&self, counted: Counted) {
        let mut held = self.held();
        for Count { feature, variant, count, .. } in counted.counts {
            held.waiting.add(feature, variant, count, self.room);
        }
        held.waiting.dropped = held.waiting.dropped.saturating_add(counted.dropped);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Empties all boards, and forgets those that are not in use.
    fn read_out(&mut self, room: usize) {
        let last = self.boards.len().saturating_sub(1);
        let mut at = 0;
        self.boards.retain(|(board, snapshot)| {
            // looked at before it is emptied: whoever holds it then may still count
            let used = at == last || Arc::strong_count(board) > 1;
            at += 1;
            board.read_out(snapshot, &mut self.waiting, room);
            used
        });
    }
}

#[derive(Default)]
struct Waiting {
    counts: BTreeMap<(String, String), u64>,
    dropped: u64,
}

impl Waiting {
    fn add(&mut self, feature: String, variant: String, count: u64, room: usize) {
        let (full, key) = (self.counts.len() >= room, (feature, variant));
        match self.counts.get_mut(&key) {
            Some(known) => *known = known.saturating_add(count),
            None if full => self.dropped = self.dropped.saturating_add(count),
            None => drop(self.counts.insert(key, count)),
        }
    }
}

/// Counts answers of one snapshot, and of those with the same features and variants, from any number of threads.
pub struct Board {
    /// Where a feature's variants begin, by its slot.
    starts: Box<[u32]>,
    /// How many are counted.
    variants: usize,
    /// Each is there once a thread has counted in it.
    lanes: [OnceLock<Box<[AtomicU64]>>; LANES],
    dropped: AtomicU64,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("variants", &self.variants).finish_non_exhaustive()
    }
}

/// Where this thread counts.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LANE.get().unwrap_or_else(|| {
        let lane = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
        LANE.set(Some(lane));
        lane
    })
}

impl Board {
    fn new(snapshot: &Snapshot, room: usize) -> Self {
        let (mut starts, mut variants) = (Vec::new(), 0);
        for (slot, program) in snapshot.programs() {
            starts.resize(slot, NOWHERE);
            let (start, more) = (u32::try_from(variants).unwrap_or(NOWHERE), program.names().len());
            if variants + more <= room {
                starts.push(start);
                variants += more;
            }
        }
        Self { starts: starts.into(), variants, lanes: [const { OnceLock::new() }; LANES], dropped: AtomicU64::new(0) }
    }

    /// Counts one answer. Nothing is allocated, but a lane by the first thread that counts in it.
    #[inline]
    pub fn count(&self, answer: &Answer<'_>) {
        let start = self.starts.get(answer.handle().index()).copied().unwrap_or(NOWHERE);
        let lane = self.lanes.get(lane()).map(|lane| lane.get_or_init(|| (0..self.variants).map(|_| AtomicU64::new(0)).collect()));
        // nowhere is past the end of every lane
        let number = lane.and_then(|lane| lane.get((start as usize).saturating_add(answer.variant_index())));
        number.unwrap_or(&self.dropped).fetch_add(1, Ordering::Relaxed);
    }

    fn read_out(&self, snapshot: &Snapshot, into: &mut Waiting, room: usize) {
        let lanes: Vec<&[AtomicU64]> = self.lanes.iter().filter_map(|lane| lane.get().map(|lane| &**lane)).collect();
        for (slot, program) in snapshot.programs() {
            let Some(start) = self.starts.get(slot).filter(|start| **start != NOWHERE) else { continue };
            for (at, variant) in program.names().enumerate() {
                let numbers = lanes.iter().filter_map(|lane| lane.get(*start as usize + at));
                let count: u64 = numbers.filter(|number| number.load(Ordering::Relaxed) > 0).map(|number| number.swap(0, Ordering::Relaxed)).sum();
                if count > 0 {
                    into.add(program.key().to_owned(), variant.to_owned(), count, room);
                }
            }
        }
        into.dropped = into.dropped.saturating_add(self.dropped.swap(0, Ordering::Relaxed));
    }
}
