//! How often and how long: every wait of a follower in one place.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Before the first attempt to connect anew; it doubles with each that fails. What the server asks for counts where that
    /// is longer.
    pub first: Duration,
    /// At most.
    pub most: Duration,
    /// A stream that says nothing for this long is broken: three times what the server promises.
    pub silence: Duration,
    /// Between two reports of counts.
    pub report: Duration,
    /// How long a start waits for a first snapshot.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            most: Duration::from_secs(30),
            silence: Duration::from_secs(45),
            report: Duration::from_secs(30),
            patience: Duration::from_secs(10),
        }
    }
}

impl Pace {
    /// Before the attempt after `failures` in a row: between half of what is due and all of it, so that those whom one
    /// failure has hit do not come back as one.
    pub(super) fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        let due = doubled.max(asked.unwrap_or_default()).min(self.most);
        // keyed anew each time: this is all the randomness that spreading needs
        let share = RandomState::new().hash_one(failures) as f64 / u64::MAX as f64;
        due.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_are_spread() {
        let pace = Pace { first: Duration::from_millis(100), most: Duration::from_secs(2), ..Pace::default() };
        for (failures, asked, due) in [(0, None, 100), (1, None, 200), (3, None, 800), (9, None, 2_000), (40, None, 2_000), (0, Some(1_000), 1_000), (0, Some(9_000), 2_000)] {
            let pauses: Vec<u128> = (0..100).map(|_| pace.pause(failures, asked.map(Duration::from_millis)).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (due / 2..=due).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.iter().max() > pauses.iter().min(), "{failures}: {pauses:?}");
        }
    }
}
