//! The envelope of an event and the hash that chains it to the one before.
//!
//! hash = SHA-256 over the fields `greenroom/event/1`, seq, at, kind, version, actor, command,
//! subjects, body, prev, each preceded by its length as a big-endian u32. Numbers are big-endian in
//! their full width (8, 8, 2 bytes); the subjects are one field that holds each subject preceded by
//! its length. The first event's prev is 32 zero bytes. Anyone can compute it from [`Event`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

const TAG: &[u8] = b"greenroom/event/1";

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn of(content: &[u8]) -> Hash {
        Hash(Sha256::digest(content).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The last event of a ledger; of an empty one, [`Head::EMPTY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    /// µs UTC.
    pub at: i64,
    pub hash: Hash,
}

impl Head {
    pub const EMPTY: Head = Head { seq: 0, at: 0, hash: Hash([0; 32]) };
}

/// An event about to be written; seq, prev and hash are the ledger's to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// µs UTC, not before the head's.
    pub at: i64,
    pub kind: Cow<'static, str>,
    pub version: u16,
    pub actor: String,
    pub command: [u8; 16],
    pub subjects: Vec<String>,
    /// JSON as written; its bytes are what the hash covers.
    pub body: Vec<u8>,
}

/// An event as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub seq: u64,
    pub at: i64,
    pub kind: Arc<str>,
    pub version: u16,
    pub actor: Arc<str>,
    pub command: [u8; 16],
    pub subjects: Vec<Arc<str>>,
    pub body: Vec<u8>,
    pub prev: Hash,
    pub hash: Hash,
}

/// What [`Event::hash`] must be, computed from the other fields.
pub fn event_hash(event: &Event) -> Hash {
    let mut preimage = Preimage::default();
    preimage.begin(event.seq, event.at, &event.kind, event.version);
    preimage.actor(&event.actor, &event.command);
    event.subjects.iter().for_each(|subject| preimage.subject(subject));
    preimage.finish(&event.body, &event.prev)
}

/// The bytes under the hash, in a buffer used again for every event. Call in order: `begin`,
/// `actor`, `subject` for each, `finish`.
#[derive(Default)]
pub(crate) struct Preimage {
    head: Vec<u8>,
    subjects: Vec<u8>,
}

impl Preimage {
    pub(crate) fn begin(&mut self, seq: u64, at: i64, kind: &str, version: u16) {
        self.head.clear();
        self.subjects.clear();
        put(&mut self.head, TAG);
        put(&mut self.head, &seq.to_be_bytes());
        put(&mut self.head, &at.to_be_bytes());
        put(&mut self.head, kind.as_bytes());
        put(&mut self.head, &version.to_be_bytes());
    }

    pub(crate) fn actor(&mut self, actor: &str, command: &[u8; 16]) {
        put(&mut self.head, actor.as_bytes());
        put(&mut self.head, command);
    }

    pub(crate) fn subject(&mut self, subject: &str) {
        put(&mut self.subjects, subject.as_bytes());
    }

    pub(crate) fn finish(&mut self, body: &[u8], prev: &Hash) -> Hash {
        put(&mut self.head, &self.subjects);
        put(&mut self.head, body);
        put(&mut self.head, &prev.0);
        Hash::of(&self.head)
    }
}

/// Lengths fit: the ledger refuses longer fields before they come here.
fn put(buffer: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed() -> Event {
        Event {
            seq: 42,
            at: 1_790_000_000_123_456,
            kind: "deployment.requested".into(),
            version: 1,
            actor: "per_0190a1b2".into(),
            command: *b"0123456789abcdef",
            subjects: vec!["deployment/dep_1".into(), "environment/production".into()],
            body: br#"{"build":"shop-web@1.1.0","to":"production"}"#.to_vec(),
            prev: Hash([7; 32]),
            hash: Hash::default(),
        }
    }

    /// Computed apart from this code, with Python's hashlib. A change here voids every ledger.
    #[test]
    fn golden_hash() {
        assert_eq!(event_hash(&fixed()).to_string(), "a70a43b6d2ed2ffddd4bde9cce3a3374b6ffd6ddf91f924551a898377bf1dc86");
        let mut bare = fixed();
        bare.seq = 1;
        bare.subjects.clear();
        bare.prev = Hash::default();
        assert_eq!(event_hash(&bare).to_string(), "5cd1cb8efaaee6018f12c33910754c9edd51b76480644e6f121778fada95f1ee");
    }

    #[test]
    fn every_field_is_covered() {
        let mut changed: Vec<Event> = std::iter::repeat_with(fixed).take(10).collect();
        changed[0].seq += 1;
        changed[1].at += 1;
        changed[2].kind = "deployment.requesteD".into();
        changed[3].version += 1;
        changed[4].actor = "per_0190a1b3".into();
        changed[5].command[15] ^= 1;
        changed[6].subjects.swap(0, 1);
        changed[7].subjects = vec!["deployment/dep_1environment/production".into()];
        changed[8].body.pop();
        changed[9].prev.0[0] ^= 1;
        let original = event_hash(&fixed());
        assert!(changed.iter().all(|event| event_hash(event) != original));
    }
}
