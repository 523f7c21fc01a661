//! How often which variant of which feature was served, counted beside the answers without holding them up.
//!
//! A count belongs to the key of a feature and the name of a variant, whatever snapshot the answer came from. What is
//! counted lies in memory set aside beforehand; an answer for which there is no room is counted as dropped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::evaluate::Answer;
use crate::hash::same;
use crate::program::Program;
use crate::wire::follow::Count;

/// Threads count in lanes of their own, as long as there are not more of them.
const LANES: usize = 8;
/// So many places are tried before an answer counts as dropped.
const TRIES: usize = 16;

/// Counts answers from any number of threads.
pub struct Counters {
    lanes: Box<[Lane]>,
    dropped: AtomicU64,
}

/// Lanes keep out of each other's cache lines.
#[repr(align(128))]
struct Lane(Mutex<Box<[Place]>>);

#[derive(Clone, Default)]
struct Place {
    count: u64,
    /// Which variant is counted here, if any is.
    of: Option<(Arc<Program>, u16)>,
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
        f.debug_struct("Counters").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

thread_local! {
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Where this thread counts.
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    LANE.get().unwrap_or_else(|| {
        let lane = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
        LANE.set(Some(lane));
        lane
    })
}

impl Counters {
    /// With room for about `room` variants between one [`Self::drain`] and the next.
    #[must_use]
    pub fn new(room: usize) -> Self {
        let places = room.saturating_mul(2).next_power_of_two().max(TRIES);
        let lane = || Lane(Mutex::new(vec![Place::default(); places].into()));
        Self { lanes: std::iter::repeat_with(lane).take(LANES).collect(), dropped: AtomicU64::new(0) }
    }

    /// Counts one answer. Nothing is allocated.
    #[inline]
    pub fn count(&self, answer: &Answer<'_>) {
        let (program, variant, hash) = answer.counted();
        let Some(mut places) = self.free() else { return };
        let mask = places.len().wrapping_sub(1);
        for at in (hash as usize..).take(TRIES) {
            let Some(place) = places.get_mut(at & mask) else { break };
            match &place.of {
                Some((other, theirs)) if is_same(program, variant, other, *theirs) => place.count += 1,
                Some(_) => continue,
                None => *place = Place { count: 1, of: Some((Arc::clone(program), variant)) },
            }
            return;
        }
        drop(places);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The lane of this thread, or another one if someone else is in it.
    #[inline]
    fn free(&self) -> Option<MutexGuard<'_, Box<[Place]>>> {
        let own = lane();
        for at in own..own + LANES {
            match self.lanes.get(at % LANES).map(|lane| lane.0.try_lock()) {
                Some(Ok(places)) => return Some(places),
                Some(Err(TryLockError::Poisoned(places))) => return Some(places.into_inner()),
                Some(Err(TryLockError::WouldBlock)) | None => {}
            }
        }
        Some(self.lanes.get(own)?.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes all counts out and starts anew. Each answer is in exactly one of the results.
    #[must_use]
    pub fn drain(&self) -> Counted {
        let mut taken: Vec<(Arc<Program>, u16, u64)> = Vec::new();
        for lane in &self.lanes {
            let mut places = lane.0.lock().unwrap_or_else(PoisonError::into_inner);
            taken.extend(places.iter_mut().map(std::mem::take).filter_map(|place| place.of.map(|(program, variant)| (program, variant, place.count))));
        }
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (program, variant, count) in &taken {
            *counts.entry((program.key(), program.name(*variant))).or_default() += count;
        }
        let counts = counts.into_iter().map(|((feature, variant), count)| Count { build: None, feature: feature.to_owned(), variant: variant.to_owned(), count });
        Counted { counts: counts.collect(), dropped: self.dropped.swap(0, Ordering::Relaxed) }
    }
}

/// Whether two programs' variants go by the same names. Mostly it is the same program.
#[inline]
fn is_same(program: &Arc<Program>, variant: u16, other: &Arc<Program>, theirs: u16) -> bool {
    (Arc::ptr_eq(program, other) && variant == theirs) || (same(program.key(), other.key()) && same(program.name(variant), other.name(theirs)))
}
