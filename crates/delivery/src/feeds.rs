//! The latest snapshot of every environment, and word of each new one.
//!
//! Readers load a pointer; the publisher swaps it. A revision never goes backwards.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use greenroom_exposure::wire::Announcement;
use greenroom_exposure::wire::follow::{Canonical, Forced};
use greenroom_exposure::{Answer, Board, Counters, Snapshot};
use tokio::sync::watch;

use crate::follow::Trail;
use crate::unleash::Stages;

/// All environments that are served.
#[derive(Default)]
pub struct Feeds {
    by_environment: ArcSwap<HashMap<Arc<str>, Arc<Feed>>>,
    /// Held while the map is changed or something published; never by a reader.
    publishing: Mutex<()>,
}

/// A snapshot and what is derived from it once, for everyone.
pub struct Published {
    snapshot: Arc<Snapshot>,
    /// Seconds since 1970.
    at: u64,
    /// The event that announces this revision, as it goes to every stream.
    announcement: Bytes,
    json: OnceLock<Bytes>,
    origin: Option<Origin>,
    forced: Arc<[Forced]>,
    edition: u64,
    /// Where answers are counted that do not say by which build they were asked.
    board: Arc<Board>,
    unleash: OnceLock<Asked>,
}

/// Attributes that matter to callers with a context of Unleash's.
pub(crate) struct Asked {
    /// All that rules ask for.
    pub names: BTreeSet<String>,
    /// Those that come as text and that our rules compare as numbers.
    pub numbers: BTreeSet<String>,
}

/// What a relay passes on: as text, as another has signed it.
#[derive(Clone)]
pub struct Origin {
    pub canonical: Arc<Canonical>,
    pub signature: Arc<str>,
}

/// Where an environment stands, for those who wait for more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    pub revision: u64,
    /// See [`Published::edition`].
    pub edition: u64,
    /// Nothing more will come: hang up.
    pub closed: bool,
}

pub(crate) struct Feed {
    published: ArcSwapOption<Published>,
    head: watch::Sender<Head>,
    trail: Trail,
    unleash: Stages,
    counters: Counters,
}

impl Published {
    fn new(snapshot: Arc<Snapshot>, board: Arc<Board>, origin: Option<Origin>, forced: Arc<[Forced]>) -> Self {
        let at = unix_now();
        let announcement = announcement(snapshot.revision(), at);
        let edition = if forced.is_empty() { 0 } else { edition(&forced) };
        Self { snapshot, at, announcement, json: OnceLock::new(), origin, forced, edition, board, unleash: OnceLock::new() }
    }

    /// What was published, if another has signed it.
    pub(crate) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What is forced off here: the snapshot that is answered from has it so, what is signed does not.
    pub(crate) const fn forced(&self) -> &Arc<[Forced]> {
        &self.forced
    }

    /// Tells answers of one revision apart that differ all the same, because something is forced off here. 0 where nothing is.
    #[must_use]
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    #[must_use]
    pub fn revision(&self) -> u64 {
        self.snapshot.revision()
    }

    /// When it was published here, in seconds since 1970.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The canonical form, made when it is first asked for.
    #[must_use]
    pub fn json(&self) -> Bytes {
        let render = || serde_json::to_vec(&self.snapshot.model()).unwrap_or_default().into();
        self.json.get_or_init(render).clone()
    }

    pub(crate) fn asked_of_unleash(&self) -> &Asked {
        let asked = || Asked { names: self.snapshot.asked().map(str::to_owned).collect(), numbers: greenroom_exposure::wire::unleash::numbers(&self.snapshot) };
        self.unleash.get_or_init(asked)
    }

    /// Counts an answer of this snapshot.
    pub(crate) fn count(&self, answer: &Answer<'_>) {
        self.board.count(answer);
    }

    pub(crate) fn announcement(&self) -> Bytes {
        self.announcement.clone()
    }
}

fn edition(forced: &[Forced]) -> u64 {
    let mut hasher = DefaultHasher::new();
    forced.hash(&mut hasher);
    hasher.finish().max(1)
}

fn announcement(revision: u64, at: u64) -> Bytes {
    let data = serde_json::to_string(&Announcement::refetch(revision, Some(at))).unwrap_or_default();
    format!("id: {revision}\nevent: message\ndata: {data}\n\n").into()
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Feeds {
    /// Serves `snapshot` from now on and tells everyone who follows. An older one than is served is ignored; one of the
    /// same revision replaces it in silence.
    pub fn publish(&self, environment: &str, snapshot: Arc<Snapshot>) {
        self.put(environment, snapshot, None, Arc::default());
    }

    /// As [`Self::publish`], for a relay: followers are given what the origin has signed and, beside it, what is forced off here, as
    /// `snapshot` already has it. That is news even of the same revision.
    pub fn relay(&self, environment: &str, snapshot: Arc<Snapshot>, origin: Origin, forced: Arc<[Forced]>) {
        self.put(environment, snapshot, Some(origin), forced);
    }

    fn put(&self, environment: &str, snapshot: Arc<Snapshot>, origin: Option<Origin>, forced: Arc<[Forced]>) {
        let feed = self.feed_or_new(environment);
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = snapshot.revision();
        if feed.published.load().as_ref().is_some_and(|known| known.revision() > revision) {
            return;
        }
        let board = feed.counters.board(&snapshot);
        let published = Published::new(snapshot, board, origin, forced);
        let edition = published.edition;
        feed.published.store(Some(Arc::new(published)));
        feed.head.send_if_modified(|head| {
            let news = head.revision < revision || head.edition != edition;
            (head.revision, head.edition) = (revision, edition);
            news
        });
    }

    /// Stops serving an environment that is gone, and hangs up on its streams.
    pub fn remove(&self, environment: &str) {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut feeds = HashMap::clone(&self.by_environment.load());
        if let Some(feed) = feeds.remove(environment) {
            feed.head.send_modify(|head| head.closed = true);
            self.by_environment.store(Arc::new(feeds));
        }
    }

    /// Hangs up on every stream, so that a server can stop. Requests are answered as before.
    pub fn close(&self) {
        self.by_environment.load().values().for_each(|feed| feed.head.send_modify(|head| head.closed = true));
    }

    #[must_use]
    pub fn current(&self, environment: &str) -> Option<Arc<Snapshot>> {
        self.published(environment).map(|published| Arc::clone(&published.snapshot))
    }

    #[must_use]
    pub fn published(&self, environment: &str) -> Option<Arc<Published>> {
        self.feed(environment)?.published.load_full()
    }

    /// Where `environment` stands, and every change of that. It need not be published yet.
    #[must_use]
    pub fn follow(&self, environment: &str) -> watch::Receiver<Head> {
        self.feed_or_new(environment).head.subscribe()
    }

    #[must_use]
    pub fn environments(&self) -> Vec<Arc<str>> {
        self.by_environment.load().keys().cloned().collect()
    }

    /// What was counted since the last time, by environment.
    pub(crate) fn counted(&self) -> Vec<(Arc<str>, greenroom_exposure::Counted)> {
        self.by_environment.load().iter().map(|(environment, feed)| (Arc::clone(environment), feed.counters.drain())).collect()
    }

    pub(crate) fn feed(&self, environment: &str) -> Option<Arc<Feed>> {
        self.by_environment.load().get(environment).cloned()
    }

    fn feed_or_new(&self, environment: &str) -> Arc<Feed> {
        if let Some(feed) = self.feed(environment) {
            return feed;
        }
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut feeds = HashMap::clone(&self.by_environment.load());
        let feed = feeds.entry(environment.into()).or_insert_with(|| {
            Arc::new(Feed {
                published: ArcSwapOption::empty(),
                head: watch::Sender::new(Head::default()),
                trail: Trail::default(),
                unleash: Stages::default(),
                counters: Counters::default(),
            })
        });
        let feed = Arc::clone(feed);
        self.by_environment.store(Arc::new(feeds));
        feed
    }
}

impl Feed {
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    pub(crate) const fn trail(&self) -> &Trail {
        &self.trail
    }

    pub(crate) const fn unleash(&self) -> &Stages {
        &self.unleash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(revision: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot::empty("production", revision))
    }

    #[test]
    fn a_revision_never_goes_backwards() {
        let feeds = Feeds::default();
        assert!(feeds.current("production").is_none());
        feeds.publish("production", snapshot(7));
        let mut head = feeds.follow("production");
        head.mark_unchanged();
        feeds.publish("production", snapshot(6));
        feeds.publish("production", snapshot(7));
        assert_eq!(feeds.current("production").unwrap().revision(), 7);
        assert!(!head.has_changed().unwrap(), "the same revision is no news");
        feeds.publish("production", snapshot(8));
        assert!(head.has_changed().unwrap());
        assert_eq!(*head.borrow_and_update(), Head { revision: 8, edition: 0, closed: false });
        assert_eq!(feeds.current("production").unwrap().revision(), 8);
        feeds.remove("production");
        assert!(head.borrow().closed && feeds.current("production").is_none());
    }

    #[test]
    fn the_canonical_form_is_at_hand() {
        let feeds = Feeds::default();
        feeds.publish("production", snapshot(7));
        let published = feeds.published("production").unwrap();
        let model: greenroom_exposure::Model = serde_json::from_slice(&published.json()).unwrap();
        assert_eq!((model.environment.as_str(), model.revision), ("production", 7));
        let event = String::from_utf8(published.announcement().to_vec()).unwrap();
        assert!(event.starts_with("id: 7\nevent: message\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"7\",\"lastModified\":"));
        assert!(event.ends_with("}\n\n"));
    }
}
