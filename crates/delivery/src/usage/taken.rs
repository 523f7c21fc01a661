//! Which batch of counts was last taken of each instance, so that one whose answer was lost on the way is counted once.

use std::collections::HashMap;

/// Instances of a generation. A batch comes every half minute from each, so one is forgotten only if it was silent while so many
/// others were not.
const EACH: usize = 50_000;

/// By instance, in two generations: when the young one is full, the old one is forgotten.
#[derive(Debug)]
pub(super) struct Taken {
    each: usize,
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Default for Taken {
    fn default() -> Self {
        Self { each: EACH, young: HashMap::new(), old: HashMap::new() }
    }
}

impl Taken {
    pub fn is_new(&mut self, instance: u64, number: u64) -> bool {
        let last = self.young.get(&instance).or_else(|| self.old.get(&instance));
        if last.is_some_and(|last| number <= *last) {
            return false;
        }
        if self.young.len() >= self.each && !self.young.contains_key(&instance) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(instance, number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_and_so_is_one_that_comes_late() {
        let mut taken = Taken::default();
        let said: Vec<bool> = [(1, 7), (1, 7), (2, 7), (1, 9), (1, 8), (1, 9), (1, 10)].map(|(instance, number)| taken.is_new(instance, number)).into();
        assert_eq!(said, [true, false, true, true, false, false, true]);
    }

    #[test]
    fn of_many_the_latest_are_known_and_no_more_than_there_is_room_for() {
        let mut taken = Taken { each: 10, ..Taken::default() };
        for instance in 0..1_000 {
            assert!(taken.is_new(instance, 1));
            assert!(taken.young.len() + taken.old.len() <= 20);
        }
        assert!((990..1_000).all(|instance| !taken.is_new(instance, 1)));
        assert!(taken.is_new(0, 1), "long forgotten");
    }
}
