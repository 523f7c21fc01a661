//! A backup of what a server keeps, made while it runs or not.

use std::fs;
use std::path::Path;

pub use greenroom_ledger::Error as BackupError;
use greenroom_ledger::Head;

/// Copies the ledger, evidence, keys and the configuration in the data directory to `to`, which is not there yet.
///
/// # Errors
/// As [`greenroom_ledger::backup`]; nothing is left at `to` then.
pub fn backup(data: &Path, to: &Path) -> Result<Head, BackupError> {
    let head = greenroom_ledger::backup(data, to)?;
    let configuration = data.join("greenroom.toml");
    if configuration.is_file()
        && let Err(source) = fs::copy(&configuration, to.join("greenroom.toml"))
    {
        let _ = fs::remove_dir_all(to);
        return Err(BackupError::Io { what: "cannot copy", file: configuration, source: Box::new(source) });
    }
    Ok(head)
}
