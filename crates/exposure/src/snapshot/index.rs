//! Slots by hash, in shards that a change copies one by one.

use std::sync::Arc;

use crate::table::Table;

/// Entries per shard when an index is laid out; it is laid out anew once this has quadrupled.
const PER_SHARD: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Index {
    /// A power of two of them.
    shards: Arc<[Table]>,
    len: usize,
}

/// Bits that neither the groups of a table nor its tags use.
#[inline]
const fn shard(hash: u64, shards: usize) -> usize {
    (hash >> 32) as usize & shards.wrapping_sub(1)
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: Arc::new([Table::with_room(0)]), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The first thing that `known` makes of a slot under this hash.
    #[inline(always)]
    pub(super) fn find<T>(&self, hash: u64, known: impl Fn(u32) -> Option<T>) -> Option<T> {
        self.shards.get(shard(hash, self.shards.len()))?.find(hash, known)
    }

    /// Makes room for many more at once.
    pub(super) fn reserve(&mut self, more: usize, hash_of: impl Fn(u32) -> u64) {
        let wanted = ((self.len + more) / PER_SHARD).next_power_of_two();
        if wanted > self.shards.len() * 4 || (wanted > self.shards.len() && more >= self.len) {
            let before = std::mem::replace(&mut self.shards, (0..wanted).map(|_| Table::with_room(PER_SHARD)).collect());
            self.len = 0;
            before.iter().flat_map(Table::numbers).for_each(|slot| self.put(hash_of(slot), slot, &hash_of));
        }
    }

    /// Adds a slot that is not in it. `hash_of` tells the hashes of those which are.
    pub(super) fn put(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let shards = Arc::make_mut(&mut self.shards);
        if let Some(shard) = shards.get_mut(shard(hash, shards.len())) {
            shard.put(hash, slot, hash_of);
            self.len += 1;
        }
    }

    /// Takes out a slot that is in it.
    pub(super) fn drop(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let shards = Arc::make_mut(&mut self.shards);
        if let Some(shard) = shards.get_mut(shard(hash, shards.len())) {
            *shard = shard.without(slot, hash_of);
            self.len -= 1;
        }
    }
}
