//! A row of the event table, borrowed from SQLite while it is looked at.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::names::Texts;
use super::pack;
use super::postings::numbers;
use crate::envelope::{Event, Hash};
use crate::error::Error;

/// The columns [`Raw::of`] expects, in its order.
pub(super) const COLUMNS: &str = "seq, head, body";

/// Numbers not yet turned into texts.
pub(super) struct Raw<'r> {
    pub(super) seq: u64,
    pub(super) head: Packed<'r>,
    pub(super) body: &'r [u8],
}

impl<'r> Raw<'r> {
    /// `room` is for a body that has to be put together.
    #[inline]
    pub(super) fn of(row: &'r Row<'_>, room: &'r mut Vec<u8>) -> rusqlite::Result<Raw<'r>> {
        let body = pack::unpack(row.get_ref(2)?.as_blob()?, room).ok_or_else(|| unreadable(2, "body"))?;
        Ok(Raw { seq: row.get_ref(0)?.as_i64()?.cast_unsigned(), head: Packed::read(row.get_ref(1)?.as_blob()?)?, body })
    }
}

/// The `head` column: the envelope without seq, body and prev.
#[derive(Clone, Copy)]
pub(super) struct Packed<'r> {
    pub(super) at: i64,
    pub(super) kind: u16,
    pub(super) actor: u32,
    pub(super) command: &'r [u8; 16],
    pub(super) hash: &'r [u8; 32],
    /// A list of numbers.
    pub(super) subjects: &'r [u8],
}

impl<'r> Packed<'r> {
    #[inline]
    pub(super) fn read(bytes: &'r [u8]) -> rusqlite::Result<Packed<'r>> {
        let split = || {
            let (at, rest) = bytes.split_first_chunk()?;
            let (kind, rest) = rest.split_first_chunk()?;
            let (actor, rest) = rest.split_first_chunk()?;
            let (command, rest) = rest.split_first_chunk()?;
            let (hash, subjects) = rest.split_first_chunk()?;
            Some(Packed { at: i64::from_be_bytes(*at), kind: u16::from_be_bytes(*kind), actor: u32::from_be_bytes(*actor), command, hash, subjects })
        };
        split().ok_or_else(|| unreadable(1, "head"))
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.clear();
        to.extend_from_slice(&self.at.to_be_bytes());
        to.extend_from_slice(&self.kind.to_be_bytes());
        to.extend_from_slice(&self.actor.to_be_bytes());
        to.extend_from_slice(self.command);
        to.extend_from_slice(self.hash);
        to.extend_from_slice(self.subjects);
    }
}

fn unreadable(column: usize, name: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, format!("an event's {name} is cut short").into())
}

/// An event while [`crate::Reader::scan`] stands on it.
pub struct EventRow<'r> {
    pub seq: u64,
    /// µs UTC.
    pub at: i64,
    pub kind: &'r str,
    pub version: u16,
    pub actor: &'r str,
    pub command: &'r [u8; 16],
    pub body: &'r [u8],
    pub hash: Hash,
    subjects: &'r [u8],
    conn: &'r Connection,
    texts: &'r Texts,
    path: &'r Path,
}

impl<'r> EventRow<'r> {
    #[inline]
    pub(super) fn new(raw: &Raw<'r>, conn: &'r Connection, texts: &'r Texts, path: &'r Path) -> Result<EventRow<'r>, Error> {
        let missing = |what| Error::corrupt(path, format!("the {what} of event {} is missing", raw.seq));
        let (kind, version) = texts.kind(raw.head.kind).ok_or_else(|| missing("kind"))?;
        let actor = texts.actor(raw.head.actor).ok_or_else(|| missing("actor"))?;
        Ok(EventRow {
            seq: raw.seq,
            at: raw.head.at,
            kind,
            version: *version,
            actor,
            command: raw.head.command,
            body: raw.body,
            hash: Hash(*raw.head.hash),
            subjects: raw.head.subjects,
            conn,
            texts,
            path,
        })
    }

    /// The subjects in their order, looked up only when asked for.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a text is missing.
    pub fn subjects(&self) -> Result<Vec<Arc<str>>, Error> {
        let mut subjects = Vec::new();
        self.each_subject(|subject| subjects.push(Arc::clone(subject)))?;
        Ok(subjects)
    }

    pub(super) fn each_subject(&self, mut each: impl FnMut(&Arc<str>)) -> Result<(), Error> {
        for id in numbers(self.subjects) {
            match self.texts.subject(self.conn, id) {
                Ok(subject) => each(&subject),
                Err(rusqlite::Error::QueryReturnedNoRows) => {
                    let detail = format!("a subject of event {} is missing", self.seq);
                    return Err(Error::corrupt(self.path, detail));
                }
                Err(source) => return Err(Error::sqlite("cannot read", self.path, source)),
            }
        }
        Ok(())
    }

    /// The event on its own, given the hash of the one before.
    pub(super) fn to_event(&self, prev: Hash) -> Result<Event, Error> {
        Ok(Event {
            seq: self.seq,
            at: self.at,
            kind: self.kind.into(),
            version: self.version,
            actor: self.actor.into(),
            command: *self.command,
            subjects: self.subjects()?,
            body: self.body.to_vec(),
            prev,
            hash: self.hash,
        })
    }
}
