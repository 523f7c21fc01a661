//! Files replaced whole: written aside, synced, renamed, and the directory synced.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Marks a file that was being written when the process ended.
const UNFINISHED: &str = ".unfinished";

/// After this returns the file holds the parts, one after the other; before, it is untouched.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
    let aside = aside(path);
    let written = write_synced(&aside, parts).and_then(|()| fs::rename(&aside, path).map_err(|source| Error::io("cannot rename to", path, source)));
    if written.is_err() {
        // the error to report is the one above
        let _ = fs::remove_file(&aside);
        return written;
    }
    match path.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

pub(crate) fn is_unfinished(path: &Path) -> bool {
    path.to_string_lossy().ends_with(UNFINISHED)
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| Error::io("cannot sync", dir, source))
}

pub(crate) fn make_dir(dir: &Path, mode: u32) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|source| Error::io("cannot create directory", dir, source))
}

/// The regular files of a directory, unfinished ones removed on the way.
pub(crate) fn finished_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |source| Error::io("cannot list", dir, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        if !entry.file_type().map_err(fail)?.is_file() {
            continue;
        }
        if is_unfinished(&path) {
            fs::remove_file(&path).map_err(|source| Error::io("cannot remove", &path, source))?;
            continue;
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    write().map_err(|source| Error::io("cannot write", path, source))
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}
