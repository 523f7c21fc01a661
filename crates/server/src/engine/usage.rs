//! Counts of evaluations on their way from the data plane into the ledger's side table: some with each flush, a day's
//! together in a row, and given back when a flush failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenroom_delivery::{Counted, Feeds, Usage};
use greenroom_domain::time::{At, Span};
use greenroom_ledger::UsageRow;

/// How often what the data plane gathered is taken.
const EVERY: Span = Span::secs(30);
/// Rows of one flush at most, so that nobody's command waits for them.
const ROWS: usize = 500;
/// Days that are kept.
pub const KEPT: i32 = 400;

const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 UTC.
#[must_use]
pub fn day_of(at: At) -> i32 {
    i32::try_from(at.0.div_euclid(DAY)).unwrap_or(i32::MAX)
}

/// What is not in the ledger yet.
pub struct Counts {
    usage: Arc<Usage>,
    feeds: Arc<Feeds>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    rows: Vec<UsageRow>,
    taken: At,
}

impl Counts {
    #[must_use]
    pub fn new(usage: Arc<Usage>, feeds: Arc<Feeds>) -> Self {
        Self { usage, feeds, waiting: Mutex::default() }
    }

    /// What belongs into the flush of this moment; `all` when there is no later one.
    pub fn due(&self, now: At, all: bool) -> Vec<UsageRow> {
        let mut waiting = self.waiting();
        if all || now.since(waiting.taken) >= EVERY {
            waiting.taken = now;
            self.usage.gather(&self.feeds);
            let day = day_of(now);
            waiting.rows.extend(self.usage.take().into_iter().map(|(counted, count)| row(&counted, day, count)));
        }
        let from = if all { 0 } else { waiting.rows.len().saturating_sub(ROWS) };
        waiting.rows.split_off(from)
    }

    /// Takes back what was not written.
    pub fn back(&self, rows: Vec<UsageRow>) {
        self.waiting().rows.extend(rows);
    }

    /// A look at all of it.
    #[must_use]
    pub fn held(&self, now: At) -> Vec<UsageRow> {
        let day = day_of(now);
        self.usage.gather(&self.feeds);
        let held: HashMap<Counted, u64> = self.usage.held();
        self.waiting().rows.iter().cloned().chain(held.iter().map(|(counted, count)| row(counted, day, *count))).collect()
    }

    /// Evaluations that were not counted, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.usage.dropped()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(counted: &Counted, day: i32, count: u64) -> UsageRow {
    let Counted { environment, feature, variant, build } = counted;
    UsageRow {
        feature: feature.to_string(),
        variant: variant.to_string(),
        build: build.as_deref().unwrap_or_default().to_owned(),
        environment: environment.to_string(),
        day,
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_portions_and_a_failed_flush_loses_none() {
        let usage = Arc::new(Usage::default());
        let counts = Counts::new(Arc::clone(&usage), Arc::default());
        let counted = |n: usize| Counted { environment: "production".into(), feature: format!("f{n}").into(), variant: "on".into(), build: None };
        usage.add((0..ROWS + 1).map(|n| (counted(n), 2)));
        let now = At(3 * DAY);
        assert_eq!(counts.held(now).len(), ROWS + 1);
        let first = counts.due(now, false);
        assert_eq!((first.len(), first[0].day), (ROWS, 3));
        counts.back(first);
        assert_eq!(counts.held(now).iter().map(|row| row.count).sum::<u64>(), 2 * (ROWS as u64 + 1));
        assert_eq!((counts.due(now, false).len(), counts.due(now, false).len(), counts.due(now, false).len()), (ROWS, 1, 0));
        usage.add([(counted(1), 1)]);
        assert!(counts.due(now + Span::secs(29), false).is_empty(), "not yet");
        assert_eq!((counts.due(now + Span::secs(30), false).len(), counts.held(now).len()), (1, 0));
    }
}
