//! The append-only, hash-chained ledger, the side tables that commit with it, evidence blobs, and
//! checkpoint files.
//!
//! It knows no domain type: an event is a kind, an actor, subjects and a body of bytes; a side
//! table has plain rows. What they mean is for others to say. It asks no clock: every time is given.
//!
//! Start with [`DataDir::open`], then [`DataDir::ledger`] for the one writer and
//! [`SqliteLedger::reader`] for everyone else.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod backup;
mod batch;
mod blobs;
mod checkpoint;
mod dir;
mod envelope;
mod error;
mod file;
mod snapshot;
mod sqlite;

pub use backup::backup;
pub use batch::{Answer, Batch, QueueRow, Sealed, Session, SideWrite, UsageRow};
pub use blobs::{Blob, Blobs, MAX_BLOB};
pub use checkpoint::{Checkpoint, Checkpoints, Found, Skipped};
pub use dir::{DataDir, FORMAT};
pub use envelope::{Event, Hash, Head, NewEvent, event_hash};
pub use error::{AppendError, Error};
pub use snapshot::Snapshots;
pub use sqlite::{Direction, EventRow, Fault, FaultKind, Probe, ProbePoint, Reader, SqliteLedger, VerifyReport};

/// What the engine's writer thread needs of a store. One value, owned by that thread.
pub trait Ledger: Send {
    /// The last event that is known to be durable.
    fn head(&self) -> Head;

    /// Makes the whole batch durable, events and side rows together, or none of it.
    ///
    /// A batch is one transaction and one flush: put many commands in it.
    ///
    /// # Errors
    /// After [`AppendError::OutcomeUnknown`] nobody knows whether the batch is durable, and every
    /// further append is refused until [`Ledger::reopen`]. Any other error: nothing was kept.
    fn append(&mut self, batch: &Batch) -> Result<Head, AppendError>;

    /// The answer given before to this key of this principal. An unknown key is told from memory.
    ///
    /// Batches not yet appended are not seen: the caller looks among them itself.
    ///
    /// # Errors
    /// When the stored row cannot be read.
    fn answer(&self, principal: &str, key: &str) -> Result<Option<Answer>, Error>;

    /// Lets go of everything believed and reads it anew from the store, the head first.
    ///
    /// # Errors
    /// When the store cannot be opened; the ledger then stays unusable and this may be repeated.
    fn reopen(&mut self) -> Result<Head, Error>;
}
