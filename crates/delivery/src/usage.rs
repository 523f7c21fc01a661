//! Counts of evaluations, on their way from evaluators to whoever keeps them: by feature, variant and build, never by user.
//!
//! Gathered in memory, taken in batches, and bounded: what comes while there is no room is dropped, and counted as dropped.

mod taken;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use greenroom_exposure::wire::follow::Count;
use greenroom_exposure::{Answer, Attribute, Context};

use self::taken::Taken;
use crate::DataPlane;
use crate::feeds::{Feeds, Published};

/// Combinations that are held until they are taken.
const ROOM: usize = 100_000;
/// Threads add in parts of their own, as long as there are not more of them.
const PARTS: usize = 8;

/// Where this thread adds.
fn part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PARTS;
    }
    PART.with(|part| *part)
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Counted {
    pub environment: Arc<str>,
    pub feature: Arc<str>,
    pub variant: Arc<str>,
    /// `service@version` of the evaluating application, where it says so.
    pub build: Option<Arc<str>>,
}

/// `service@version`, where a caller says it.
fn build_of(caller: &impl Context) -> Option<Arc<str>> {
    let text = |name| match caller.attribute(name)? {
        Attribute::Text(text) => Some(text),
        _ => None,
    };
    Some(format!("{}@{}", text("app.service")?, text("app.version")?).into())
}

impl DataPlane {
    /// Counts an answer that one caller met.
    pub(crate) fn count(&self, environment: &Arc<str>, published: &Published, answer: &Answer<'_>, caller: &impl Context) {
        match build_of(caller) {
            None => published.count(answer),
            build => self.usage.add([(Counted { environment: Arc::clone(environment), feature: answer.key().into(), variant: answer.variant().into(), build }, 1)]),
        }
    }
}

/// The counts that nobody has taken yet.
#[derive(Debug)]
pub struct Usage {
    room: usize,
    parts: [Mutex<HashMap<Counted, u64>>; PARTS],
    /// Combinations in all parts: one may be in several.
    held: AtomicUsize,
    dropped: AtomicU64,
    taken: Mutex<Taken>,
}

impl Default for Usage {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Usage {
    /// `room`: combinations that are held at most.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { room, parts: Default::default(), held: AtomicUsize::new(0), dropped: AtomicU64::new(0), taken: Mutex::default() }
    }

    /// Whether this batch of an instance has not been taken before. From now on it has.
    #[must_use]
    pub(crate) fn is_new(&self, instance: u64, number: u64) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_new(instance, number)
    }

    /// Adds a batch.
    pub fn add(&self, counts: impl IntoIterator<Item = (Counted, u64)>) {
        let Some(part) = self.parts.get(part()) else { return };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        for (counted, count) in counts {
            if let Some(known) = part.get_mut(&counted) {
                *known = known.saturating_add(count);
            } else if self.held.load(Ordering::Relaxed) < self.room {
                self.held.fetch_add(1, Ordering::Relaxed);
                part.insert(counted, count);
            } else {
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Adds what was counted beside the answers of `feeds`.
    pub fn gather(&self, feeds: &Feeds) {
        for (environment, counted) in feeds.counted() {
            self.lost(counted.dropped);
            let key = |count: Count| (Counted { environment: Arc::clone(&environment), feature: count.feature.into(), variant: count.variant.into(), build: None }, count.count);
            self.add(counted.counts.into_iter().map(key));
        }
    }

    /// Says that some were not counted before they came here.
    pub fn lost(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Everything gathered since the last time.
    #[must_use]
    pub fn take(&self) -> HashMap<Counted, u64> {
        self.each(|part| {
            self.held.fetch_sub(part.len(), Ordering::Relaxed);
            std::mem::take(part)
        })
    }

    /// A look at what the next [`Self::take`] gives.
    #[must_use]
    pub fn held(&self) -> HashMap<Counted, u64> {
        self.each(|part| part.clone())
    }

    fn each(&self, mut read: impl FnMut(&mut HashMap<Counted, u64>) -> HashMap<Counted, u64>) -> HashMap<Counted, u64> {
        let mut all = HashMap::new();
        for part in &self.parts {
            for (counted, count) in read(&mut part.lock().unwrap_or_else(PoisonError::into_inner)) {
                let sum: &mut u64 = all.entry(counted).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        all
    }

    /// Evaluations that were not counted, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let usage = Usage::new(1);
        let counted = |variant: &str| Counted { environment: "production".into(), feature: "f".into(), variant: variant.into(), build: None };
        usage.add([(counted("on"), 2), (counted("off"), 3), (counted("on"), 1)]);
        assert_eq!((usage.take(), usage.dropped()), (HashMap::from([(counted("on"), 3)]), 3));
        assert!(usage.take().is_empty());
        usage.add([(counted("off"), 1)]);
        assert_eq!(usage.take().len(), 1, "what was taken makes room");
    }

    #[test]
    fn what_all_threads_added_is_taken_once() {
        let usage = Usage::default();
        let counted = |feature: usize| Counted { environment: "production".into(), feature: format!("f-{feature}").into(), variant: "on".into(), build: None };
        std::thread::scope(|scope| {
            for thread in 0..12 {
                let (usage, counted) = (&usage, &counted);
                scope.spawn(move || (0..1_000).for_each(|at| usage.add([(counted((at + thread) % 10), 1)])));
            }
        });
        let expected: HashMap<Counted, u64> = (0..10).map(|feature| (counted(feature), 1_200)).collect();
        assert_eq!((usage.held(), usage.take(), usage.take()), (expected.clone(), expected, HashMap::new()));
    }
}
