//! Counts of evaluations, on their way from evaluators to whoever keeps them: by feature, variant and build, never by user.
//!
//! Gathered in memory, taken in batches, and bounded: what comes while there is no room is dropped, and counted as dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use greenroom_exposure::wire::follow::Count;
use greenroom_exposure::{Answer, Attribute, Context};

use crate::DataPlane;
use crate::feeds::{Feed, Feeds};

/// Combinations that are held until they are taken.
const ROOM: usize = 100_000;

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
    pub(crate) fn count(&self, environment: &Arc<str>, feed: &Feed, answer: &Answer<'_>, caller: &impl Context) {
        match build_of(caller) {
            None => feed.count(answer),
            build => self.usage.add([(Counted { environment: Arc::clone(environment), feature: answer.key().into(), variant: answer.variant().into(), build }, 1)]),
        }
    }
}

/// The counts that nobody has taken yet.
#[derive(Debug)]
pub struct Usage {
    room: usize,
    counts: Mutex<HashMap<Counted, u64>>,
    dropped: AtomicU64,
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
        Self { room, counts: Mutex::default(), dropped: AtomicU64::new(0) }
    }

    /// Adds a batch.
    pub fn add(&self, counts: impl IntoIterator<Item = (Counted, u64)>) {
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (counted, count) in counts {
            if let Some(known) = held.get_mut(&counted) {
                *known = known.saturating_add(count);
            } else if held.len() < self.room {
                held.insert(counted, count);
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
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A look at what the next [`Self::take`] gives.
    #[must_use]
    pub fn held(&self) -> HashMap<Counted, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    }
}
