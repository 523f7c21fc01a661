//! The data directory: its layout, its format number, and the lock that keeps a second process out.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::blobs::Blobs;
use crate::checkpoint::Checkpoints;
use crate::error::Error;
use crate::file;
use crate::snapshot::Snapshots;
use crate::sqlite::SqliteLedger;

/// The layout this program writes.
pub const FORMAT: u32 = 1;

/// A data directory held by this process. Everything opened from it holds the lock too.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
    lock: Arc<File>,
}

impl DataDir {
    /// Takes the directory for this process, creating what is missing.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process holds it, [`Error::NewerFormat`] when a newer
    /// program wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<DataDir, Error> {
        let root = path.as_ref();
        file::make_dir(root, 0o700)?;
        // relative names would change meaning with the working directory
        let root = fs::canonicalize(root).map_err(|e| Error::io("cannot resolve", root, e))?;
        let lock = Arc::new(lock(&root)?);
        check_format(&root.join("format"))?;
        for dir in ["checkpoints", "snapshots", "run"] {
            file::make_dir(&root.join(dir), 0o755)?;
        }
        file::make_dir(&root.join("keys"), 0o700)?;
        file::sync_dir(&root)?;
        Ok(DataDir { root, lock })
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Private keys; only this user may enter.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// What the process driver keeps about what it runs.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The one writer. Open it once: a second one would see its head move away.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the file is not a sound ledger, or lies behind its own checkpoints.
    pub fn ledger(&self) -> Result<SqliteLedger, Error> {
        SqliteLedger::open(self)
    }

    /// # Errors
    /// When `blobs.db` cannot be opened.
    pub fn blobs(&self) -> Result<Blobs, Error> {
        Blobs::open(self)
    }

    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.root.join("checkpoints"))
    }

    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.root.join("snapshots"))
    }

    pub(crate) fn hold(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }
}

/// The kernel lets go of the lock when the process ends, however it ends; the pid is only for the
/// message.
fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let fail = |what| {
        let path = path.clone();
        move |source| Error::io(what, &path, source)
    };
    let mut open = OpenOptions::new();
    // on a file system that takes no writes the lock is as good: the last snapshots can still be served
    let file = match open.read(true).write(true).create(true).truncate(false).mode(0o644).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
        other => other,
    };
    let mut file = file.map_err(fail("cannot open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok();
            return Err(Error::Locked { dir: root.to_owned(), pid: pid.and_then(|_| text.trim().parse().ok()) });
        }
        Err(errno) => return Err(fail("cannot lock")(errno.into())),
    }
    let pid = format!("{}\n", std::process::id());
    // a full disk is no reason to stay away
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
    Ok(file)
}

fn check_format(path: &Path) -> Result<(), Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return file::replace(path, &[format!("{FORMAT}\n").as_bytes()]);
        }
        Err(error) => return Err(Error::io("cannot read", path, error)),
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found <= FORMAT => Ok(()),
        Ok(found) => Err(Error::NewerFormat { file: path.to_owned(), found, known: FORMAT }),
        Err(_) => Err(Error::corrupt(path, "it holds no format number")),
    }
}
