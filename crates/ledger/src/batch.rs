//! One transaction: events and the side rows that must stand or fall with them.

use crate::envelope::{Hash, NewEvent};

/// Appended whole or not at all. Side writes alone are a batch too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Refuse unless the head stands here.
    pub expect_head: Option<u64>,
    pub events: Vec<NewEvent>,
    /// Applied in order, after the events.
    pub side: Vec<SideWrite>,
}

/// The answer kept for a command's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub principal: String,
    pub key: String,
    /// Of the request's body: the same key with another body is a mistake of the caller.
    pub request: Hash,
    pub status: u16,
    pub response: Vec<u8>,
    /// µs UTC.
    pub at: i64,
}

/// A signed-in browser. Only the hash of its secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: Hash,
    pub person: String,
    /// µs UTC.
    pub created: i64,
    /// µs UTC.
    pub expires: i64,
    pub body: Vec<u8>,
}

/// Text an event names only by `sha256(nonce ‖ content)`, so that it can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub hash: Hash,
    pub nonce: Vec<u8>,
    pub content: Vec<u8>,
}

/// How often a variant was given out on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub feature: String,
    pub variant: String,
    pub build: String,
    pub environment: String,
    /// Days since 1970-01-01 UTC.
    pub day: i32,
    pub count: u64,
}

/// Something to be done at or after `due`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    pub queue: String,
    pub id: [u8; 16],
    /// µs UTC.
    pub due: i64,
    pub body: Vec<u8>,
}

/// A change to a side table. Removing what is not there is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideWrite {
    /// The newest answer to a key counts.
    Answer(Answer),
    /// Forgets answers older than `before` (µs UTC), the oldest 8,192 at most; repeat for more.
    PruneAnswers {
        before: i64,
    },
    /// Replaces what is known of a person.
    Person {
        person: String,
        profile: Vec<u8>,
    },
    ForgetPerson {
        person: String,
    },
    /// `hash` is a password hash in PHC form.
    Credential {
        person: String,
        hash: String,
    },
    ForgetCredential {
        person: String,
    },
    /// Opens or replaces a session.
    Session(Session),
    EndSession {
        id: Hash,
    },
    EndSessionsOf {
        person: String,
    },
    PruneSessions {
        expired_before: i64,
    },
    Seal(Sealed),
    /// Deletes and overwrites the text; the event that names it still verifies.
    Erase {
        hash: Hash,
    },
    /// Cuts every kept answer to its first `keep` bytes: each may quote what was erased.
    CutAnswers {
        keep: u32,
    },
    /// Adds `count` to the row.
    Usage(UsageRow),
    PruneUsage {
        before_day: i32,
    },
    /// Adds a row or replaces the one with the same queue and id.
    Enqueue(QueueRow),
    Dequeue {
        queue: String,
        id: [u8; 16],
    },
}

impl SideWrite {
    /// Whether what it removes must not linger in freed pages.
    pub(crate) fn shreds(&self) -> bool {
        matches!(self, SideWrite::Erase { .. } | SideWrite::CutAnswers { .. } | SideWrite::ForgetPerson { .. } | SideWrite::ForgetCredential { .. })
    }
}
