//! Kinds and actors are texts said again and again; rows hold small numbers for them, as they do
//! for subjects. They are few, and all kept in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

/// The writer's side: from text to number, new texts written on the way.
#[derive(Default)]
pub(super) struct Numbers {
    kinds: HashMap<String, Vec<(u16, u16)>>,
    actors: HashMap<String, u32>,
    last_kind: u16,
    last_actor: u32,
}

impl Numbers {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Numbers> {
        let mut numbers = Numbers::default();
        let mut kinds = conn.prepare("SELECT id, name, version FROM kind ORDER BY id")?;
        let mut rows = kinds.query([])?;
        while let Some(row) = rows.next()? {
            numbers.last_kind = row.get(0)?;
            let versions = numbers.kinds.entry(row.get(1)?).or_default();
            versions.push((row.get(2)?, numbers.last_kind));
        }
        let mut actors = conn.prepare("SELECT id, name FROM actor ORDER BY id")?;
        let mut rows = actors.query([])?;
        while let Some(row) = rows.next()? {
            numbers.last_actor = row.get(0)?;
            numbers.actors.insert(row.get(1)?, numbers.last_actor);
        }
        Ok(numbers)
    }

    pub(super) fn kind(&mut self, conn: &Connection, name: &str, version: u16) -> rusqlite::Result<u16> {
        let known = self.kinds.get(name).into_iter().flatten();
        if let Some((_, id)) = known.into_iter().find(|(known, _)| *known == version) {
            return Ok(*id);
        }
        let id = self.last_kind.checked_add(1).ok_or_else(|| full("kinds"))?;
        conn.prepare_cached("INSERT INTO kind (id, name, version) VALUES (?1, ?2, ?3)")?.execute(params![id, name, version])?;
        self.last_kind = id;
        let versions = self.kinds.entry(name.to_owned()).or_default();
        versions.push((version, id));
        Ok(id)
    }

    pub(super) fn actor(&mut self, conn: &Connection, name: &str) -> rusqlite::Result<u32> {
        if let Some(id) = self.actors.get(name) {
            return Ok(*id);
        }
        let id = self.last_actor.checked_add(1).ok_or_else(|| full("actors"))?;
        conn.prepare_cached("INSERT INTO actor (id, name) VALUES (?1, ?2)")?.execute(params![id, name])?;
        self.last_actor = id;
        self.actors.insert(name.to_owned(), id);
        Ok(id)
    }
}

fn full(what: &str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(format!("there is no number left for {what}").into())
}

pub(super) fn actor_number(conn: &Connection, name: &str) -> rusqlite::Result<Option<u32>> {
    conn.prepare_cached("SELECT id FROM actor WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// A reader's side: from number to text. Kinds and actors are few and all kept.
#[derive(Default)]
pub(super) struct Texts {
    kinds: Vec<(Arc<str>, u16)>,
    actors: Vec<Arc<str>>,
    subjects: RefCell<SubjectTexts>,
}

impl Texts {
    /// Remembers this many subjects.
    pub(super) fn with_room_for(subjects: usize) -> Texts {
        let texts = Texts::default();
        texts.subjects.borrow_mut().room = subjects;
        texts
    }

    /// Makes sure the numbers of a row can be looked up.
    #[inline]
    pub(super) fn know(&mut self, conn: &Connection, kind: u16, actor: u32) -> rusqlite::Result<()> {
        if usize::from(kind) > self.kinds.len() {
            let mut newer = conn.prepare_cached("SELECT name, version FROM kind WHERE id > ?1 ORDER BY id")?;
            let mut rows = newer.query([self.kinds.len() as i64])?;
            while let Some(row) = rows.next()? {
                self.kinds.push((row.get(0)?, row.get(1)?));
            }
        }
        if actor as usize > self.actors.len() {
            let mut newer = conn.prepare_cached("SELECT name FROM actor WHERE id > ?1 ORDER BY id")?;
            let mut rows = newer.query([self.actors.len() as i64])?;
            while let Some(row) = rows.next()? {
                self.actors.push(row.get(0)?);
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn kind(&self, id: u16) -> Option<&(Arc<str>, u16)> {
        self.kinds.get(usize::from(id.checked_sub(1)?))
    }

    #[inline]
    pub(super) fn actor(&self, id: u32) -> Option<&Arc<str>> {
        self.actors.get(id.checked_sub(1)? as usize)
    }

    pub(super) fn subject(&self, conn: &Connection, id: u64) -> rusqlite::Result<Arc<str>> {
        self.subjects.borrow_mut().get(conn, id)
    }
}

/// One slot per remainder of the number: cheap, and hot subjects find their slot again at once.
struct SubjectTexts {
    room: usize,
    slots: Vec<Option<(u64, Arc<str>)>>,
}

impl Default for SubjectTexts {
    fn default() -> SubjectTexts {
        SubjectTexts { room: 4096, slots: Vec::new() }
    }
}

impl SubjectTexts {
    fn get(&mut self, conn: &Connection, id: u64) -> rusqlite::Result<Arc<str>> {
        if self.slots.is_empty() {
            self.slots.resize(self.room.max(1), None);
        }
        let place = (id % self.slots.len() as u64) as usize;
        if let Some(Some((known, name))) = self.slots.get(place)
            && *known == id
        {
            return Ok(Arc::clone(name));
        }
        let name: Arc<str> = conn.prepare_cached("SELECT name FROM subject WHERE id = ?1")?.query_row([id.cast_signed()], |row| row.get(0))?;
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some((id, Arc::clone(&name)));
        }
        Ok(name)
    }
}
