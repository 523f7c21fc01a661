//! A copy of a data directory in which a server may be at work.

use std::fs;
use std::path::Path;

use crate::dir::FORMAT;
use crate::envelope::Head;
use crate::error::Error;
use crate::file::{make_dir, replace};
use crate::sqlite;

/// Copies what cannot be made again, ledger, evidence and keys, to a directory that is not there yet, and says where the
/// ledger ends there. No lock is taken, and whoever writes is not held up: each file is read as of one moment.
///
/// # Errors
/// When there is no ledger, something is at `to` already, or the copy cannot be written; what was written of it is removed.
pub fn backup(data: &Path, to: &Path) -> Result<Head, Error> {
    if !data.join("greenroom.db").is_file() {
        return Err(Error::Invalid(format!("`{}` holds no ledger", data.display())));
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::Invalid(format!("`{}` exists already", to.display())));
    }
    make_dir(to, 0o700)?;
    let copied = copy(data, to);
    if copied.is_err() {
        // the error to report is the one above
        let _ = fs::remove_dir_all(to);
    }
    copied
}

fn copy(data: &Path, to: &Path) -> Result<Head, Error> {
    // evidence is kept before the event that names it: copied after the ledger, none that it names is missing
    for name in ["greenroom.db", "blobs.db"] {
        let from = data.join(name);
        if from.is_file() {
            sqlite::file::copy_into(&sqlite::file::open_reader(&from)?, &to.join(name))?;
        }
    }
    make_dir(&to.join("keys"), 0o700)?;
    let keys = data.join("keys");
    for key in fs::read_dir(&keys).map_err(|e| Error::io("cannot list", &keys, e))? {
        let key = key.map_err(|e| Error::io("cannot list", &keys, e))?;
        let bytes = fs::read(key.path()).map_err(|e| Error::io("cannot read", &key.path(), e))?;
        replace(&to.join("keys").join(key.file_name()), &[&bytes])?;
    }
    replace(&to.join("format"), &[format!("{FORMAT}\n").as_bytes()])?;
    sqlite::head_of(&to.join("greenroom.db"))
}
