//! What can go wrong with the store, sorted by what the operator or the caller must do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The store could not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no space left for `{}`", file.display())]
    StorageFull { file: PathBuf },

    #[error("`{}` cannot be written", file.display())]
    ReadOnly { file: PathBuf },

    /// The file holds something it never should: torn, overwritten, or not ours.
    #[error("`{}` is damaged: {detail}", file.display())]
    Corrupt { file: PathBuf, detail: String },

    #[error("data directory `{}` is in use by {}", dir.display(), holder(*pid))]
    Locked { dir: PathBuf, pid: Option<u32> },

    #[error("`{}` has format {found}, this program knows up to {known}", file.display())]
    NewerFormat { file: PathBuf, found: u32, known: u32 },

    /// What was asked cannot be stored, whatever the state of the disk.
    #[error("{0}")]
    Invalid(String),

    #[error("{what} `{}`", file.display())]
    Io {
        what: &'static str,
        file: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a batch was not appended, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended since the caller looked.
    #[error("the head is at {actual}, not at {expected}")]
    Conflict { expected: u64, actual: u64 },

    /// The batch breaks a rule of the envelope.
    #[error("{0}")]
    Invalid(String),

    /// The commit itself failed: the batch may be durable or not. Reopen before going on.
    #[error("nobody knows whether the batch was kept")]
    OutcomeUnknown {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// An earlier outcome is unknown and the ledger was not reopened since. Nothing was kept.
    #[error("an earlier outcome is unknown and the ledger was not reopened since")]
    Poisoned,

    /// The store refused; nothing was kept.
    #[error(transparent)]
    Storage(#[from] Error),
}

impl Error {
    /// What the operator can do, as a fragment.
    pub fn remedy(&self) -> &'static str {
        match self {
            Error::StorageFull { .. } => "free space on its volume; writing goes on by itself",
            Error::ReadOnly { .. } => "make the data directory writable for this user",
            Error::Corrupt { .. } => "keep the file aside and restore a backup: docs/backup.md says how",
            Error::Locked { .. } => "stop the other process, or choose another data directory",
            Error::NewerFormat { .. } => "start the newer program, or restore an older backup",
            Error::Invalid(_) => "correct the request",
            Error::Io { .. } => "look at the volume and its kernel messages",
        }
    }

    pub(crate) fn io(what: &'static str, file: &Path, source: io::Error) -> Error {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::StorageFull { file },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Error::ReadOnly { file },
            _ => Error::Io { what, file, source: Box::new(source) },
        }
    }

    pub(crate) fn sqlite(what: &'static str, file: &Path, source: rusqlite::Error) -> Error {
        let file = file.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::StorageFull { file },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::ReadOnly { file },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt { file, detail: source.to_string() },
            // a value of the wrong type can only come from a file that was tampered with
            None if is_odd_value(&source) => Error::Corrupt { file, detail: source.to_string() },
            _ => Error::Io { what, file, source: Box::new(source) },
        }
    }

    pub(crate) fn corrupt(file: &Path, detail: impl Into<String>) -> Error {
        Error::Corrupt { file: file.to_owned(), detail: detail.into() }
    }
}

fn is_odd_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(error, E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) | E::FromSqlConversionFailure(..) | E::Utf8Error(..))
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
