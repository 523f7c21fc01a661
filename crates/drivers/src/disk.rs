//! Records on disk: written whole or not at all, and locked by whoever changes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{}`", path.display())]
pub struct DiskError {
    pub what: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

pub(crate) trait At<T> {
    /// Says what was being done to which path.
    fn at(self, what: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { what, path: path.to_owned(), source })
    }
}

/// Whether a power cut may lose the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Durably,
    /// Of use only while its writer lives.
    Meanwhile,
}

pub(crate) fn create_dir(path: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(path).at("create the directory", path)
}

/// A name beside `path` that no other writer uses.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Replaces `path` by rename: readers see the old or the new value, never a mixture.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T, keep: Keep) -> Result<(), DiskError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from).at("write", path)?;
    let new = beside(path);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        if keep == Keep::Durably {
            file.sync_all()?;
        }
        fs::rename(&new, path)?;
        if keep == Keep::Durably {
            sync_parent(path)?;
        }
        Ok(())
    };
    write()
        .inspect_err(|_: &io::Error| {
            let _ = fs::remove_file(&new);
        })
        .at("write", path)
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// `None` if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from).at("understand", path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("read", path),
    }
}

/// An advisory lock on a file, held until dropped; the kernel frees it when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// `None` if someone else holds it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, DiskError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).at("open", path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(io::Error::from(e)).at("lock", path),
        }
    }

    /// Waits. Holders keep it for one short step only; blocks the thread.
    pub(crate) fn wait(path: &Path) -> Result<Self, DiskError> {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(lock) = Self::take(path)? {
                return Ok(lock);
            }
            if Instant::now() > patience {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process has held it for ten seconds")).at("lock", path);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// `path` as people look for it: the names of the directory `base` and of the one that it is in, and the way from there.
/// What a program wrote may hold secrets and personal data, so that others are told where it stands and never what it says.
pub(crate) fn way_to(path: &Path, base: &Path) -> String {
    let way = path.strip_prefix(base).unwrap_or(path);
    let names = [base.parent(), Some(base)].into_iter().flatten().filter_map(Path::file_name);
    names.map(Path::new).chain([way]).collect::<PathBuf>().display().to_string()
}

/// The last line with something on it, at most `limit` characters; reads no more than the end of the file.
pub(crate) fn last_line(path: &Path, limit: usize) -> Option<String> {
    let text = String::from_utf8_lossy(&tail(path, 4096).ok()?).into_owned();
    let line = text.lines().map(str::trim).rfind(|l| !l.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(limit).collect())
}

/// The last `limit` bytes.
pub(crate) fn tail(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_starts_at_the_directory_that_people_know() {
        assert_eq!(way_to(Path::new("/data/run/test/services/web/x.log"), Path::new("/data/run/test")), "run/test/services/web/x.log");
        assert_eq!(way_to(Path::new("/x.log"), Path::new("/")), "x.log");
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped_and_a_record_is_replaced_whole() {
        let dir = std::env::temp_dir().join(format!("greenroom-disk-{}", std::process::id()));
        create_dir(&dir).unwrap();
        let path = dir.join("lock");
        let held = Lock::wait(&path).unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::take(&path).unwrap().is_some());

        let record = dir.join("record.json");
        assert_eq!(read_json::<Vec<u32>>(&record).unwrap(), None);
        for value in [vec![1, 2, 3], vec![4]] {
            write_json(&record, &value, Keep::Durably).unwrap();
            assert_eq!(read_json::<Vec<u32>>(&record).unwrap(), Some(value));
        }
        fs::write(&record, "[1,").unwrap();
        assert!(read_json::<Vec<u32>>(&record).unwrap_err().to_string().starts_with("cannot understand"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "no temporary file is left");
        fs::remove_dir_all(&dir).unwrap();
    }
}
