//! Where entries are kept: by slot, in chunks of some dozens, and by key, in a hash table of slots.
//!
//! An edit copies the chunks that it touches and shares the rest, the table too unless features come or go: at 10,000
//! features a change of one costs microseconds. A slot stays with its feature until that is dropped.

use std::sync::Arc;

use crate::hash::Packed;
use crate::program::{Entry, Head, Prerequisite};
use crate::table::Table;

const CHUNK: usize = 64;

type Chunk = [Option<Entry>; CHUNK];

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
    index: Table,
    chunks: Arc<[Arc<Chunk>]>,
    /// Slots below the end of the last chunk that nobody has.
    free: Arc<[u32]>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { index: Table::with_room(0), chunks: Arc::new([]), free: Arc::new([]) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub(crate) fn by_key(&self, key: &str) -> Option<&Entry> {
        let packed = Packed::of(key);
        self.by_packed(packed, packed.hash(key), key)
    }

    #[inline]
    fn by_packed(&self, packed: Packed, hash: u64, key: &str) -> Option<&Entry> {
        self.index.find(hash, |slot| self.at(slot).filter(|entry| entry.is(packed, hash, key)))
    }

    #[inline]
    fn at(&self, slot: u32) -> Option<&Entry> {
        at(&self.chunks, slot)
    }

    #[inline]
    pub(crate) fn by_handle(&self, handle: Handle) -> Option<&Entry> {
        self.at(handle.slot).filter(|entry| entry.hash == handle.hash)
    }

    /// The feature that is needed: where it stood when that was compiled, or wherever it stands now.
    #[inline]
    pub(crate) fn needed(&self, by: &Prerequisite) -> Option<&Entry> {
        let Prerequisite { packed, hash, ref feature, slot, .. } = *by;
        self.at(slot).filter(|entry| entry.is(packed, hash, feature)).or_else(|| self.by_packed(packed, hash, feature))
    }

    /// In order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten())
    }

    pub(crate) fn edit(&self, more: usize) -> Edit {
        let mut index = self.index.clone();
        index.reserve(more, |slot| hash_at(&self.chunks, slot));
        Edit { index, chunks: self.chunks.to_vec(), free: self.free.to_vec() }
    }
}

#[inline]
fn at(chunks: &[Arc<Chunk>], slot: u32) -> Option<&Entry> {
    chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
}

fn hash_at(chunks: &[Arc<Chunk>], slot: u32) -> u64 {
    at(chunks, slot).map_or(0, |entry| entry.hash)
}

/// A store being changed. The one that it came from does not see it.
pub(crate) struct Edit {
    index: Table,
    chunks: Vec<Arc<Chunk>>,
    free: Vec<u32>,
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

    /// Puts an entry where its slot says: into a free one, or in place of its feature's earlier entry.
    pub(crate) fn put(&mut self, entry: Entry) {
        let (hash, slot) = (entry.hash, entry.slot);
        if let Some(place) = self.place(slot)
            && place.replace(entry).is_none()
        {
            self.index.put(hash, slot, |slot| hash_at(&self.chunks, slot));
        }
    }

    pub(crate) fn drop(&mut self, entry: &Entry) {
        if let Some(place) = self.place(entry.slot)
            && place.take().is_some()
        {
            self.index.take(entry.hash, entry.slot, |slot| hash_at(&self.chunks, slot));
            self.free.push(entry.slot);
        }
    }

    pub(crate) fn head(&mut self, slot: u32, head: Head) {
        if let Some(Some(entry)) = self.place(slot) {
            entry.set_head(head);
        }
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<&Entry> {
        let packed = Packed::of(key);
        let hash = packed.hash(key);
        self.index.find(hash, |slot| at(&self.chunks, slot).filter(|entry| entry.is(packed, hash, key)))
    }

    pub(crate) fn finish(self) -> Store {
        Store { index: self.index, chunks: self.chunks.into(), free: self.free.into() }
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<Entry>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK).and_then(|chunk| Arc::make_mut(chunk).get_mut(slot % CHUNK))
    }
}
