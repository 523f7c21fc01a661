//! The last published snapshot of each environment, so that exposure is served before the ledger
//! is read. The bytes are the publisher's, who signs them; nothing is added here.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::file;

#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    pub(crate) fn new(dir: PathBuf) -> Snapshots {
        Snapshots { dir }
    }

    /// Replaces the snapshot of an environment. After a crash either the old or the new one stands.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name cannot be a file's.
    pub fn save(&self, environment: &str, bytes: &[u8]) -> Result<(), Error> {
        file::replace(&self.path(environment)?, &[bytes])
    }

    /// Every snapshot, by name of environment.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn load(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut found = Vec::new();
        for path in file::finished_files(&self.dir)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let bytes = fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
            found.push((name.to_owned(), bytes));
        }
        Ok(found)
    }

    /// Forgets an environment that is no more.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, environment: &str) -> Result<(), Error> {
        let path = self.path(environment)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", &path, e)),
            _ => file::sync_dir(&self.dir),
        }
    }

    fn path(&self, environment: &str) -> Result<PathBuf, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let path = self.dir.join(environment);
        let is_name = !environment.is_empty() && environment.len() <= 200 && !environment.starts_with('.') && environment.chars().all(plain) && !file::is_unfinished(&path);
        if !is_name {
            return Err(Error::Invalid(format!("`{environment}` cannot name a snapshot")));
        }
        Ok(path)
    }
}
