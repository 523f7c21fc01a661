//! Events by what they concern, by who caused them, and by time.

use rusqlite::{Connection, OptionalExtension};

use super::names::actor_number;
use super::postings::{actor_term, numbers, place, stored_seqs, subject_term};
use super::reader::Reader;
use super::row::Packed;
use super::{read, subjects};
use crate::envelope::Event;
use crate::error::Error;

/// Which end of a history comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    OldestFirst,
    NewestFirst,
}

impl Reader {
    /// At most `limit` events that name the subject: with [`Direction::OldestFirst`] those after
    /// `cursor` (0 for all), with [`Direction::NewestFirst`] those before it (`u64::MAX` for all).
    ///
    /// # Errors
    /// When the file cannot be read; so for every function here.
    pub fn by_subject(&self, subject: &str, cursor: u64, limit: usize, direction: Direction) -> Result<Vec<Event>, Error> {
        let id = self.subject_number(subject)?;
        self.by_term(id.map(subject_term), cursor, limit, direction)
    }

    /// At most `limit` events that an actor caused; as [`Reader::by_subject`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn by_actor(&self, actor: &str, cursor: u64, limit: usize, direction: Direction) -> Result<Vec<Event>, Error> {
        let id = self.query(|conn| actor_number(conn, actor))?;
        self.by_term(id.map(actor_term), cursor, limit, direction)
    }

    /// The numbers of the events that name the subject after `after`, without reading them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seqs_of(&self, subject: &str, after: u64) -> Result<Vec<u64>, Error> {
        let id = self.subject_number(subject)?;
        match id {
            Some(id) => self.seqs(subject_term(id), after, usize::MAX, Direction::OldestFirst),
            None => Ok(Vec::new()),
        }
    }

    /// The last event at or before a time (µs UTC); 0 when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn event_at(&self, time: i64) -> Result<u64, Error> {
        let head = self.head()?;
        self.query(|conn| {
            // times never go back: halve the span between one known at or before and one after
            let (mut known, mut later) = (0, head.seq + 1);
            while later - known > 1 {
                let middle = known + (later - known) / 2;
                if time_of(conn, middle)?.is_some_and(|at| at <= time) {
                    known = middle;
                } else {
                    later = middle;
                }
            }
            Ok(known)
        })
    }

    /// How many different subjects events have named.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn subjects_count(&self) -> Result<u64, Error> {
        self.query(|conn| {
            // numbers are given out without gaps and never taken back
            let last = "SELECT coalesce(max(id), 0) FROM subject";
            let last: i64 = conn.prepare_cached(last)?.query_row([], |row| row.get(0))?;
            Ok(last.cast_unsigned())
        })
    }

    fn subject_number(&self, subject: &str) -> Result<Option<u64>, Error> {
        self.query(|conn| subjects::find(conn, &self.inner.shared.subjects, subject))
    }

    fn by_term(&self, term: Option<u64>, cursor: u64, limit: usize, direction: Direction) -> Result<Vec<Event>, Error> {
        let Some(term) = term else {
            return Ok(Vec::new());
        };
        let seqs = self.seqs(term, cursor, limit, direction)?;
        let events = seqs.into_iter().map(|seq| self.event(seq));
        Ok(events.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Memory first: a run leaves it only after it is in the file. What is committed and not yet in
    /// memory, for the moment between the two, is looked up in the events.
    fn seqs(&self, term: u64, cursor: u64, limit: usize, direction: Direction) -> Result<Vec<u64>, Error> {
        let (mut recent, runs, last) = {
            let tail = read(&self.inner.shared.tail);
            (tail.find(term), tail.first(), tail.last())
        };
        self.query(|conn| {
            recent.extend(just_committed(conn, last, term)?);
            let mut found = Vec::new();
            match direction {
                Direction::OldestFirst => {
                    let wanted = |seq: &u64| *seq > cursor;
                    for run in place(cursor.saturating_add(1)).0..runs {
                        if found.len() >= limit {
                            break;
                        }
                        found.extend(stored(conn, run, term)?.into_iter().filter(wanted));
                    }
                    found.extend(recent.into_iter().filter(wanted));
                }
                Direction::NewestFirst => {
                    let wanted = |seq: &u64| *seq < cursor;
                    found.extend(recent.into_iter().rev().filter(wanted));
                    for run in (0..runs.min(place(cursor).0 + 1)).rev() {
                        if found.len() >= limit {
                            break;
                        }
                        found.extend(stored(conn, run, term)?.into_iter().rev().filter(wanted));
                    }
                }
            }
            found.truncate(limit);
            Ok(found)
        })
    }
}

fn stored(conn: &Connection, run: u64, term: u64) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT seqs FROM posting WHERE run = ?1 AND term = ?2")?
        .query_row([run.cast_signed(), term.cast_signed()], |row| Ok(stored_seqs(run, row.get_ref(0)?.as_blob()?).collect()))
        .optional()
        .map(Option::unwrap_or_default)
}

fn just_committed(conn: &Connection, after: u64, term: u64) -> rusqlite::Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut events = conn.prepare_cached("SELECT seq, head FROM event WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = events.query([after.cast_signed()])?;
    while let Some(row) = rows.next()? {
        let head = Packed::read(row.get_ref(1)?.as_blob()?)?;
        let mut subjects = numbers(head.subjects).map(subject_term);
        if actor_term(head.actor) == term || subjects.any(|subject| subject == term) {
            found.push(row.get::<_, i64>(0)?.cast_unsigned());
        }
    }
    Ok(found)
}

fn time_of(conn: &Connection, seq: u64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT head FROM event WHERE seq = ?1")?.query_row([seq.cast_signed()], |row| Ok(Packed::read(row.get_ref(0)?.as_blob()?)?.at)).optional()
}
