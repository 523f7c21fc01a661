//! Reading the side tables.

use rusqlite::{OptionalExtension, Row, params};

use super::reader::Reader;
use super::{answers, read};
use crate::batch::{Answer, QueueRow, Sealed, Session, UsageRow};
use crate::envelope::Hash;
use crate::error::Error;

impl Reader {
    /// The answer given to an idempotency key.
    ///
    /// # Errors
    /// When the file cannot be read; so for every function here.
    pub fn answer(&self, principal: &str, key: &str) -> Result<Option<Answer>, Error> {
        let rows = answers::candidates(&read(&self.inner.shared.answers), principal, key);
        if rows.is_empty() {
            return Ok(None);
        }
        self.query(|conn| answers::find(conn, &rows, principal, key))
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn person(&self, person: &str) -> Result<Option<Vec<u8>>, Error> {
        self.one("SELECT profile FROM person WHERE person = ?1", [person], |row| row.get(0))
    }

    /// Every person's profile, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn persons(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.all("SELECT person, profile FROM person ORDER BY person", [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The password hash of a person.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn credential(&self, person: &str) -> Result<Option<String>, Error> {
        self.one("SELECT hash FROM credential WHERE person = ?1", [person], |row| row.get(0))
    }

    /// A session, expired or not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn session(&self, id: Hash) -> Result<Option<Session>, Error> {
        self.one("SELECT id, person, created, expires, body FROM session WHERE id = ?1", [id.0], session)
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn sessions_of(&self, person: &str) -> Result<Vec<Session>, Error> {
        self.all(
            "SELECT id, person, created, expires, body FROM session
             WHERE person = ?1 ORDER BY created",
            [person],
            session,
        )
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn sealed(&self, hash: Hash) -> Result<Option<Sealed>, Error> {
        self.one("SELECT nonce, content FROM sealed WHERE hash = ?1", [hash.0], |row| Ok(Sealed { hash, nonce: row.get(0)?, content: row.get(1)? }))
    }

    /// Usage on the days `from` to `to`, both included, days since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage(&self, from: i32, to: i32) -> Result<Vec<UsageRow>, Error> {
        self.all(
            "SELECT feature, variant, build, environment, day, count FROM usage
             WHERE day BETWEEN ?1 AND ?2
             ORDER BY day, environment, feature, variant, build",
            [from, to],
            |row| {
                Ok(UsageRow {
                    feature: row.get(0)?,
                    variant: row.get(1)?,
                    build: row.get(2)?,
                    environment: row.get(3)?,
                    day: row.get(4)?,
                    count: row.get::<_, i64>(5)?.cast_unsigned(),
                })
            },
        )
    }

    /// What is due in a queue at `now` (µs UTC), the longest due first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn due(&self, queue: &str, now: i64, limit: usize) -> Result<Vec<QueueRow>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(
            "SELECT queue, id, due, body FROM queue
             WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3",
            params![queue, now, limit],
            |row| Ok(QueueRow { queue: row.get(0)?, id: row.get(1)?, due: row.get(2)?, body: row.get(3)? }),
        )
    }

    /// When the next row of a queue is due, µs UTC.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_due(&self, queue: &str) -> Result<Option<i64>, Error> {
        self.one("SELECT due FROM queue WHERE queue = ?1 ORDER BY due LIMIT 1", [queue], |row| row.get(0))
    }

    fn one<T>(&self, sql: &str, values: impl rusqlite::Params, map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Result<Option<T>, Error> {
        self.query(|conn| conn.prepare_cached(sql)?.query_row(values, map).optional())
    }

    fn all<T>(&self, sql: &str, values: impl rusqlite::Params, map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, Error> {
        self.query(|conn| conn.prepare_cached(sql)?.query_map(values, map)?.collect())
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session { id: Hash(row.get(0)?), person: row.get(1)?, created: row.get(2)?, expires: row.get(3)?, body: row.get(4)? })
}
