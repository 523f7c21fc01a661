//! The ledger in one SQLite file: a writer connection, and read-only ones beside it.

mod answers;
pub(crate) mod file;
mod history;
mod mover;
mod names;
mod pack;
mod postings;
mod reader;
mod row;
mod side;
mod subjects;
mod tables;
mod verify;
mod writer;

use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use history::Direction;
pub use reader::Reader;
pub use row::EventRow;
pub use verify::{Fault, FaultKind, VerifyReport};
pub use writer::{Probe, ProbePoint, SqliteLedger};

use file::Schema;

use crate::envelope::Head;
use crate::error::Error;

pub(crate) const SCHEMA: Schema = Schema { steps: &[include_str!("../../schema/0001_ledger.sql")], page_size: 4096, shrinks: false };

/// Where the ledger in a file ends that nobody writes.
pub(crate) fn head_of(path: &Path) -> Result<Head, Error> {
    writer::last_event(&file::open_reader(path)?).map_err(|source| Error::sqlite("cannot read", path, source))
}

/// What the writer knows and readers need, because it is not in the file yet or not at all.
#[derive(Default)]
pub(crate) struct Shared {
    tail: RwLock<postings::Tail>,
    subjects: RwLock<subjects::Unindexed>,
    answers: RwLock<answers::Map>,
}

/// No code panics while it holds these; a poisoned lock still guards a whole value.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod refusals {
    //! Failures that only a hand on the connection can bring about at the right moment.

    use super::*;
    use crate::{AppendError, Batch, DataDir, Error, Ledger, NewEvent};

    fn batch(ledger: &SqliteLedger, size: usize) -> Batch {
        let seq = ledger.head().seq;
        let event = |n: u64| NewEvent {
            at: 1,
            kind: "build.registered".into(),
            version: 1,
            actor: "tok_1".into(),
            command: [0; 16],
            subjects: vec![format!("build/{n}")],
            body: vec![b'x'; size],
        };
        Batch { events: (seq..seq + 20).map(event).collect(), ..Batch::default() }
    }

    #[test]
    fn a_full_file_keeps_nothing_of_the_batch() {
        let root = tempfile::tempdir().unwrap();
        let mut ledger = DataDir::open(root.path()).unwrap().ledger().unwrap();
        let pages: i64 = ledger.store.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let limit = |ledger: &SqliteLedger, pages: i64| {
            ledger.store.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        };
        limit(&ledger, pages + 40);
        let refused = loop {
            let batch = batch(&ledger, 1000);
            let head = ledger.head();
            if let Err(error) = ledger.append(&batch) {
                assert_eq!(ledger.head(), head);
                break error;
            }
        };
        assert!(matches!(refused, AppendError::Storage(Error::StorageFull { .. })));
        let head = ledger.head();
        assert!(head.seq > 0);
        let reader = ledger.reader();
        assert_eq!(reader.head().unwrap(), head);
        assert_eq!(reader.subjects_count().unwrap(), head.seq);
        limit(&ledger, pages + 4000);
        let more = batch(&ledger, 1000);
        ledger.append(&more).unwrap();
        assert_eq!(reader.verify(0, |_| {}).unwrap().seq, head.seq + 20);
        assert_eq!(reader.verify(0, |_| {}).unwrap().fault, None);
    }

    #[test]
    fn a_file_that_cannot_be_written_says_so() {
        let root = tempfile::tempdir().unwrap();
        let mut ledger = DataDir::open(root.path()).unwrap().ledger().unwrap();
        ledger.store.run_batch("PRAGMA query_only = ON").unwrap();
        let first = batch(&ledger, 10);
        let refused = ledger.append(&first).unwrap_err();
        assert!(matches!(refused, AppendError::Storage(Error::ReadOnly { .. })));
        ledger.store.run_batch("PRAGMA query_only = OFF").unwrap();
        ledger.append(&first).unwrap();
    }
}
