//! What is forced off at this relay: break-glass for when nobody who decides can be reached. A file, so that whoever may write
//! into the directory may do it, and it outlives the process; for a day at most, so that it does not become a decision.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use greenroom_exposure::wire::follow::Forced;
use greenroom_follow::replace;
use tokio::sync::watch;

use crate::line::Line;
use crate::{Clock, disk};

/// The longest that anything is forced off for.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks at the file and the clock.
const LOOK: Duration = Duration::from_millis(200);
/// What is served is on disk within this time: a feature that is not there yet may be served already.
const KEPT: Duration = Duration::from_secs(2);
const FILE: &str = "forced.json";

#[derive(Debug, thiserror::Error)]
pub enum OffError {
    #[error("no relay has run in `{}`", .0.display())]
    NoRelay(PathBuf),
    /// A slip of the pen must not look like success.
    #[error("nothing that is served here has a feature `{0}`")]
    NoFeature(String),
    #[error("at most 24 hours: what shall stay off is withdrawn at the control plane")]
    TooLong,
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Forces `feature` off at the relay of the directory `data`, which notices within a moment if it runs. Whatever was said of the feature
/// before is replaced. Blocks for a moment where no such feature is known yet.
///
/// # Errors
/// See [`OffError`].
pub fn off(data: &Path, feature: &str, lasting: Duration, reason: &str, now: u64) -> Result<Forced, OffError> {
    if lasting > LONGEST {
        return Err(OffError::TooLong);
    }
    let failed = |source| OffError::File { path: data.to_owned(), source };
    let relay = disk::name(data).map_err(failed)?.ok_or_else(|| OffError::NoRelay(data.to_owned()))?;
    let asked = Instant::now();
    while !disk::has(data, feature).map_err(failed)? {
        if asked.elapsed() > KEPT {
            return Err(OffError::NoFeature(feature.to_owned()));
        }
        std::thread::sleep(LOOK / 4);
    }
    let forced = Forced { feature: feature.to_owned(), until: now.saturating_add(lasting.as_secs()), relay, reason: reason.to_owned() };
    change(data, now, |list| {
        list.retain(|other| other.feature != feature);
        list.push(forced.clone());
    })?;
    Ok(forced)
}

/// Takes back what [`off`] did. Says whether there was anything to take back.
///
/// # Errors
/// See [`OffError`].
pub fn lift(data: &Path, feature: &str, now: u64) -> Result<bool, OffError> {
    change(data, now, |list| {
        let before = list.len();
        list.retain(|other| other.feature != feature);
        list.len() < before
    })
}

fn change<T>(data: &Path, now: u64, change: impl FnOnce(&mut Vec<Forced>) -> T) -> Result<T, OffError> {
    let path = data.join(FILE);
    let failed = |source| OffError::File { path: path.clone(), source };
    let mut list = read(&path).map_err(failed)?;
    list.retain(|forced| forced.until > now);
    let done = change(&mut list);
    list.sort_unstable();
    replace(&path, &serde_json::to_vec(&list).unwrap_or_default()).map_err(failed)?;
    Ok(done)
}

fn read(path: &Path) -> io::Result<Vec<Forced>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The file, looked at now and then.
pub(crate) struct Watched {
    path: PathBuf,
    relay: Arc<str>,
    clock: Clock,
    /// When the file was written that `listed` was read from.
    written: Option<SystemTime>,
    listed: Vec<Forced>,
    list: watch::Sender<Arc<[Forced]>>,
}

impl Watched {
    pub(crate) fn new(data: &Path, relay: Arc<str>, clock: Clock) -> Self {
        let mut watched = Self { path: data.join(FILE), relay, clock, written: None, listed: Vec::new(), list: watch::Sender::new(Arc::default()) };
        watched.look();
        watched
    }

    /// What is forced off now.
    pub(crate) fn list(&self) -> watch::Receiver<Arc<[Forced]>> {
        self.list.subscribe()
    }

    pub(crate) async fn run(mut self, lines: Vec<Arc<Line>>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.look() {
                lines.iter().for_each(|line| line.publish());
            }
        }
    }

    /// Whether something else is forced off than before.
    fn look(&mut self) -> bool {
        let written = std::fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        if written != self.written {
            match read(&self.path) {
                Ok(list) => (self.listed, self.written) = (list, written),
                // what was forced off before stays so until it can be read
                Err(error) => tracing::warn!(path = %self.path.display(), %error, "what is forced off cannot be read"),
            }
        }
        let now = (self.clock)();
        let standing = |forced: &&Forced| forced.until > now && forced.until - now <= LONGEST.as_secs();
        let list: Vec<Forced> = self.listed.iter().filter(standing).map(|forced| Forced { relay: self.relay.to_string(), ..forced.clone() }).collect();
        self.list.send_if_modified(|known| {
            let news = **known != *list;
            if news {
                *known = list.into();
            }
            news
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_forced_off_is_kept_and_ends_by_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        let (data, hour) = (dir.path(), Duration::from_secs(3_600));
        assert!(matches!(off(data, "plain", hour, "incident", 1_000), Err(OffError::NoRelay(_))));
        disk::Dir::open(data).unwrap().name(Some("edge".to_owned())).unwrap();
        assert!(matches!(off(data, "plain", hour, "incident", 1_000), Err(OffError::NoFeature(_))));
        let snapshot = r#"{"snapshot":{"format":"greenroom/snapshot/1","environment":"production","revision":1,"features":{"plain":{},"limit":{}}},"signature":""}"#;
        std::fs::write(data.join("snapshots/one.json"), snapshot).unwrap();
        assert!(matches!(off(data, "plain", LONGEST + hour, "incident", 1_000), Err(OffError::TooLong)));
        let forced = off(data, "plain", hour, "incident", 1_000).unwrap();
        assert_eq!((forced.until, forced.relay.as_str()), (4_600, "edge"));

        let time = Arc::new(AtomicU64::new(1_000));
        let clock: Clock = Arc::new({
            let time = Arc::clone(&time);
            move || time.load(Ordering::Relaxed)
        });
        let mut watched = Watched::new(data, "edge".into(), clock);
        let list = watched.list();
        assert_eq!(**list.borrow(), [forced]);
        assert!(!watched.look());
        time.store(4_600, Ordering::Relaxed);
        assert!(watched.look() && list.borrow().is_empty());

        off(data, "limit", hour, "", 4_600).unwrap();
        assert_eq!(read(&data.join(FILE)).unwrap().len(), 1, "what has ended goes");
        assert!(lift(data, "limit", 4_700).unwrap() && !lift(data, "limit", 4_700).unwrap());
        // the hour of another clock
        std::fs::write(data.join(FILE), r#"[{"feature":"plain","until":9999999999,"relay":"edge","reason":""}]"#).unwrap();
        watched.look();
        assert!(list.borrow().is_empty());
    }
}
