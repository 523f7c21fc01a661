//! When to start again what was live: at once, and ever later while it does not last.
//!
//! Kept in memory only: after a restart of the server everything has its first time again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greenroom_domain::id::PlacementKey;

/// Pause after the first time; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);
/// Healthy for this long: what was before is forgotten.
const FORGET: Duration = Duration::from_secs(120);
/// What was started again and again is said to be back after this time.
const LASTS: Duration = Duration::from_secs(20);

/// Placements that had to be started again lately.
#[derive(Debug, Default)]
pub(super) struct Revivals(Mutex<HashMap<PlacementKey, Revival>>);

#[derive(Debug)]
struct Revival {
    times: u32,
    under_way: bool,
    due: Instant,
    healthy_since: Option<Instant>,
}

impl Revivals {
    fn lock(&self) -> MutexGuard<'_, HashMap<PlacementKey, Revival>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all others.
    pub(super) fn retain(&self, keep: impl Fn(&PlacementKey) -> bool) {
        self.lock().retain(|key, revival| revival.under_way || keep(key));
    }

    /// Notes how it looks; false while it comes and goes.
    pub(super) fn sees(&self, key: &PlacementKey, healthy: bool, now: Instant) -> bool {
        let mut revivals = self.lock();
        let Some(revival) = revivals.get_mut(key) else { return true };
        if !healthy {
            revival.healthy_since = None;
            return revival.times < 2;
        }
        let lasted = now.saturating_duration_since(*revival.healthy_since.get_or_insert(now));
        let steady = revival.times < 2 || lasted >= LASTS;
        if lasted >= FORGET && !revival.under_way {
            revivals.remove(key);
        }
        steady
    }

    /// Whether to start it again now, and for which time; whoever does says [`Revivals::end`] afterwards.
    pub(super) fn begin(&self, key: &PlacementKey, now: Instant) -> Option<u32> {
        let mut revivals = self.lock();
        let revival = revivals.entry(key.clone()).or_insert(Revival { times: 0, under_way: false, due: now, healthy_since: None });
        if revival.under_way || now < revival.due {
            return None;
        }
        revival.under_way = true;
        revival.times = revival.times.saturating_add(1);
        Some(revival.times)
    }

    /// It was tried; says how long the next time has to wait.
    pub(super) fn end(&self, key: &PlacementKey, now: Instant) -> Duration {
        let mut revivals = self.lock();
        let Some(revival) = revivals.get_mut(key) else { return FIRST };
        let pause = FIRST.saturating_mul(1 << revival.times.saturating_sub(1).min(16)).min(LONGEST);
        revival.under_way = false;
        revival.due = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use greenroom_domain::id::Name;

    use super::*;

    fn web() -> PlacementKey {
        let name = |text| Name::new(text).unwrap();
        PlacementKey { environment: name("test"), target: name("here"), service: name("web") }
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_are_forgotten_after_two_good_ones() {
        let (revivals, key) = (Revivals::default(), web());
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for time in 1..=10 {
            assert_eq!(revivals.begin(&key, now), Some(time));
            assert_eq!(revivals.begin(&key, now + LONGEST), None, "it is under way");
            let pause = revivals.end(&key, now);
            assert_eq!(revivals.begin(&key, now + pause - Duration::from_millis(1)), None);
            now += pause;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);

        assert!(!revivals.sees(&key, true, now));
        assert!(!revivals.sees(&key, false, now + LASTS), "gone again");
        assert!(!revivals.sees(&key, true, now + LASTS));
        assert!(revivals.sees(&key, true, now + 2 * LASTS), "it lasts");
        assert!(revivals.sees(&key, true, now + LASTS + FORGET));
        assert_eq!(revivals.begin(&key, now + LASTS + FORGET), Some(1), "forgotten");
        revivals.retain(|_| false);
        assert_eq!(revivals.begin(&key, now + LONGEST), None, "still under way");
        revivals.end(&key, now);
        revivals.retain(|_| false);
        assert_eq!(revivals.begin(&key, now), Some(1));
    }

    #[test]
    fn a_single_death_is_said_at_once() {
        let (revivals, key) = (Revivals::default(), web());
        let now = Instant::now();
        assert!(revivals.sees(&key, false, now));
        revivals.begin(&key, now);
        revivals.end(&key, now);
        assert!(revivals.sees(&key, true, now));
    }
}
