//! The ledger in one SQLite file: a writer connection, and read-only ones beside it.

mod answers;
pub(crate) mod file;
mod history;
mod names;
mod postings;
mod reader;
mod row;
mod side;
mod tables;
mod verify;
mod writer;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use history::Direction;
pub use reader::Reader;
pub use row::EventRow;
pub use verify::{Fault, FaultKind, VerifyReport};
pub use writer::{Probe, ProbePoint, SqliteLedger};

use file::Schema;

pub(crate) const SCHEMA: Schema = Schema {
    steps: &[include_str!("../../schema/0001_ledger.sql")],
    page_size: 4096,
    shrinks: false,
};

/// What the writer knows and readers need, because it is not in the file yet or not at all.
#[derive(Default)]
pub(crate) struct Shared {
    tail: RwLock<postings::Tail>,
    answers: RwLock<answers::Map>,
}

/// No code panics while it holds these; a poisoned lock still guards a whole value.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
