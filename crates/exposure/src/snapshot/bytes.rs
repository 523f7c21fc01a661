//! A snapshot as bytes and back, for whoever keeps a copy: many times faster to read than JSON, and to be thrown away. What
//! reads another format than [`BINARY_FORMAT`] refuses it, and JSON is read instead.
//!
//! Bytes hold the sources (`crate::source`), not programs: what is loaded is compiled, so that it cannot answer other than
//! its model does, whoever wrote the bytes. They are neither signed nor checked for damage; whoever keeps them sees to that.

use std::collections::BTreeMap;
use std::fmt;

use super::{Origin, Parts, Snapshot};
use crate::compile::Warning;
use crate::model::AttributeType;
use crate::source::{Malformed, Reader, put_declared, put_number, put_text};

/// The format id of [`Snapshot::to_bytes`]. Any change to what is written takes another number.
pub const BINARY_FORMAT: &str = "greenroom/snapshot-binary/1";

/// Why bytes are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// They are of another format, or no snapshot at all.
    Format,
    /// They begin as they should, and are cut or damaged.
    Damaged,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => write!(f, "it is not of format `{BINARY_FORMAT}`: read the JSON instead"),
            Self::Damaged => f.write_str("it is cut or damaged: read the JSON instead"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

impl Snapshot {
    /// Equal models give equal bytes, whatever changes led there.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<(&str, &str)> = self.store.iter().map(|entry| (entry.program.key(), entry.program.source())).collect();
        entries.sort_unstable();
        let mut out = String::with_capacity(256 + entries.iter().map(|(key, source)| key.len() + source.len() + 4).sum::<usize>());
        put_text(&mut out, BINARY_FORMAT);
        put_text(&mut out, &self.environment);
        put_number(&mut out, self.revision);
        put_number(&mut out, self.attributes.len() as u64);
        for (name, declared) in &*self.attributes {
            put_text(&mut out, name);
            put_declared(&mut out, *declared);
        }
        let cohorts: Vec<(&str, &str)> = self.cohorts.iter().map(|cohort| (&*cohort.name, &*cohort.source)).collect();
        for list in [cohorts, entries] {
            put_number(&mut out, list.len() as u64);
            for (name, source) in list {
                put_text(&mut out, name);
                put_text(&mut out, source);
            }
        }
        out.into_bytes()
    }

    /// What [`Self::to_bytes`] wrote, with the warnings of compiling it. Anything may be given.
    ///
    /// # Errors
    /// If it is not of this format, or not whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, Vec<Warning>), Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Format)?;
        let mut from = Reader::new(text);
        if from.text() != Ok(BINARY_FORMAT) {
            return Err(Unreadable::Format);
        }
        let (environment, revision) = (from.text()?, from.number()?);
        let attributes: BTreeMap<String, AttributeType> =
            ascending(&mut from, |from| Ok((from.text()?, from.declared()?)))?.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
        let parts = Parts { revision, attributes: Some(&attributes), put_cohorts: ascending(&mut from, named)?, put: ascending(&mut from, named)?, drop_cohorts: &[], drop: &[] };
        from.end()?;
        Ok(Self::empty(environment, revision).with_parts(&parts, Origin::Bytes)?)
    }
}

fn named<'a>(from: &mut Reader<'a>) -> Result<(&'a str, &'a str), Malformed> {
    Ok((from.text()?, from.text()?))
}

/// Things by name, each once and in order.
fn ascending<'a, T>(from: &mut Reader<'a>, one: impl Fn(&mut Reader<'a>) -> Result<(&'a str, T), Malformed>) -> Result<Vec<(&'a str, T)>, Malformed> {
    let count = from.count()?;
    let mut all: Vec<(&str, T)> = Vec::with_capacity(count.min(1 << 16));
    for _ in 0..count {
        let next = one(from)?;
        if all.last().is_some_and(|(last, _)| *last >= next.0) {
            return Err(Malformed);
        }
        all.push(next);
    }
    Ok(all)
}
