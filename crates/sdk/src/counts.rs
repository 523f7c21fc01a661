//! Counts of answers by feature and variant, never by user: added to by every thread without waiting, taken now and then.
//!
//! One board of counters serves as long as features and variants stay the same; each processor has its own row of it.
//! What was taken and could not be reported is held, up to a bound, and what exceeds it is counted as dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use greenroom_exposure::wire::follow::Count;
use greenroom_exposure::{Answer, Snapshot};

/// Counters of one board, all rows together: 8 MiB.
const CELLS: usize = 1 << 20;
const ROWS: usize = 16;
/// Feature and variant, of what waits to be reported.
const WAITING: usize = 20_000;
/// The slot of no feature that is counted.
const NOWHERE: u32 = u32::MAX;

/// What is counted where, the same for all rows.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    /// Where a feature's variants begin, by its slot.
    starts: Vec<u32>,
    /// Key and variant of each counter.
    names: Vec<(Arc<str>, Arc<str>)>,
}

impl Layout {
    fn of(snapshot: &Snapshot) -> Self {
        let mut layout = Self { starts: Vec::new(), names: Vec::new() };
        for key in snapshot.keys() {
            let (Some(slot), Some(variants)) = (snapshot.resolve(key).map(greenroom_exposure::Handle::index), snapshot.variants(key)) else { continue };
            if layout.names.len() + variants.len() > CELLS {
                break;
            }
            if layout.starts.len() <= slot {
                layout.starts.resize(slot + 1, NOWHERE);
            }
            if let (Some(place), Ok(start)) = (layout.starts.get_mut(slot), u32::try_from(layout.names.len())) {
                *place = start;
            }
            let shared: Arc<str> = key.into();
            layout.names.extend(variants.map(|variant| (Arc::clone(&shared), variant.into())));
        }
        layout
    }
}

#[derive(Debug)]
pub(crate) struct Board {
    layout: Layout,
    rows: Vec<Box<[AtomicU64]>>,
    /// Answers for which there is no counter.
    dropped: AtomicU64,
}

impl Board {
    fn new(layout: Layout) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let fit = CELLS / layout.names.len().max(1);
        let rows = (0..processors.min(ROWS).min(fit).max(1)).map(|_| layout.names.iter().map(|_| AtomicU64::new(0)).collect()).collect();
        Self { layout, rows, dropped: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn count(&self, answer: &Answer<'_>) {
        let cell = self.layout.starts.get(answer.handle().index()).filter(|start| **start != NOWHERE).and_then(|start| {
            let row = self.rows.get(row() % self.rows.len().max(1))?;
            row.get(*start as usize + answer.variant_index())
        });
        cell.unwrap_or(&self.dropped).fetch_add(1, Ordering::Relaxed);
    }

    fn drain(&self, into: &mut Waiting) {
        for (at, (feature, variant)) in self.layout.names.iter().enumerate() {
            let count: u64 = self.rows.iter().filter_map(|row| row.get(at)).filter(|cell| cell.load(Ordering::Relaxed) > 0).map(|cell| cell.swap(0, Ordering::Relaxed)).sum();
            if count > 0 {
                into.add(feature, variant, count);
            }
        }
        into.dropped += self.dropped.swap(0, Ordering::Relaxed);
    }
}

/// Of this thread: neighbours take turns, so that few share one.
fn row() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static ROW: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    ROW.with(|row| *row)
}

#[derive(Debug, Default)]
struct Waiting {
    counts: HashMap<(Arc<str>, Arc<str>), u64>,
    dropped: u64,
}

impl Waiting {
    fn add(&mut self, feature: &Arc<str>, variant: &Arc<str>, count: u64) {
        let room = self.counts.len() < WAITING;
        match self.counts.get_mut(&(Arc::clone(feature), Arc::clone(variant))) {
            Some(known) => *known = known.saturating_add(count),
            None if room => drop(self.counts.insert((Arc::clone(feature), Arc::clone(variant)), count)),
            None => self.dropped = self.dropped.saturating_add(count),
        }
    }
}

/// The board in use, those that some thread may still hold, and what waits to be reported.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<(Vec<Arc<Board>>, Waiting)>);

impl Counts {
    /// The board for answers of `snapshot`: the one in use, if that fits.
    pub(crate) fn board(&self, snapshot: &Snapshot) -> Arc<Board> {
        let layout = Layout::of(snapshot);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(board) = held.0.last().filter(|board| board.layout == layout) {
            return Arc::clone(board);
        }
        let board = Arc::new(Board::new(layout));
        held.0.push(Arc::clone(&board));
        board
    }

    /// Everything counted since the last time, and how many answers were not.
    pub(crate) fn take(&self) -> (Vec<Count>, u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (boards, waiting) = &mut *held;
        let last = boards.len().saturating_sub(1);
        let mut at = 0;
        boards.retain(|board| {
            // looked at before it is drained: whoever holds it then may still count
            let used = at == last || Arc::strong_count(board) > 1;
            at += 1;
            board.drain(waiting);
            used
        });
        let count = |((feature, variant), count): ((Arc<str>, Arc<str>), u64)| Count { feature: feature.to_string(), variant: variant.to_string(), count, build: None };
        (waiting.counts.drain().map(count).collect(), std::mem::take(&mut waiting.dropped))
    }

    /// Takes back what could not be reported.
    pub(crate) fn give_back(&self, counts: &[Count], dropped: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for count in counts {
            held.1.add(&count.feature.as_str().into(), &count.variant.as_str().into(), count.count);
        }
        held.1.dropped = held.1.dropped.saturating_add(dropped);
    }
}

#[cfg(test)]
mod tests {
    use greenroom_exposure::{Anonymous, Model};
    use serde_json::json;

    use super::*;

    fn snapshot(revision: u64, features: &[&str]) -> Snapshot {
        let feature = json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "on"});
        let features: serde_json::Map<_, _> = features.iter().map(|key| ((*key).to_owned(), feature.clone())).collect();
        let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": "production", "revision": revision, "features": features})).unwrap();
        Snapshot::compile(&model).0
    }

    fn taken(counts: &Counts) -> Vec<(String, String, u64)> {
        let mut taken: Vec<_> = counts.take().0.into_iter().map(|count| (count.feature, count.variant, count.count)).collect();
        taken.sort();
        taken
    }

    fn of(feature: &str, count: u64) -> (String, String, u64) {
        (feature.to_owned(), "on".to_owned(), count)
    }

    #[test]
    fn what_all_threads_counted_is_taken_once() {
        let (counts, snapshot) = (Counts::default(), snapshot(1, &["a", "b"]));
        let board = counts.board(&snapshot);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| board.count(&snapshot.evaluate("b", &Anonymous).unwrap())));
            }
        });
        assert_eq!(taken(&counts), [of("b", 8_000)]);
        assert_eq!(taken(&counts), []);
        counts.give_back(&[Count { feature: "b".to_owned(), variant: "on".to_owned(), count: 3, build: None }], 0);
        board.count(&snapshot.evaluate("b", &Anonymous).unwrap());
        assert_eq!(taken(&counts), [of("b", 4)]);
    }

    #[test]
    fn a_board_is_replaced_when_features_are_and_loses_nothing() {
        let counts = Counts::default();
        let (one, other) = (snapshot(1, &["a"]), snapshot(2, &["a", "b"]));
        let before = counts.board(&one);
        assert!(Arc::ptr_eq(&before, &counts.board(&snapshot(3, &["a"]))), "a revision of the same features needs no other");
        let after = counts.board(&other);
        before.count(&one.evaluate("a", &Anonymous).unwrap());
        after.count(&other.evaluate("b", &Anonymous).unwrap());
        assert_eq!(taken(&counts), [of("a", 1), of("b", 1)]);
        before.count(&one.evaluate("a", &Anonymous).unwrap());
        drop(before);
        assert_eq!(taken(&counts), [of("a", 1)]);
        assert_eq!(counts.0.lock().unwrap().0.len(), 1);
    }
}
