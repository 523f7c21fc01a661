//! Finding the answer to an idempotency key.
//!
//! Keys are random, so an index on them would dirty a random page per command. Answers are
//! appended in order instead, a map from a 64-bit hash of the key to the row is held in memory
//! (some 18 to 36 bytes per key), and every 4,096 rows their hashes are written as one row, from
//! which a restart rebuilds the map. A key never seen is thus told without looking at the file.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::batch::Answer;
use crate::envelope::Hash;

/// Rows whose hashes are written together.
const RUN: u64 = 4096;
/// Rows that one pruning deletes at most: a millisecond or so of the writer's time.
const PRUNED_AT_ONCE: u32 = 8192;

/// From the hash of a key to the newest row that has it.
#[derive(Default)]
pub(super) struct Map {
    newest: HashMap<u64, u64, BuildHasherDefault<AsIs>>,
    /// Rows of another key with the same hash, which practice never sees.
    twins: Vec<(u64, u64)>,
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0 << 8 | u64::from(*b));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Map {
    /// Rows that may hold the key, the newest first.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = u64> {
        let newest = self.newest.get(&hash).copied();
        let twins = self.twins.iter().filter(move |(twin, _)| *twin == hash);
        newest.into_iter().chain(twins.map(|(_, id)| *id))
    }

    fn insert(&mut self, hash: u64, id: u64) {
        if let Some(older) = self.newest.insert(hash, id) {
            self.twins.insert(0, (hash, older));
        }
    }

    fn remove(&mut self, hash: u64, id: u64) {
        if self.newest.get(&hash) == Some(&id) {
            self.newest.remove(&hash);
            // an older twin is looked for among `twins` still
        }
        if !self.twins.is_empty() {
            self.twins.retain(|twin| *twin != (hash, id));
        }
    }

    /// Takes over what a committed batch did.
    pub(super) fn publish(&mut self, changes: &Changes) {
        for (hash, id) in &changes.added {
            self.insert(*hash, *id);
        }
        for (hash, id) in &changes.removed {
            self.remove(*hash, *id);
        }
    }
}

/// The writer's side: the number of the last row, and the hashes of the rows whose run is not
/// written yet. Within a batch these may be more than a run.
#[derive(Default)]
pub(super) struct Log {
    last: u64,
    open: Vec<u64>,
}

/// Where the log stood before a batch.
pub(super) struct Mark {
    last: u64,
    open: usize,
}

/// What a batch does to the map once it is committed.
#[derive(Default)]
pub(super) struct Changes {
    added: Vec<(u64, u64)>,
    removed: Vec<(u64, u64)>,
}

impl Log {
    /// Reads log and map from the file.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<(Log, Map)> {
        let mut map = Map::default();
        let bounds = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM answer";
        let (first, last): (i64, i64) = conn.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (first, mut last) = (first.cast_unsigned(), last.cast_unsigned());
        let mut next_run = 0;
        let mut runs = conn.prepare("SELECT run, hashes FROM answer_run ORDER BY run")?;
        let mut rows = runs.query([])?;
        while let Some(row) = rows.next()? {
            let run = row.get::<_, i64>(0)?.cast_unsigned();
            let (hashes, _) = row.get_ref(1)?.as_blob()?.as_chunks::<8>();
            for (id, hash) in (run * RUN + 1..).zip(hashes) {
                if id >= first && first > 0 {
                    map.insert(u64::from_le_bytes(*hash), id);
                }
            }
            next_run = run + 1;
        }
        last = last.max(next_run * RUN);
        let open_from = next_run * RUN;
        let mut open = vec![0; usize::try_from(last - open_from).unwrap_or(0)];
        let mut tail = conn.prepare("SELECT id, principal, key FROM answer WHERE id > ?1")?;
        let mut rows = tail.query([open_from.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?.cast_unsigned();
            let hash = key_hash(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
            map.insert(hash, id);
            let slot = usize::try_from(id - open_from - 1).unwrap_or(usize::MAX);
            if let Some(slot) = open.get_mut(slot) {
                *slot = hash;
            }
        }
        Ok((Log { last, open }, map))
    }

    pub(super) fn keep(&mut self, conn: &Connection, answer: &Answer, changes: &mut Changes) -> rusqlite::Result<()> {
        let id = self.last + 1;
        conn.prepare_cached(
            "INSERT INTO answer (id, at, principal, key, request, status, response)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![id.cast_signed(), answer.at, answer.principal, answer.key, answer.request.0, answer.status, answer.response,])?;
        let hash = key_hash(&answer.principal, &answer.key);
        self.last = id;
        self.open.push(hash);
        changes.added.push((hash, id));
        if id.is_multiple_of(RUN) {
            let start = self.open.len().saturating_sub(RUN as usize);
            let run = self.open.iter().skip(start);
            let hashes: Vec<u8> = run.flat_map(|hash| hash.to_le_bytes()).collect();
            conn.prepare_cached("INSERT INTO answer_run (run, hashes) VALUES (?1, ?2)")?.execute(params![(id / RUN - 1).cast_signed(), hashes])?;
        }
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { last: self.last, open: self.open.len() }
    }

    pub(super) fn return_to(&mut self, mark: &Mark) {
        self.last = mark.last;
        self.open.truncate(mark.open);
    }

    /// What was written is durable: hashes of complete runs are no longer needed.
    pub(super) fn settle(&mut self) {
        let complete = self.open.len() / RUN as usize * RUN as usize;
        self.open.drain(..complete);
    }
}

/// Deletes the oldest answers as long as they are older than `before`.
pub(super) fn prune(conn: &Connection, before: i64, changes: &mut Changes) -> rusqlite::Result<()> {
    let mut last = 0;
    {
        let mut oldest = conn.prepare_cached("SELECT id, at, principal, key FROM answer ORDER BY id LIMIT ?1")?;
        let mut rows = oldest.query([PRUNED_AT_ONCE])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? >= before {
                break;
            }
            last = row.get::<_, i64>(0)?;
            let hash = key_hash(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
            changes.removed.push((hash, last.cast_unsigned()));
        }
    }
    if last > 0 {
        conn.prepare_cached("DELETE FROM answer WHERE id <= ?1")?.execute([last])?;
        conn.prepare_cached("DELETE FROM answer_run WHERE (run + 1) * 4096 <= ?1")?.execute([last])?;
    }
    Ok(())
}

/// Rows that may hold the answer, the newest first; empty for a key never seen.
pub(super) fn candidates(map: &Map, principal: &str, key: &str) -> Vec<u64> {
    map.candidates(key_hash(principal, key)).collect()
}

/// The newest of the candidates that really has the key.
pub(super) fn find(conn: &Connection, candidates: &[u64], principal: &str, key: &str) -> rusqlite::Result<Option<Answer>> {
    for id in candidates {
        let mut select = conn.prepare_cached(
            "SELECT request, status, response, at FROM answer
             WHERE id = ?1 AND principal = ?2 AND key = ?3",
        )?;
        let answer = select
            .query_row(params![id.cast_signed(), principal, key], |row| {
                Ok(Answer { principal: principal.to_owned(), key: key.to_owned(), request: Hash(row.get(0)?), status: row.get(1)?, response: row.get(2)?, at: row.get(3)? })
            })
            .optional()?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}

/// Not one an outsider can steer to collide cheaply.
fn key_hash(principal: &str, key: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update((principal.len() as u64).to_le_bytes());
    hasher.update(principal);
    hasher.update(key);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
}
