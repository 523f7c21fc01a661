//! Evidence: content named by its hash, in a file of its own with a writer of its own, so that
//! 16 MiB of log never stand before a command. A blob is durable before the event that names it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::dir::DataDir;
use crate::envelope::Hash;
use crate::error::Error;
use crate::sqlite::file::{self, Schema};

/// Bytes a blob may have.
pub const MAX_BLOB: usize = 16 << 20;

const SCHEMA: Schema = Schema { steps: &[include_str!("../schema/blobs_0001.sql")], page_size: 16_384, shrinks: true };

/// Cloned freely; its users take turns.
#[derive(Clone)]
pub struct Blobs {
    path: PathBuf,
    writer: Arc<Mutex<Connection>>,
    _lock: Arc<File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub kind: String,
    /// When it was last put, µs UTC.
    pub at: i64,
    pub content: Vec<u8>,
}

impl Blobs {
    pub(crate) fn open(dir: &DataDir) -> Result<Blobs, Error> {
        let path = dir.path().join("blobs.db");
        let conn = file::open_writer(&path, &SCHEMA)?;
        Ok(Blobs { path, writer: Arc::new(Mutex::new(conn)), _lock: dir.hold() })
    }

    /// Keeps the content, synced when this returns. Content already there is kept from `at` anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond [`MAX_BLOB`].
    pub fn put(&self, kind: &str, at: i64, content: &[u8]) -> Result<Hash, Error> {
        if content.len() > MAX_BLOB {
            return Err(Error::Invalid(format!("a blob has at most {MAX_BLOB} bytes, this one {}", content.len())));
        }
        let id = Hash::of(content);
        self.with("cannot write", |conn| {
            let seen = conn.prepare_cached("UPDATE blob SET at = max(at, ?3) WHERE id = ?1 AND kind = ?2")?.execute(params![id.0, kind, at])?;
            if seen == 0 {
                conn.prepare_cached("INSERT INTO blob (id, kind, at, content) VALUES (?1, ?2, ?3, ?4)")?.execute(params![id.0, kind, at, content])?;
            }
            Ok(id)
        })
    }

    /// # Errors
    /// [`Error::Corrupt`] when the content is no longer what its name says.
    pub fn get(&self, id: Hash) -> Result<Option<Blob>, Error> {
        let blob = self.with("cannot read", |conn| {
            conn.prepare_cached("SELECT kind, at, content FROM blob WHERE id = ?1 ORDER BY at DESC")?
                .query_row([id.0], |row| Ok(Blob { kind: row.get(0)?, at: row.get(1)?, content: row.get(2)? }))
                .optional()
        })?;
        match blob {
            Some(blob) if Hash::of(&blob.content) != id => Err(Error::corrupt(&self.path, format!("blob {id} has other content"))),
            blob => Ok(blob),
        }
    }

    /// Deletes the blobs of a kind last put before `older_than` (µs UTC), gives their room back,
    /// and says how many they were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn retain(&self, kind: &str, older_than: i64) -> Result<usize, Error> {
        self.with("cannot write", |conn| {
            let gone = conn.prepare_cached("DELETE FROM blob WHERE kind = ?1 AND at < ?2")?.execute(params![kind, older_than])?;
            if gone > 0 {
                conn.execute_batch("PRAGMA incremental_vacuum")?;
            }
            Ok(gone)
        })
    }

    /// A copy of the file as it stands, at a path where nothing is yet.
    ///
    /// # Errors
    /// When the copy cannot be written; what was written of it is removed.
    pub fn backup_to(&self, path: &Path) -> Result<(), Error> {
        let conn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        file::copy_into(&conn, path)
    }

    fn with<T>(&self, what: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let conn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        work(&conn).map_err(|source| Error::sqlite(what, &self.path, source))
    }
}
