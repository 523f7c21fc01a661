//! The last snapshot on disk, as it was signed: what a start answers from while nobody can be reached.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::State;
use super::held::{Held, Refused};
use super::key::Key;

/// Copies are at least this far apart; the first after a quiet time is written at once.
const APART: Duration = Duration::from_millis(500);

/// Why a copy is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The copy at `path`, if there is one. It is believed no more than what comes over the wire.
///
/// # Errors
/// See [`Unusable`].
pub fn load(path: &Path, key: &Key, environment: Option<&Arc<str>>) -> Result<Option<Held>, Unusable> {
    match fs::read_to_string(path) {
        Ok(json) => Ok(Some(Held::whole(&json, key, environment, None)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces `path`: after a crash either the old or the new file stands.
///
/// # Errors
/// When the directory cannot be written to.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unfinished");
    let aside = PathBuf::from(aside);
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // else the new name may be lost with the power
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}

/// Keeps the copy up to date until the follower has ended, then writes what is left to write.
pub(super) async fn keep(path: PathBuf, mut state: watch::Receiver<State>) {
    let mut written = state.borrow().held.clone();
    let mut next = Instant::now();
    loop {
        let ended = state.changed().await.is_err();
        if !ended {
            // the follower may end meanwhile; what is held then is written all the same
            tokio::time::sleep_until(next).await;
        }
        let held = state.borrow_and_update().held.clone();
        if let Some(held) = held.filter(|held| written.as_ref().is_none_or(|written| !Arc::ptr_eq(written, held))) {
            let (path, copied) = (path.clone(), Arc::clone(&held));
            match tokio::task::spawn_blocking(move || replace(&path, &copied.envelope())).await {
                Ok(Ok(())) => written = Some(held),
                Ok(Err(error)) => tracing::warn!(%error, "the snapshot could not be kept on disk"),
                Err(error) => tracing::warn!(%error, "the snapshot could not be kept on disk"),
            }
            next = Instant::now() + APART;
        }
        if ended {
            return;
        }
    }
}
