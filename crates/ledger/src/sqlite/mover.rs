//! Moves what is committed from the write-ahead log into the file, beside the writer: done by the writer itself it would
//! be a pause of many milliseconds after every few hundred commits.
//!
//! While the writer never rests, the log never comes to an end and so cannot begin anew. Once it has become long, the
//! writer moves by itself the little that has come since we last did.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::{SCHEMA, file};
use crate::error::Error;

/// From a commit to the move that takes it along, with all that come meanwhile.
const GATHER: Duration = Duration::from_millis(500);
/// Pages in the log after which it should begin anew.
const LONG: i64 = 4096;

pub(super) struct Mover {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Something was committed that is not being moved.
    gathered: AtomicBool,
    /// The log is long, and all but its end is moved.
    long: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Mover {
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let conn = file::open_writer(path, &SCHEMA)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let run = move || theirs.run(&conn);
        let thread = std::thread::Builder::new().name("ledger-mover".to_owned()).spawn(run).map_err(|source| Error::io("cannot start a thread for", path, source))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// To be called after every commit.
    pub(super) fn committed(&self, writer: &Connection) {
        if self.shared.long.swap(false, Ordering::Relaxed) {
            let _ = pass(writer);
        }
        if !self.shared.gathered.swap(true, Ordering::Release) {
            drop(self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn run(&self, conn: &Connection) {
        loop {
            let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            let stop = self.wake.wait_while(stop, |stop| !*stop && !self.gathered.load(Ordering::Acquire)).unwrap_or_else(PoisonError::into_inner);
            let (stop, _) = self.wake.wait_timeout_while(stop, GATHER, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
            if *stop {
                return;
            }
            drop(stop);
            self.gathered.store(false, Ordering::Release);
            // what cannot be moved now is moved another time; that the disk is full, the next commit says
            if pass(conn).is_ok_and(|pages| pages >= LONG) {
                self.long.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Moves as much as readers allow, waiting for nobody. Pages in the log.
fn pass(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}

impl Drop for Mover {
    /// Its connection must be closed before the writer's, whose closing empties the log.
    fn drop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
