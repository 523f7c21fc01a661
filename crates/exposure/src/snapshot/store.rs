//! Where programs are kept: found by key through a sharded hash table, or by slot through chunks.
//!
//! An edit copies the shards and chunks that it touches, some dozens of pointers each, and shares the rest: at 10,000
//! features a change of one costs microseconds. A slot stays with its feature until that is dropped.

use std::sync::Arc;

use crate::hash::{Table, hash};
use crate::program::Program;

const CHUNK: usize = 64;
/// Features per shard when a store is laid out; it is laid out anew once this has quadrupled.
const PER_SHARD: usize = 32;

type Shard = Table<Arc<Program>>;
type Chunk = [Option<Arc<Program>>; CHUNK];

/// A feature of a snapshot, looked up once. It also serves later snapshots made from that one, as long as the feature
/// was not dropped in between; a handle of something else answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) slot: u32,
    pub(crate) hash: u64,
}

impl Handle {
    /// A small number that no other feature of the snapshot has: an index for counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// A power of two of them.
    shards: Arc<[Shard]>,
    chunks: Arc<[Arc<Chunk>]>,
    /// Slots below the end of the last chunk that nobody has.
    free: Arc<[u32]>,
    len: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { shards: Arc::new([Table::new()]), chunks: Arc::new([]), free: Arc::new([]), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn by_key(&self, key: &str) -> Option<&Arc<Program>> {
        self.by_hashed_key(hash(key), key)
    }

    #[inline]
    pub(crate) fn by_hashed_key(&self, hash: u64, key: &str) -> Option<&Arc<Program>> {
        self.shards.get(shard(hash, self.shards.len()))?.find(hash, |program| *program.key == *key)
    }

    #[inline]
    pub(crate) fn by_handle(&self, handle: Handle) -> Option<&Program> {
        let slot = handle.slot as usize;
        let program = self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_deref()?;
        (program.hash == handle.hash).then_some(program)
    }

    /// In order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Program> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten()).map(|program| &**program)
    }

    pub(crate) fn edit(&self, more: usize) -> Edit {
        let grown = self.len + more;
        let wanted = (grown / PER_SHARD).next_power_of_two();
        let shards = if wanted > self.shards.len() * 4 || (wanted > self.shards.len() && more >= self.len) {
            let mut shards: Vec<Shard> = (0..wanted).map(|_| Table::with_room(PER_SHARD)).collect();
            for program in self.shards.iter().flat_map(Table::iter) {
                place(&mut shards, program);
            }
            shards
        } else {
            self.shards.to_vec()
        };
        Edit { shards, chunks: self.chunks.to_vec(), free: self.free.to_vec(), len: self.len }
    }
}

/// Tables use the low bits of the hash, shards the high ones.
#[inline]
const fn shard(hash: u64, shards: usize) -> usize {
    (hash >> 40) as usize & (shards - 1)
}

fn place(shards: &mut [Shard], program: &Arc<Program>) {
    let at = shard(program.hash, shards.len());
    if let Some(shard) = shards.get_mut(at) {
        shard.put(program.hash, Arc::clone(program), |other| other.key == program.key);
    }
}

/// A store being changed. The one that it came from does not see it.
pub(crate) struct Edit {
    shards: Vec<Shard>,
    chunks: Vec<Arc<Chunk>>,
    free: Vec<u32>,
    len: usize,
}

impl Edit {
    /// A slot that nobody has, to be filled by [`Self::put`].
    pub(crate) fn slot(&mut self) -> u32 {
        if self.free.is_empty() {
            let start = (self.chunks.len() * CHUNK) as u32;
            self.chunks.push(Arc::new([const { None }; CHUNK]));
            self.free.extend((start..start + CHUNK as u32).rev());
        }
        self.free.pop().unwrap_or_default()
    }

    pub(crate) fn put(&mut self, program: &Arc<Program>) {
        let before: usize = self.shard(program.hash).map_or(0, |shard| shard.len());
        place(&mut self.shards, program);
        self.len += self.shard(program.hash).map_or(0, |shard| shard.len()) - before;
        self.fill(program.slot, Some(Arc::clone(program)));
    }

    pub(crate) fn drop(&mut self, program: &Program) {
        let gone = self.shard(program.hash).is_some_and(|shard| shard.drop(program.hash, |other| other.key == program.key));
        if gone {
            self.len -= 1;
            self.fill(program.slot, None);
            self.free.push(program.slot);
        }
    }

    pub(crate) fn finish(self) -> Store {
        Store { shards: self.shards.into(), chunks: self.chunks.into(), free: self.free.into(), len: self.len }
    }

    fn shard(&mut self, hash: u64) -> Option<&mut Shard> {
        let at = shard(hash, self.shards.len());
        self.shards.get_mut(at)
    }

    fn fill(&mut self, slot: u32, with: Option<Arc<Program>>) {
        let slot = slot as usize;
        if let Some(place) = self.chunks.get_mut(slot / CHUNK).and_then(|chunk| Arc::make_mut(chunk).get_mut(slot % CHUNK)) {
            *place = with;
        }
    }
}
