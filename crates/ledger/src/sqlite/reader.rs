//! Reading beside the writer: a few read-only connections that its users take in turn.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::names::Texts;
use super::row::{COLUMNS, EventRow, Packed, Raw};
use super::writer::last_event;
use super::{Shared, file};
use crate::envelope::{Event, Hash, Head};
use crate::error::Error;

/// Connections kept when nobody reads; more are opened when more read at once.
const KEPT: usize = 8;
/// Rows read under one snapshot: a long one would keep the log from being emptied.
const SLICE: u64 = 1 << 16;

/// Cloned freely, used from any thread. It never waits for the writer.
#[derive(Clone)]
pub struct Reader {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) shared: Arc<Shared>,
    idle: Mutex<Vec<Access>>,
    _lock: Arc<File>,
}

/// A connection and the texts it has met.
pub(super) struct Access {
    pub(super) conn: Connection,
    pub(super) texts: Texts,
}

impl Access {
    pub(super) fn open(path: &Path, texts: Texts) -> Result<Access, Error> {
        let conn = file::open_reader(path)?;
        Ok(Access { conn, texts })
    }
}

impl Reader {
    pub(super) fn new(path: PathBuf, shared: Arc<Shared>, lock: Arc<File>) -> Reader {
        Reader { inner: Arc::new(Inner { path, shared, idle: Mutex::default(), _lock: lock }) }
    }

    /// # Errors
    /// When the file cannot be read; so for every function here.
    pub fn head(&self) -> Result<Head, Error> {
        self.query(last_event)
    }

    /// Events after `after`, at most `limit` of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        self.with(|access| {
            let mut prev = hash_at(&access.conn, after).map_err(|source| self.failed(source))?.unwrap_or_default();
            let mut events = Vec::new();
            scan_slice(access, &self.inner.path, after, limit as u64, |row| {
                let event = row.to_event(prev)?;
                prev = event.hash;
                events.push(event);
                Ok::<_, Error>(())
            })?;
            Ok(events)
        })
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn event(&self, seq: u64) -> Result<Option<Event>, Error> {
        let events = self.events(seq.saturating_sub(1), 1)?;
        Ok(events.into_iter().find(|event| event.seq == seq))
    }

    /// Every event after `after` to the head at hand when it gets there, borrowed one at a time;
    /// made for replay. Gives the last seq it came to. An error of `each` ends it.
    ///
    /// # Errors
    /// Those of `each`, and of reading.
    pub fn scan<E: From<Error>>(&self, after: u64, mut each: impl FnMut(&EventRow<'_>) -> Result<(), E>) -> Result<u64, E> {
        let mut access = self.take()?;
        let outcome = scan(&mut access, &self.inner.path, after, &mut each);
        self.give_back(access);
        outcome
    }

    /// Whether the event at `seq` has this hash: the check for
    /// [`crate::Checkpoints::latest_usable`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has(&self, seq: u64, hash: Hash) -> Result<bool, Error> {
        self.query(|conn| Ok(hash_at(conn, seq)? == Some(hash)))
    }

    /// A compact copy of ledger and side tables as of now, at a path where nothing is yet. Blobs
    /// have their own; put them second, since events name blobs.
    ///
    /// # Errors
    /// When the copy cannot be written; what was written of it is removed.
    pub fn backup_to(&self, path: &Path) -> Result<(), Error> {
        self.with(|access| file::copy_into(&access.conn, path))
    }

    pub(super) fn query<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.with(|access| work(&access.conn).map_err(|source| self.failed(source)))
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Access) -> Result<T, Error>) -> Result<T, Error> {
        let mut access = self.take()?;
        let outcome = work(&mut access);
        if outcome.is_ok() {
            self.give_back(access);
        }
        outcome
    }

    pub(super) fn failed(&self, source: rusqlite::Error) -> Error {
        Error::sqlite("cannot read", &self.inner.path, source)
    }

    fn take(&self) -> Result<Access, Error> {
        let idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(access) => Ok(access),
            None => Access::open(&self.inner.path, Texts::default()),
        }
    }

    fn give_back(&self, access: Access) {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(access);
        }
    }
}

/// Slice after slice until there is nothing more.
pub(super) fn scan<E: From<Error>>(access: &mut Access, path: &Path, after: u64, mut each: impl FnMut(&EventRow<'_>) -> Result<(), E>) -> Result<u64, E> {
    let mut last = after;
    loop {
        let reached = scan_slice(access, path, last, SLICE, &mut each)?;
        if reached == last {
            return Ok(last);
        }
        last = reached;
    }
}

fn scan_slice<E: From<Error>>(access: &mut Access, path: &Path, after: u64, limit: u64, mut each: impl FnMut(&EventRow<'_>) -> Result<(), E>) -> Result<u64, E> {
    let Access { conn, texts } = access;
    let fail = |source| Error::sqlite("cannot read", path, source);
    let mut select = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2")).map_err(fail)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = select.query([after, limit]).map_err(fail)?;
    let mut last = after.cast_unsigned();
    let mut room = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let raw = Raw::of(row, &mut room).map_err(fail)?;
        texts.know(conn, raw.head.kind, raw.head.actor).map_err(fail)?;
        each(&EventRow::new(&raw, conn, texts, path)?)?;
        last = raw.seq;
    }
    Ok(last)
}

pub(super) fn hash_at(conn: &Connection, seq: u64) -> rusqlite::Result<Option<Hash>> {
    use rusqlite::OptionalExtension;
    conn.prepare_cached("SELECT head FROM event WHERE seq = ?1")?
        .query_row([i64::try_from(seq).unwrap_or(i64::MAX)], |row| {
            let head = Packed::read(row.get_ref(0)?.as_blob()?)?;
            Ok(Hash(*head.hash))
        })
        .optional()
}
