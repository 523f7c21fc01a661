//! Numbers for subjects, and how a subject is found by its text.
//!
//! An index of texts kept up with every append would dirty a random page per new subject, half of
//! all that a batch writes. So the newest texts are looked up in memory, and 8,192 at a time are
//! written to the index in their order, some with each batch. A restart reads those not written.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use rusqlite::{Connection, OptionalExtension, params};

use super::{read, write};

/// Subjects the writer remembers before it lets go of the ones not seen lately.
const RECENT: usize = 1 << 16;
/// New subjects that are indexed together.
const TOGETHER: usize = 1 << 13;

/// Subjects in the file whose texts are not, or not all, in the index.
#[derive(Default)]
pub(super) struct Unindexed {
    young: HashMap<Arc<str>, u64>,
    /// Being written.
    old: HashMap<Arc<str>, u64>,
    /// The newest number known here; a later one may be in the file already.
    last: u64,
}

/// The writer's side.
#[derive(Default)]
pub(super) struct Subjects {
    recent: Recent,
    /// Those of the batch at hand.
    created: HashMap<Arc<str>, u64>,
    last: u64,
    /// What is being written to the index, in order, and how much of it is done.
    writing: Vec<(Arc<str>, u64)>,
    written: usize,
}

impl Subjects {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<(Subjects, Unindexed)> {
        let mut unindexed = Unindexed::default();
        let indexed = "SELECT coalesce(max(value), 0) FROM progress WHERE name = 'subject'";
        let indexed: i64 = conn.query_row(indexed, [], |row| row.get(0))?;
        unindexed.last = indexed.cast_unsigned();
        let mut newer = conn.prepare("SELECT id, name FROM subject WHERE id > ?1 ORDER BY id")?;
        let mut rows = newer.query([indexed])?;
        while let Some(row) = rows.next()? {
            unindexed.last = row.get::<_, i64>(0)?.cast_unsigned();
            unindexed.young.insert(row.get(1)?, unindexed.last);
        }
        let subjects = Subjects { last: unindexed.last, ..Subjects::default() };
        Ok((subjects, unindexed))
    }

    /// The number of a subject, a new one if it has none.
    pub(super) fn number(&mut self, conn: &Connection, unindexed: &RwLock<Unindexed>, name: &str) -> rusqlite::Result<u64> {
        if let Some(id) = self.recent.get(name) {
            return Ok(id);
        }
        let known = self.created.get(name).copied();
        let known = known.or_else(|| read(unindexed).get(name));
        let id = match known {
            Some(id) => id,
            None => match indexed(conn, name)? {
                Some(id) => id,
                None => self.create(conn, name)?,
            },
        };
        self.recent.insert(name.into(), id);
        Ok(id)
    }

    fn create(&mut self, conn: &Connection, name: &str) -> rusqlite::Result<u64> {
        let id = self.last + 1;
        conn.prepare_cached("INSERT INTO subject (id, name) VALUES (?1, ?2)")?.execute(params![id.cast_signed(), name])?;
        self.last = id;
        self.created.insert(name.into(), id);
        Ok(id)
    }

    /// Goes on writing the index, twice as fast as subjects come in, and gives what will be done
    /// once the batch is durable.
    pub(super) fn write_some(&self, conn: &Connection) -> rusqlite::Result<usize> {
        let budget = 16 + 2 * self.created.len();
        let rows = self.writing.iter().skip(self.written).take(budget);
        let mut written = self.written;
        for (name, id) in rows {
            conn.prepare_cached("INSERT OR REPLACE INTO subject_name (name, id) VALUES (?1, ?2)")?.execute(params![name, id.cast_signed()])?;
            written += 1;
        }
        if written == self.writing.len() && written > self.written {
            let last = self.writing.iter().map(|(_, id)| *id).max().unwrap_or(0);
            conn.prepare_cached("INSERT OR REPLACE INTO progress VALUES ('subject', ?1)")?.execute([last.cast_signed()])?;
        }
        Ok(written)
    }

    /// The batch is durable.
    pub(super) fn publish(&mut self, written: usize, unindexed: &RwLock<Unindexed>) {
        self.written = written;
        let mut unindexed = write(unindexed);
        unindexed.young.extend(self.created.drain());
        unindexed.last = self.last;
        if self.written < self.writing.len() {
            return;
        }
        self.written = 0;
        self.writing.clear();
        unindexed.old = HashMap::new();
        if unindexed.young.len() >= TOGETHER {
            unindexed.old = std::mem::take(&mut unindexed.young);
            self.writing = unindexed.old.iter().map(|(name, id)| (Arc::clone(name), *id)).collect();
            self.writing.sort_unstable();
        }
    }

    /// The batch is gone.
    pub(super) fn roll_back(&mut self, unindexed: &RwLock<Unindexed>) {
        self.last = read(unindexed).last;
        for (name, _) in self.created.drain() {
            self.recent.remove(&name);
        }
    }
}

impl Unindexed {
    fn get(&self, name: &str) -> Option<u64> {
        self.young.get(name).or_else(|| self.old.get(name)).copied()
    }
}

/// A reader's look: in memory, in the index, and among what was committed a moment ago.
pub(super) fn find(conn: &Connection, unindexed: &RwLock<Unindexed>, name: &str) -> rusqlite::Result<Option<u64>> {
    let (known, last) = {
        let unindexed = read(unindexed);
        (unindexed.get(name), unindexed.last)
    };
    if known.is_some() {
        return Ok(known);
    }
    if let Some(id) = indexed(conn, name)? {
        return Ok(Some(id));
    }
    conn.prepare_cached("SELECT id FROM subject WHERE id > ?1 AND name = ?2")?
        .query_row(params![last.cast_signed(), name], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        .optional()
}

fn indexed(conn: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached("SELECT id FROM subject_name WHERE name = ?1")?.query_row([name], |row| row.get::<_, i64>(0).map(i64::cast_unsigned)).optional()
}

/// The texts used most recently: when the young map is full it becomes the old one, and what the
/// old one held and nobody asked for again is gone.
#[derive(Default)]
struct Recent {
    young: HashMap<Box<str>, u64>,
    old: HashMap<Box<str>, u64>,
}

impl Recent {
    fn get(&mut self, name: &str) -> Option<u64> {
        if let Some(id) = self.young.get(name) {
            return Some(*id);
        }
        let (name, id) = self.old.remove_entry(name)?;
        self.insert(name, id);
        Some(id)
    }

    fn insert(&mut self, name: Box<str>, id: u64) {
        if self.young.len() >= RECENT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, id);
    }

    fn remove(&mut self, name: &str) {
        self.young.remove(name);
        self.old.remove(name);
    }
}
