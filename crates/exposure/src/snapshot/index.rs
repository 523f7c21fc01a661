//! Slots by hash: eight bytes an entry, linear probing, at most half full, in shards that a change copies one by one.

use std::sync::Arc;

/// Entries per shard when an index is laid out; it is laid out anew once this has quadrupled.
const PER_SHARD: usize = 64;

/// All that is kept of a hash, and a slot.
#[derive(Debug, Clone, Copy)]
struct Place {
    tag: u32,
    slot: u32,
}

const FREE: Place = Place { tag: 0, slot: u32::MAX };

#[derive(Debug, Clone)]
struct Shard {
    /// A power of two of them; one at least is free, so that a probe ends.
    places: Arc<[Place]>,
    len: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Index {
    /// A power of two of them.
    shards: Arc<[Shard]>,
    len: usize,
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Places use the low bits of the tag, shards the high ones.
#[inline]
const fn shard(tag: u32, shards: usize) -> usize {
    (tag >> 16) as usize & shards.wrapping_sub(1)
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: Arc::new([Shard::with_room(0)]), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The first thing that `known` makes of a slot under this hash.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, known: impl Fn(u32) -> Option<T>) -> Option<T> {
        let tag = tag(hash);
        let places = &*self.shards.get(shard(tag, self.shards.len()))?.places;
        let mask = places.len().wrapping_sub(1);
        let mut at = tag as usize & mask;
        loop {
            let place = places.get(at)?;
            if place.slot == FREE.slot {
                return None;
            }
            if place.tag == tag
                && let Some(found) = known(place.slot)
            {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for many more at once.
    pub(super) fn reserve(&mut self, more: usize) {
        let wanted = ((self.len + more) / PER_SHARD).next_power_of_two();
        if wanted > self.shards.len() * 4 || (wanted > self.shards.len() && more >= self.len) {
            let mut shards = vec![Shard::with_room(PER_SHARD); wanted];
            for place in self.shards.iter().flat_map(|shard| shard.places.iter()).filter(|place| place.slot != FREE.slot) {
                if let Some(shard) = shards.get_mut(shard(place.tag, wanted)) {
                    shard.put(*place);
                }
            }
            self.shards = shards.into();
        }
    }

    /// Adds a slot that is not in it.
    pub(super) fn put(&mut self, hash: u64, slot: u32) {
        let tag = tag(hash);
        let shards = Arc::make_mut(&mut self.shards);
        if let Some(shard) = shards.get_mut(shard(tag, shards.len())) {
            shard.put(Place { tag, slot });
            self.len += 1;
        }
    }

    /// Takes out a slot that is in it.
    pub(super) fn drop(&mut self, hash: u64, slot: u32) {
        let shards = Arc::make_mut(&mut self.shards);
        if let Some(shard) = shards.get_mut(shard(tag(hash), shards.len())) {
            *shard = shard.without(slot);
            self.len -= 1;
        }
    }
}

impl Shard {
    fn with_room(entries: usize) -> Self {
        Self { places: vec![FREE; (entries * 2).next_power_of_two()].into(), len: 0 }
    }

    fn put(&mut self, place: Place) {
        if (self.len + 1) * 2 > self.places.len() {
            let mut grown = Self::with_room(self.len + 1);
            self.taken().for_each(|place| grown.put(place));
            *self = grown;
        }
        let places = Arc::make_mut(&mut self.places);
        let mask = places.len().wrapping_sub(1);
        let mut at = place.tag as usize & mask;
        while let Some(taken) = places.get_mut(at) {
            if taken.slot == FREE.slot {
                *taken = place;
                self.len += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// The rest is placed anew, which closes the gap.
    fn without(&self, slot: u32) -> Self {
        let mut rest = Self::with_room(self.len);
        self.taken().filter(|place| place.slot != slot).for_each(|place| rest.put(place));
        rest
    }

    fn taken(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied().filter(|place| place.slot != FREE.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_finds_what_was_put_and_nothing_else() {
        // Few distinct hashes: probing and dropping must survive collisions.
        let hash = |n: u32| u64::from(n % 7) << 32;
        let finds = |index: &Index, n: u32| index.find(hash(n), |slot| (slot == n).then_some(slot)).is_some();
        let mut index = Index::new();
        for n in 0..1_000 {
            index.reserve(1);
            index.put(hash(n), n);
        }
        let before = index.clone();
        (0..1_000).step_by(3).for_each(|n| index.drop(hash(n), n));
        assert_eq!((before.len(), index.len()), (1_000, 666));
        for n in 0..1_000 {
            assert_eq!((finds(&before, n), finds(&index, n)), (true, n % 3 != 0));
        }
        assert!(!finds(&Index::new(), 3) && !finds(&index, 1_000));
    }
}
