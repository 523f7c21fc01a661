//! Who is listening, and which revision each has fetched: presence, in memory, rebuilt by asking.
//!
//! An evaluator that caches is known by what it presents and how it describes its caller, which several clients may
//! share; they are then counted by their open streams and fetches. A fetch answered at a revision acknowledges it. One
//! that asks for every answer, and caches none, cannot lag and is not listed. Nobody waits for a page in someone's browser.

mod census;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greenroom_exposure::wire::follow::{Forced, Relayed};
use tokio::time::Instant;

/// Without an open stream, how long a fetch keeps an evaluator in contact unless the caller says otherwise. Short: of a
/// poller it is not known whether it will ever come again.
const IN_CONTACT: Duration = Duration::from_secs(10);
/// The longest between two questions of a poller that it is waited for.
const LONGEST: Duration = Duration::from_secs(300);
/// How late the next question of a poller may come.
const LATE: Duration = Duration::from_secs(5);
/// Listings are split by key, so that requests seldom wait for each other.
const SHARDS: usize = 16;
/// Names of laggards that are worth telling.
const NAMED: usize = 100;

pub use self::census::Census;

pub struct Presence {
    in_contact: Duration,
    shards: [Mutex<Shard>; SHARDS],
    hasher: std::hash::RandomState,
}

type Key = (Arc<str>, u64);

#[derive(Default)]
struct Shard {
    evaluators: HashMap<Key, Evaluator>,
    /// Those of them that are relays: what they say is asked for at each change of a feature.
    relays: HashSet<Key>,
    /// Once there are this many, those out of contact are forgotten.
    prune_at: usize,
}

struct Evaluator {
    name: Arc<str>,
    /// Open streams.
    streams: u64,
    /// The latest revision fetched, by how many, and when.
    revision: u64,
    fetches: u64,
    last: Instant,
    /// How long it may be silent, by its own word.
    silent: Duration,
    /// The oldest revision fetched by someone who may still be about to open a stream.
    opening: Option<u64>,
    /// Who asks through it, if it is a relay, as of its revision.
    relayed: Option<Relayed>,
    /// The latest revision that it was sent something of.
    given: u64,
    /// It names its own process, so it is one however many streams are open: a second is the first come back.
    single: bool,
    /// A page in someone's browser, which may be out of sight for hours.
    page: bool,
}

/// Who of an environment's evaluators has fetched a revision or a later one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged {
    pub in_contact: u64,
    pub acknowledged: u64,
    /// Those that have not, by name; at most a hundred.
    pub laggards: Vec<String>,
}

impl Acknowledged {
    /// Adds those behind a relay. What it said, it said of its own revision: before it has the one in question, nobody
    /// behind it has.
    fn relayed(&mut self, relay: &str, behind: &Relayed, relay_has_it: bool) {
        self.in_contact = self.in_contact.saturating_add(behind.in_contact);
        if relay_has_it {
            self.acknowledged = self.acknowledged.saturating_add(behind.acknowledged.min(behind.in_contact));
            let room = NAMED.saturating_sub(self.laggards.len());
            self.laggards.extend(behind.laggards.iter().take(room).map(|name| format!("{relay}/{name}")));
        }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::new(IN_CONTACT)
    }
}

impl Presence {
    /// `in_contact`: how long after a fetch an evaluator without an open stream still counts.
    #[must_use]
    pub fn new(in_contact: Duration) -> Self {
        Self { in_contact, shards: Default::default(), hasher: std::hash::RandomState::new() }
    }

    /// An evaluator fetched `revision`. `announced`: because a stream told it to, so it is not about to open one.
    pub fn fetched(&self, environment: &Arc<str>, id: u64, name: &str, revision: u64, announced: bool) {
        let now = Instant::now();
        let mut shard = self.shard(environment, id);
        shard.prune(now, self.in_contact);
        let evaluator = shard.evaluator(environment, id, name, now);
        evaluator.last = now;
        if evaluator.revision < revision {
            (evaluator.revision, evaluator.fetches) = (revision, 1);
        } else if evaluator.revision == revision {
            evaluator.fetches += 1;
        }
        if !announced {
            evaluator.opening = Some(evaluator.opening.map_or(revision, |known| known.min(revision)));
        }
    }

    /// An evaluator that names its own process says that it answers from `revision`, and what `relayed` is about those behind it.
    pub fn reported(&self, environment: &Arc<str>, id: u64, name: &str, revision: u64, relayed: Option<Relayed>) {
        let now = Instant::now();
        let mut shard = self.shard(environment, id);
        shard.prune(now, self.in_contact);
        let evaluator = shard.evaluator(environment, id, name, now);
        (evaluator.last, evaluator.single, evaluator.fetches) = (now, true, 1);
        // reports may overtake each other, and a process that starts anew from an old copy has another name
        let newer = relayed.is_some() && revision >= evaluator.revision;
        evaluator.revision = evaluator.revision.max(revision);
        if newer {
            evaluator.relayed = relayed;
            shard.relays.insert((Arc::clone(environment), id));
        }
    }

    /// An evaluator that names its own process asks, says that it has revision `known`, and is answered with `given`. That counts as
    /// taken unless it comes back with less: then it has not arrived, or was of no use, and only what it says itself counts.
    pub fn asked(&self, environment: &Arc<str>, id: u64, name: &str, known: u64, given: u64) {
        let now = Instant::now();
        let mut shard = self.shard(environment, id);
        shard.prune(now, self.in_contact);
        let evaluator = shard.evaluator(environment, id, name, now);
        (evaluator.last, evaluator.single, evaluator.fetches) = (now, true, 1);
        evaluator.revision = if known < evaluator.given { known } else { given };
        if known < given {
            evaluator.given = given;
        }
    }

    /// An evaluator that polls says how often: it is in contact until its next question, and a little longer.
    pub fn polls(&self, environment: &Arc<str>, id: u64, every: Duration) {
        let mut shard = self.shard(environment, id);
        if let Some(evaluator) = shard.evaluators.get_mut(&(Arc::clone(environment), id)) {
            evaluator.silent = every.min(LONGEST) + LATE;
        }
    }

    /// An evaluator is a page: it is told of what is new, and nobody waits for it.
    pub fn is_page(&self, environment: &Arc<str>, id: u64) {
        let mut shard = self.shard(environment, id);
        if let Some(evaluator) = shard.evaluators.get_mut(&(Arc::clone(environment), id)) {
            evaluator.page = true;
        }
    }

    /// An evaluator opened a stream, which is open until the connection is dropped.
    #[must_use]
    pub fn connected(self: &Arc<Self>, environment: &Arc<str>, id: u64, name: &str) -> Connection {
        let now = Instant::now();
        let mut shard = self.shard(environment, id);
        let evaluator = shard.evaluator(environment, id, name, now);
        evaluator.streams += 1;
        let fetched = (evaluator.fetches > 0).then_some(evaluator.revision);
        let seen = evaluator.opening.take().or(fetched);
        Connection { presence: Arc::clone(self), environment: Arc::clone(environment), id, seen }
    }

    /// Counts evaluators of `environment` in contact now, and those of them that fetched `revision` or a later one.
    #[must_use]
    pub fn acknowledged(&self, environment: &str, revision: u64) -> Acknowledged {
        let now = Instant::now();
        let mut said = Acknowledged::default();
        for shard in &self.shards {
            let shard = lock(shard);
            let here = shard.evaluators.iter().filter(|((other, _), _)| **other == *environment);
            for (_, evaluator) in here.filter(|(_, evaluator)| evaluator.is_waited_for(now, self.in_contact)) {
                let clients = evaluator.clients();
                let acknowledged = evaluator.acknowledged(revision).min(clients);
                said.in_contact += clients;
                said.acknowledged += acknowledged;
                if acknowledged < clients && said.laggards.len() < NAMED {
                    said.laggards.push(evaluator.name.to_string());
                }
                if let Some(relayed) = &evaluator.relayed {
                    said.relayed(&evaluator.name, relayed, acknowledged > 0);
                }
            }
        }
        said.laggards.sort_unstable();
        said
    }

    /// What relays in contact have forced off.
    #[must_use]
    pub fn forced(&self, environment: &str) -> Vec<Forced> {
        let now = Instant::now();
        let mut forced = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let here = shard.relays.iter().filter(|(other, _)| **other == *environment).filter_map(|key| shard.evaluators.get(key));
            let relays = here.filter(|evaluator| evaluator.in_contact(now, self.in_contact)).filter_map(|evaluator| evaluator.relayed.as_ref());
            forced.extend(relays.flat_map(|relayed| relayed.forced.iter().cloned()));
        }
        forced.sort_unstable();
        forced.dedup();
        forced
    }

    /// How many streams of `environment` are open.
    #[must_use]
    pub fn streams(&self, environment: &str) -> u64 {
        let streams = |shard: &Mutex<Shard>| -> u64 {
            let shard = lock(shard);
            let here = shard.evaluators.iter().filter(|((other, _), _)| **other == *environment);
            here.map(|(_, evaluator)| evaluator.streams).sum()
        };
        self.shards.iter().map(streams).sum()
    }

    fn shard(&self, environment: &Arc<str>, id: u64) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one((environment, id)) as usize % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "a remainder of the array's length")]
        lock(&self.shards[at])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn evaluator(&mut self, environment: &Arc<str>, id: u64, name: &str, now: Instant) -> &mut Evaluator {
        self.evaluators.entry((Arc::clone(environment), id)).or_insert_with(|| Evaluator {
            name: name.into(),
            streams: 0,
            revision: 0,
            fetches: 0,
            last: now,
            silent: Duration::ZERO,
            opening: None,
            relayed: None,
            given: 0,
            single: false,
            page: false,
        })
    }

    /// Amortised: each time the listing has doubled.
    fn prune(&mut self, now: Instant, in_contact: Duration) {
        if self.evaluators.len() >= self.prune_at {
            self.evaluators.retain(|_, evaluator| evaluator.in_contact(now, in_contact));
            self.relays.retain(|key| self.evaluators.contains_key(key));
            self.prune_at = (self.evaluators.len() * 2).max(64);
        }
    }
}

impl Evaluator {
    fn in_contact(&self, now: Instant, window: Duration) -> bool {
        self.streams > 0 || now.duration_since(self.last) <= window.max(self.silent)
    }

    fn is_waited_for(&self, now: Instant, window: Duration) -> bool {
        !self.page && self.in_contact(now, window)
    }

    /// As far as is known, so many that look alike.
    fn clients(&self) -> u64 {
        if self.single { 1 } else { self.streams.max(1) }
    }

    /// How many fetched `revision` or a later one.
    const fn acknowledged(&self, revision: u64) -> u64 {
        if self.revision >= revision { self.fetches } else { 0 }
    }
}

/// An open stream.
pub struct Connection {
    presence: Arc<Presence>,
    environment: Arc<str>,
    id: u64,
    seen: Option<u64>,
}

impl Connection {
    /// The revision that the evaluator had fetched when it connected.
    #[must_use]
    pub const fn seen(&self) -> Option<u64> {
        self.seen
    }

    /// What was sent over the stream has arrived, up to `revision`.
    pub(crate) fn has(&self, revision: u64) {
        let mut shard = self.presence.shard(&self.environment, self.id);
        if let Some(evaluator) = shard.evaluators.get_mut(&(Arc::clone(&self.environment), self.id)) {
            (evaluator.revision, evaluator.given) = (evaluator.revision.max(revision), evaluator.given.max(revision));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut shard = self.presence.shard(&self.environment, self.id);
        if let Some(evaluator) = shard.evaluators.get_mut(&(Arc::clone(&self.environment), self.id)) {
            evaluator.streams = evaluator.streams.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(presence: &Presence, revision: u64) -> (u64, u64, Vec<String>) {
        let Acknowledged { in_contact, acknowledged, laggards } = presence.acknowledged("production", revision);
        (in_contact, acknowledged, laggards)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_acknowledges_and_silence_ends_contact() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        presence.fetched(&production, 1, "one", 7, false);
        presence.fetched(&production, 2, "two", 8, false);
        presence.fetched(&Arc::from("test"), 3, "three", 1, false);
        assert_eq!(said(&presence, 8), (2, 1, vec!["one".to_owned()]));
        presence.fetched(&production, 1, "one", 9, false);
        assert_eq!(said(&presence, 8), (2, 2, vec![]));

        let open = presence.connected(&production, 1, "one");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(said(&presence, 10), (1, 0, vec!["one".to_owned()]));
        assert_eq!(presence.streams("production"), 1);
        drop(open);
        assert_eq!(said(&presence, 10), (0, 0, vec![]));
    }

    /// Between two questions it goes on with what it has: a withdrawal has to wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_poller_is_in_contact_until_its_next_question() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        presence.reported(&production, 1, "poller", 7, None);
        presence.polls(&production, 1, Duration::from_secs(15));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(said(&presence, 8), (1, 0, vec!["poller".to_owned()]));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(said(&presence, 8), (0, 0, vec![]));
    }

    #[tokio::test]
    async fn clients_that_look_alike_are_counted() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        let open: Vec<Connection> = (0..3).map(|_| presence.connected(&production, 1, "anonymous")).collect();
        presence.fetched(&production, 1, "anonymous", 8, true);
        presence.fetched(&production, 1, "anonymous", 8, true);
        assert_eq!(said(&presence, 8), (3, 2, vec!["anonymous".to_owned()]));
        presence.fetched(&production, 1, "anonymous", 8, true);
        assert_eq!(said(&presence, 8), (3, 3, vec![]));
        drop(open);
    }

    #[tokio::test]
    async fn who_names_its_process_is_one_however_often_it_connects() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        let broken = presence.connected(&production, 1, "shop-1");
        presence.reported(&production, 1, "shop-1", 7, None);
        let open = presence.connected(&production, 1, "shop-1");
        assert_eq!(said(&presence, 7), (1, 1, vec![]));
        assert_eq!(said(&presence, 8), (1, 0, vec!["shop-1".to_owned()]));
        presence.reported(&production, 1, "shop-1", 8, None);
        presence.reported(&production, 1, "shop-1", 7, None);
        assert_eq!(said(&presence, 8), (1, 1, vec![]));
        drop((broken, open));
    }

    #[tokio::test]
    async fn who_is_behind_a_relay_counts_once_the_relay_itself_has_it() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        let forced = vec![Forced { feature: "plain".to_owned(), until: 7, relay: "edge".to_owned(), reason: "incident".to_owned() }];
        let behind = Relayed { in_contact: 3, acknowledged: 2, laggards: vec!["shop-3".to_owned()], forced: forced.clone() };
        presence.reported(&production, 1, "edge", 7, Some(behind));
        assert_eq!(said(&presence, 7), (4, 3, vec!["edge/shop-3".to_owned()]));
        assert_eq!(said(&presence, 8), (4, 0, vec!["edge".to_owned()]));
        presence.reported(&production, 1, "edge", 6, Some(Relayed::default()));
        assert_eq!(said(&presence, 7), (4, 3, vec!["edge/shop-3".to_owned()]), "an older report does not count");
        assert_eq!((presence.forced("production"), presence.forced("test")), (forced, vec![]));
    }

    /// Someone alike who refetches in between must not hide that the one who connects has seen less.
    #[tokio::test]
    async fn who_connects_is_known_by_the_oldest_fetch() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        presence.fetched(&production, 1, "alike", 7, false);
        presence.fetched(&production, 1, "alike", 8, true);
        assert_eq!(presence.connected(&production, 1, "alike").seen(), Some(7));
        assert_eq!(presence.connected(&production, 1, "alike").seen(), Some(8));
        assert_eq!(presence.connected(&production, 2, "new").seen(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_forgotten() {
        let (presence, production) = (Arc::new(Presence::default()), Arc::from("production"));
        for id in 0..10_000 {
            presence.fetched(&production, id, "page", 7, false);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let listed: usize = presence.shards.iter().map(|shard| lock(shard).evaluators.len()).sum();
        assert!(listed < 16 * 66, "{listed}");
    }
}
