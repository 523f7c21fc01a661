//! The last snapshot on disk, as it was signed, and beside it what relays on the way had forced off: what a start answers from
//! while nobody can be reached.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenroom_exposure::wire::follow::Forced;
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

/// What was forced off when the copy at `path` was written, and still is. It is not signed, and can only take away.
///
/// # Errors
/// See [`Unusable`].
pub fn forced(path: &Path, now: u64) -> Result<Arc<[Forced]>, Unusable> {
    match fs::read(beside(path)) {
        Ok(json) => {
            let forced: Vec<Forced> = serde_json::from_slice(&json).map_err(Refused::Unreadable)?;
            Ok(forced.into_iter().filter(|forced| forced.until > now).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Arc::default()),
        Err(error) => Err(error.into()),
    }
}

fn beside(path: &Path) -> PathBuf {
    with(path, ".forced")
}

fn with(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Replaces `path`: after a crash either the old or the new file stands.
///
/// # Errors
/// When the directory cannot be written to.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = with(path, ".unfinished");
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

/// Keeps the copy, which is of `read`, up to date until the follower has ended, then writes what is left to write.
pub(super) async fn keep(path: PathBuf, read: State, mut state: watch::Receiver<State>) {
    let mut written = Kept::of(&read);
    let mut next = Instant::now();
    loop {
        let ended = state.changed().await.is_err();
        if !ended {
            // the follower may end meanwhile; what is held then is written all the same
            tokio::time::sleep_until(next).await;
        }
        let kept = Kept::of(&state.borrow_and_update());
        if !kept.is(&written) {
            let (path, copied, before) = (path.clone(), kept.clone(), written.clone());
            match tokio::task::spawn_blocking(move || copied.write(&path, &before)).await {
                Ok(Ok(())) => written = kept,
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

/// Of a state, what is kept.
#[derive(Clone)]
struct Kept {
    held: Option<Arc<Held>>,
    forced: Arc<[Forced]>,
}

impl Kept {
    fn of(state: &State) -> Self {
        Self { held: state.held.clone(), forced: Arc::clone(&state.forced) }
    }

    fn is(&self, other: &Self) -> bool {
        self.same_snapshot(other) && self.forced == other.forced
    }

    fn same_snapshot(&self, other: &Self) -> bool {
        self.held.as_ref().map(Arc::as_ptr) == other.held.as_ref().map(Arc::as_ptr)
    }

    /// What is forced off comes first: nothing that is shall be shown by a copy that is newer.
    fn write(&self, path: &Path, before: &Self) -> io::Result<()> {
        if self.forced != before.forced {
            replace(&beside(path), &serde_json::to_vec(&*self.forced)?)?;
        }
        match &self.held {
            Some(held) if !self.same_snapshot(before) => replace(path, &held.envelope()),
            _ => Ok(()),
        }
    }
}
