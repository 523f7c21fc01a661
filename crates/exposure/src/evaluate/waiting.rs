//! Features under way.

use crate::program::Entry;

/// Features that wait for one that they need, and at which step. Deeper than is sane, it takes memory.
pub(super) struct Waiting<'s> {
    some: [Option<(&'s Entry, usize)>; 32],
    len: usize,
    more: Vec<(&'s Entry, usize)>,
}

impl<'s> Waiting<'s> {
    pub(super) const fn new() -> Self {
        Self { some: [None; 32], len: 0, more: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: &'s Entry, step: usize) {
        match self.some.get_mut(self.len) {
            Some(place) => *place = Some((entry, step)),
            None => self.more.push((entry, step)),
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<(&'s Entry, usize)> {
        self.len = self.len.checked_sub(1)?;
        match self.some.get(self.len) {
            Some(place) => *place,
            None => self.more.pop(),
        }
    }
}
