//! The one writer: a batch is one transaction, and one flush makes it durable.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::mover::Mover;
use super::names::Numbers;
use super::pack;
use super::postings::{self, Tail, Written};
use super::reader::Reader;
use super::row::Packed;
use super::subjects::Subjects;
use super::{SCHEMA, Shared, answers, file, read, side, verify, write};
use crate::batch::{Answer, Batch, SideWrite};
use crate::dir::DataDir;
use crate::envelope::{Hash, Head, NewEvent, Preimage};
use crate::error::{AppendError, Error};
use crate::{Checkpoints, Ledger};

/// Bytes of an event's body, and of its kind, actor and each subject.
const MAX_BODY: usize = 16 << 20;
const MAX_TEXT: usize = 1024;
const MAX_SUBJECTS: usize = 1 << 16;
/// Events at the end whose hashes are checked at opening; a torn write would be among them.
const CHECKED_AT_OPEN: u64 = 1024;

/// Called in the middle of an append, so that a test can stop the process there or make the commit
/// fail: an error before the commit undoes the batch, one after it leaves the outcome unknown.
pub type Probe = Box<dyn FnMut(ProbePoint) -> io::Result<()> + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbePoint {
    BeforeCommit,
    AfterCommit,
}

/// The ledger in `greenroom.db`. It belongs to one thread; [`Reader`]s belong to all.
pub struct SqliteLedger {
    path: PathBuf,
    checkpoints: Checkpoints,
    mover: Mover,
    pub(super) store: Store,
    shared: Arc<Shared>,
    poisoned: bool,
    probe: Option<Probe>,
    lock: Arc<File>,
}

/// Everything read from the file at opening.
pub(super) struct Store {
    pub(super) conn: Connection,
    head: Head,
    numbers: Numbers,
    subjects: Subjects,
    log: answers::Log,
    written: Written,
    preimage: Preimage,
    subject_list: Vec<u8>,
    packed: Vec<u8>,
    body: Vec<u8>,
}

/// What becomes true in memory once the transaction is durable.
struct Staged {
    head: Head,
    terms: Vec<(u64, u64)>,
    answers: answers::Changes,
    written: Option<(Written, postings::Finished)>,
    indexed: usize,
}

impl SqliteLedger {
    pub(crate) fn open(dir: &DataDir) -> Result<SqliteLedger, Error> {
        let path = dir.path().join("greenroom.db");
        let checkpoints = dir.checkpoints();
        let shared = Arc::new(Shared::default());
        let store = Store::open(&path, &checkpoints, &shared)?;
        let mover = Mover::start(&path)?;
        Ok(SqliteLedger { path, checkpoints, mover, store, shared, poisoned: false, probe: None, lock: dir.hold() })
    }

    /// A handle for readers on any thread; it stays good when the ledger is reopened.
    pub fn reader(&self) -> Reader {
        Reader::new(self.path.clone(), Arc::clone(&self.shared), Arc::clone(&self.lock))
    }

    pub fn set_probe(&mut self, probe: Option<Probe>) {
        self.probe = probe;
    }

    /// Moves everything from the write-ahead log into the file, for an idle moment or before the
    /// process ends. Readers that are busy leave part of it for the next time.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is lost then.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.store.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        Error::sqlite("cannot write", &self.path, source)
    }

    fn probe(&mut self, point: ProbePoint) -> io::Result<()> {
        self.probe.as_mut().map_or(Ok(()), |probe| probe(point))
    }

    /// Begins a transaction, puts the batch in it and leaves it open.
    fn stage(&mut self, batch: &Batch) -> rusqlite::Result<Staged> {
        let store = &mut self.store;
        store.run("BEGIN IMMEDIATE")?;
        let mut staged = Staged { head: store.head, terms: Vec::with_capacity(batch.events.len() * 4), answers: answers::Changes::default(), written: None, indexed: 0 };
        for event in &batch.events {
            store.append(event, &mut staged, &self.shared)?;
        }
        for write in &batch.side {
            side::apply(&store.conn, write, &mut store.log, &mut staged.answers)?;
        }
        if !batch.events.is_empty() {
            staged.written = store.write_postings(&read(&self.shared.tail), staged.terms.len())?;
        }
        staged.indexed = store.subjects.write_some(&store.conn)?;
        Ok(staged)
    }

    /// Nothing of the batch is kept. When even that fails the ledger must be reopened.
    fn roll_back(&mut self, log: &answers::Mark) {
        let store = &mut self.store;
        store.log.return_to(log);
        store.subjects.roll_back(&self.shared.subjects);
        let undone = if store.conn.is_autocommit() {
            Ok(()) // SQLite rolled back by itself
        } else {
            store.run("ROLLBACK")
        };
        let numbers = undone.and_then(|()| Numbers::load(&store.conn));
        match numbers {
            Ok(numbers) => store.numbers = numbers,
            Err(_) => self.poisoned = true,
        }
    }

    fn publish(&mut self, staged: Staged) -> Head {
        self.store.head = staged.head;
        self.store.log.settle();
        self.store.subjects.publish(staged.indexed, &self.shared.subjects);
        write(&self.shared.answers).publish(&staged.answers);
        let mut tail = write(&self.shared.tail);
        if let Some((written, finished)) = staged.written {
            self.store.written = written;
            if finished.0 {
                tail.forget_first();
                self.store.written = Written::default();
            }
        }
        for (term, seq) in staged.terms {
            tail.push(term, seq);
        }
        self.store.head
    }
}

impl Ledger for SqliteLedger {
    fn head(&self) -> Head {
        self.store.head
    }

    fn append(&mut self, batch: &Batch) -> Result<Head, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        check(batch, self.store.head)?;
        if batch.events.is_empty() && batch.side.is_empty() {
            return Ok(self.store.head);
        }
        let shreds = batch.side.iter().any(SideWrite::shreds);
        if shreds {
            self.store.run_batch("PRAGMA secure_delete = ON").map_err(|source| self.failed(source))?;
        }
        let mark = self.store.log.mark();
        let staged = match self.stage(batch) {
            Ok(staged) => staged,
            Err(source) => {
                self.roll_back(&mark);
                return Err(self.failed(source).into());
            }
        };
        if let Err(source) = self.probe(ProbePoint::BeforeCommit) {
            self.roll_back(&mark);
            return Err(Error::io("cannot write", &self.path, source).into());
        }
        if let Err(source) = self.store.run("COMMIT") {
            if is_surely_undone(&source) {
                self.roll_back(&mark);
                return Err(self.failed(source).into());
            }
            self.poisoned = true;
            return Err(AppendError::OutcomeUnknown { source: Box::new(source) });
        }
        if let Err(source) = self.probe(ProbePoint::AfterCommit) {
            self.poisoned = true;
            return Err(AppendError::OutcomeUnknown { source: Box::new(source) });
        }
        let head = self.publish(staged);
        self.mover.committed(&self.store.conn);
        if shreds {
            // the batch is durable; that its traces go from the log too can only be tried
            let _ = self.store.run_batch("PRAGMA secure_delete = OFF");
            let _ = self.settle();
        }
        Ok(head)
    }

    fn answer(&self, principal: &str, key: &str) -> Result<Option<Answer>, Error> {
        let rows = answers::candidates(&read(&self.shared.answers), principal, key);
        answers::find(&self.store.conn, &rows, principal, key).map_err(|source| Error::sqlite("cannot read", &self.path, source))
    }

    fn reopen(&mut self) -> Result<Head, Error> {
        // stays so when the following fails
        self.poisoned = true;
        self.store = Store::open(&self.path, &self.checkpoints, &self.shared)?;
        self.poisoned = false;
        Ok(self.store.head)
    }
}

impl Store {
    fn open(path: &Path, checkpoints: &Checkpoints, shared: &Shared) -> Result<Store, Error> {
        let conn = file::open_writer(path, &SCHEMA)?;
        let fail = |source| Error::sqlite("cannot read", path, source);
        // moving is the mover's; this many pages only come together when it cannot
        conn.pragma_update(None, "wal_autocheckpoint", 32_000).map_err(fail)?;
        let head = last_event(&conn).map_err(fail)?;
        not_behind(path, head, checkpoints)?;
        verify::check_end(path, head.seq.saturating_sub(CHECKED_AT_OPEN))?;
        let numbers = Numbers::load(&conn).map_err(fail)?;
        let (subjects, unindexed) = Subjects::load(&conn).map_err(fail)?;
        let (log, map) = answers::Log::load(&conn).map_err(fail)?;
        let tail = load_tail(&conn).map_err(fail)?;
        *write(&shared.subjects) = unindexed;
        *write(&shared.answers) = map;
        *write(&shared.tail) = tail;
        Ok(Store { conn, head, numbers, subjects, log, written: Written::default(), preimage: Preimage::default(), subject_list: Vec::new(), packed: Vec::new(), body: Vec::new() })
    }

    fn append(&mut self, event: &NewEvent, staged: &mut Staged, shared: &Shared) -> rusqlite::Result<()> {
        let seq = staged.head.seq + 1;
        let kind = self.numbers.kind(&self.conn, &event.kind, event.version)?;
        let actor = self.numbers.actor(&self.conn, &event.actor)?;
        staged.terms.push((postings::actor_term(actor), seq));
        self.preimage.begin(seq, event.at, &event.kind, event.version);
        self.preimage.actor(&event.actor, &event.command);
        self.subject_list.clear();
        for subject in &event.subjects {
            let id = self.subjects.number(&self.conn, &shared.subjects, subject)?;
            postings::put_number(&mut self.subject_list, id);
            staged.terms.push((postings::subject_term(id), seq));
            self.preimage.subject(subject);
        }
        let hash = self.preimage.finish(&event.body, &staged.head.hash);
        let head = Packed { at: event.at, kind, actor, command: &event.command, hash: &hash.0, subjects: &self.subject_list };
        head.write(&mut self.packed);
        self.body.clear();
        pack::pack(&event.body, &mut self.body);
        self.conn.prepare_cached("INSERT INTO event (seq, head, body) VALUES (?1, ?2, ?3)")?.execute(params![seq.cast_signed(), self.packed, self.body])?;
        staged.head = Head { seq, at: event.at, hash };
        Ok(())
    }

    /// Twice as much as comes in, so that a run is written before the next one is complete.
    fn write_postings(&self, tail: &Tail, incoming: usize) -> rusqlite::Result<Option<(Written, postings::Finished)>> {
        let mut written = self.written.clone();
        let finished = tail.write_some(&mut written, 16 + 2 * incoming, |run, term, seqs| {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO posting (run, term, seqs) VALUES (?1, ?2, ?3)")?
                .execute(params![run.cast_signed(), term.cast_signed(), seqs])
                .map(drop)
        })?;
        if let Some(postings::Finished(true)) = finished {
            self.conn.prepare_cached("INSERT OR REPLACE INTO progress VALUES ('posting', ?1)")?.execute([(tail.first() + 1).cast_signed()])?;
        }
        Ok(finished.map(|finished| (written, finished)))
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(statement)?.execute([]).map(drop)
    }

    pub(super) fn run_batch(&self, statement: &str) -> rusqlite::Result<()> {
        self.conn.execute_batch(statement)
    }
}

fn check(batch: &Batch, head: Head) -> Result<(), AppendError> {
    if let Some(expected) = batch.expect_head.filter(|seq| *seq != head.seq) {
        return Err(AppendError::Conflict { expected, actual: head.seq });
    }
    let mut last = head.at;
    for event in &batch.events {
        if event.at < last {
            return Err(AppendError::Invalid(format!("time {} lies before {last}, the time of the event before", event.at)));
        }
        last = event.at;
        let mut texts = event.subjects.iter().map(String::as_str);
        let fits = |text: &str| !text.is_empty() && text.len() <= MAX_TEXT;
        let sound = fits(&event.kind) && fits(&event.actor) && texts.all(fits) && event.subjects.len() <= MAX_SUBJECTS && event.body.len() <= MAX_BODY;
        if !sound {
            return Err(AppendError::Invalid(format!(
                "an event `{}` is outside the limits: texts of 1 to {MAX_TEXT} bytes, at most \
                 {MAX_SUBJECTS} subjects, a body of at most {MAX_BODY} bytes",
                event.kind
            )));
        }
    }
    Ok(())
}

/// A commit that ran out of room, or never got to write, kept nothing. Of any other failure only
/// the file can tell.
fn is_surely_undone(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy))
}

pub(super) fn last_event(conn: &Connection) -> rusqlite::Result<Head> {
    let last = "SELECT seq, head FROM event ORDER BY seq DESC LIMIT 1";
    let head = conn
        .prepare_cached(last)?
        .query_row([], |row| {
            let head = Packed::read(row.get_ref(1)?.as_blob()?)?;
            Ok(Head { seq: row.get::<_, i64>(0)?.cast_unsigned(), at: head.at, hash: Hash(*head.hash) })
        })
        .optional()?;
    Ok(head.unwrap_or(Head::EMPTY))
}

/// A lost end is invisible in the chain itself; a checkpoint made later gives it away.
fn not_behind(path: &Path, head: Head, checkpoints: &Checkpoints) -> Result<(), Error> {
    match checkpoints.witness()? {
        Some((seq, _, witness)) if seq > head.seq => Err(Error::corrupt(
            path,
            format!(
                "it ends at event {}, but `{}` was made at {seq}; if it comes from a backup, \
                 remove the later checkpoints",
                head.seq,
                witness.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// The terms of the events whose run is not in the index yet.
fn load_tail(conn: &Connection) -> rusqlite::Result<Tail> {
    let first = conn.query_row("SELECT value FROM progress WHERE name = 'posting'", [], |row| row.get::<_, i64>(0)).optional()?.unwrap_or(0).cast_unsigned();
    let mut tail = Tail::starting_at(first);
    let mut events = conn.prepare("SELECT seq, head FROM event WHERE seq > ?1")?;
    let mut rows = events.query([(first * postings::RUN).cast_signed()])?;
    while let Some(row) = rows.next()? {
        let seq = row.get::<_, i64>(0)?.cast_unsigned();
        let head = Packed::read(row.get_ref(1)?.as_blob()?)?;
        tail.push(postings::actor_term(head.actor), seq);
        for subject in postings::numbers(head.subjects) {
            tail.push(postings::subject_term(subject), seq);
        }
    }
    Ok(tail)
}
