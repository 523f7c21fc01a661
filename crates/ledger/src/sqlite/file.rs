//! Opening a SQLite file of ours: settings, schema steps, copies.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::error::Error;
use crate::file::sync_dir;

/// `GRNR`, so that `file` and a stranger can tell whose it is.
const APPLICATION: i32 = 0x4752_4e52;

/// The steps that build a file, in order; `user_version` says how many it has seen.
pub(crate) struct Schema {
    pub(crate) steps: &'static [&'static str],
    pub(crate) page_size: u32,
    /// Whether room can be given back; it costs a map of pages.
    pub(crate) shrinks: bool,
}

/// The one connection that writes. It creates the file, and brings an older one up to date.
pub(crate) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, Error> {
    let fail = |source| Error::sqlite("cannot open", path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(fail)?;
    settle(&conn, schema).map_err(fail)?;
    let application: i32 = number(&conn, "application_id").map_err(fail)?;
    let version: u32 = number(&conn, "user_version").map_err(fail)?;
    if version > 0 && application != APPLICATION {
        return Err(Error::corrupt(path, "another program wrote it"));
    }
    let known = u32::try_from(schema.steps.len()).unwrap_or(u32::MAX);
    if version > known {
        return Err(Error::NewerFormat { file: path.to_owned(), found: version, known });
    }
    migrate(&mut conn, schema, version).map_err(fail)?;
    if let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(conn)
}

/// A connection that cannot write; somebody else may.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let fail = |source| Error::sqlite("cannot open", path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(fail)?;
    conn.busy_timeout(BUSY).map_err(fail)?;
    conn.set_prepared_statement_cache_capacity(32);
    // mapping the file gains nothing measurable and would count as memory of the process
    conn.pragma_update(None, "cache_size", -2048).map_err(fail)?;
    Ok(conn)
}

/// A compact copy of the whole file as of now, synced.
pub(crate) fn copy_into(conn: &Connection, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(Error::Invalid(format!("`{}` exists already", to.display())));
    }
    let Some(name) = to.to_str() else {
        return Err(Error::Invalid(format!("`{}` is not UTF-8", to.display())));
    };
    let copied = conn
        .execute("VACUUM INTO ?1", params![name])
        .map_err(|source| Error::sqlite("cannot write", to, source))
        .and_then(|_| File::open(to).and_then(|file| file.sync_all()).map_err(|source| Error::io("cannot sync", to, source)));
    if copied.is_err() {
        // the error to report is the one above
        let _ = fs::remove_file(to);
        return copied;
    }
    match to.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir),
        _ => sync_dir(Path::new(".")),
    }
}

/// Only a stranger's shell or a backup tool can make us wait; none of ours writes.
const BUSY: Duration = Duration::from_secs(5);

fn settle(conn: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    // both act only on a file without pages
    conn.pragma_update(None, "page_size", schema.page_size)?;
    let vacuum = if schema.shrinks { "incremental" } else { "none" };
    conn.pragma_update(None, "auto_vacuum", vacuum)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 2000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -8192;
         PRAGMA temp_store = MEMORY;",
    )
}

fn migrate(conn: &mut Connection, schema: &Schema, version: u32) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut reached = version;
    for step in schema.steps.iter().skip(version as usize) {
        tx.execute_batch(step)?;
        reached += 1;
    }
    if reached > version {
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", reached)?;
    }
    tx.commit()
}

fn number<T: rusqlite::types::FromSql>(conn: &Connection, pragma: &str) -> rusqlite::Result<T> {
    conn.pragma_query_value(None, pragma, |row| row.get(0))
}
