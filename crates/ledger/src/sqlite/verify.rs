//! Computing the chain again from what the file says, to the first thing that does not fit.

use std::path::Path;

use super::names::Texts;
use super::reader::{Access, Reader, hash_at, scan};
use super::row::EventRow;
use crate::envelope::{Hash, Preimage};
use crate::error::Error;

/// Subjects remembered while verifying: some 15 MB at most.
const SUBJECTS: usize = 1 << 18;
/// Events between two words of progress.
const STEP: u64 = 1 << 14;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The event taken as given, 0 for none; the first one verified comes after it.
    pub after: u64,
    /// The last one that verified.
    pub seq: u64,
    /// Its hash: compare it with one that was signed and sent out.
    pub hash: Hash,
    /// What stopped it; `None` when the chain is whole.
    pub fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub seq: u64,
    pub kind: FaultKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The number before it is missing.
    Gap,
    /// Its time lies before that of the event before.
    TimeWentBack,
    /// It, or the event before, was changed after it was written.
    OtherHash,
    /// It names a kind, an actor or a subject that is not there, or its row cannot be read.
    Unreadable(String),
}

impl Reader {
    /// Verifies every event after `after`, whose own hash is taken as given; 0 verifies the whole
    /// chain. `progress` hears the seq reached, now and then.
    ///
    /// # Errors
    /// When the file cannot be read at all. A broken chain is a report, not an error.
    pub fn verify(&self, after: u64, progress: impl FnMut(u64)) -> Result<VerifyReport, Error> {
        verify(&self.inner.path, after, progress)
    }
}

/// Refuses a file whose last events do not verify.
pub(super) fn check_end(path: &Path, after: u64) -> Result<(), Error> {
    match verify(path, after, |_| {})?.fault {
        None => Ok(()),
        Some(Fault { seq, kind }) => Err(Error::corrupt(path, format!("event {seq} does not follow from the one before ({kind:?})"))),
    }
}

fn verify(path: &Path, after: u64, mut progress: impl FnMut(u64)) -> Result<VerifyReport, Error> {
    let mut access = Access::open(path, Texts::with_room_for(SUBJECTS))?;
    let given = hash_at(&access.conn, after).map_err(|source| Error::sqlite("cannot read", path, source))?;
    let mut report = VerifyReport { after, seq: after, hash: given.unwrap_or_default(), fault: None };
    if after > 0 && given.is_none() {
        report.fault = Some(Fault { seq: after, kind: FaultKind::Gap });
        return Ok(report);
    }
    let mut last_at = i64::MIN;
    let mut preimage = Preimage::default();
    let scanned = scan(&mut access, path, after, |row| {
        let kind = fault(row, &report, last_at, &mut preimage)?;
        if let Some(kind) = kind {
            return Err(Stop::At(Fault { seq: row.seq, kind }));
        }
        last_at = row.at;
        report.seq = row.seq;
        report.hash = row.hash;
        if row.seq.is_multiple_of(STEP) {
            progress(row.seq);
        }
        Ok(())
    });
    match scanned {
        Ok(_) => {}
        Err(Stop::At(fault)) => report.fault = Some(fault),
        Err(Stop::Error(Error::Corrupt { detail, .. })) => {
            report.fault = Some(Fault { seq: report.seq + 1, kind: FaultKind::Unreadable(detail) });
        }
        Err(Stop::Error(error)) => return Err(error),
    }
    progress(report.seq);
    Ok(report)
}

fn fault(row: &EventRow<'_>, report: &VerifyReport, last_at: i64, preimage: &mut Preimage) -> Result<Option<FaultKind>, Error> {
    if row.seq != report.seq + 1 {
        return Ok(Some(FaultKind::Gap));
    }
    if row.at < last_at {
        return Ok(Some(FaultKind::TimeWentBack));
    }
    preimage.begin(row.seq, row.at, row.kind, row.version);
    preimage.actor(row.actor, row.command);
    row.each_subject(|subject| preimage.subject(subject))?;
    let hash = preimage.finish(row.body, &report.hash);
    Ok((hash != row.hash).then_some(FaultKind::OtherHash))
}

enum Stop {
    At(Fault),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}
