//! The engine: one writer, and reactors that compare what is wanted with what is.

pub mod checkpoint;
pub mod fleet;
pub mod keep;
pub mod publish;
pub mod replay;
pub mod rollouts;
pub mod usage;
pub mod withdrawals;
pub mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use greenroom_access::{Access, Action, Principal, Resource, RoleSet, TokenScope};
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_delivery::Presence;
use greenroom_domain::actor::{Actor, Part};
use greenroom_domain::command::Command;
use greenroom_domain::event::{Token, TokenKind};
use greenroom_domain::id::PlacementKey;
use greenroom_domain::link::Seen;
use greenroom_domain::state::{Recorded, State};
use greenroom_domain::time::At;
use greenroom_ledger::{Blobs, Checkpoints, Fault, Reader};
use tokio::sync::{mpsc, oneshot, watch};

use crate::directory::Directory;

/// What everything in the server shares.
pub struct Engine {
    pub state: ArcSwap<State>,
    pub directory: Directory,
    pub access: Access,
    pub reader: Reader,
    pub blobs: Blobs,
    pub checkpoints: Checkpoints,
    pub data: PathBuf,
    /// When each placement was last seen; presence, rebuilt by asking.
    pub seen: ArcSwap<HashMap<PlacementKey, At>>,
    /// Held while presence is changed.
    pub(crate) sight: Mutex<()>,
    /// Something was seen that had not been seen lately: what waits for it is judged once more.
    pub(crate) anew: AtomicBool,
    /// Set when the server stops; the writer then takes what is queued and ends.
    pub(crate) stopping: AtomicBool,
    /// False once the writer has ended, however it did.
    pub(crate) writing: AtomicBool,
    /// Why commands are refused, while the disk does not take them.
    pub(crate) refusing: ArcSwapOption<Problem>,
    /// What is wrong with the chain, once somebody looked and saw it: nothing is added to it any more.
    pub(crate) broken: OnceLock<Problem>,
    pub counters: Counters,
    pub usage: usage::Counts,
    /// Who evaluates, and what relays have forced off.
    pub presence: Arc<Presence>,
    pub(crate) commands: mpsc::Sender<Submission>,
    pub(crate) head: watch::Receiver<u64>,
}

/// Counts for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    pub commands: AtomicU64,
    pub refusals: AtomicU64,
    pub batches: AtomicU64,
    pub events: AtomicU64,
    pub http: AtomicU64,
    pub commit_micros: AtomicU64,
    /// What the writer does for a batch beside its flush.
    pub stalls: Stalls,
    /// What the last look at the whole chain found: 1 sound, 0 broken, -1 not looked yet.
    pub chain_sound: AtomicI64,
}

/// Durations by powers of two of a microsecond: the last is everything longer.
#[derive(Debug, Default)]
pub struct Stalls {
    buckets: [AtomicU64; Stalls::BUCKETS],
    micros: AtomicU64,
}

impl Stalls {
    const BUCKETS: usize = 18;

    pub fn count(&self, took: std::time::Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (64 - micros.leading_zeros() as usize).min(Self::BUCKETS - 1);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Seconds altogether.
    #[must_use]
    pub fn sum(&self) -> f64 {
        std::time::Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Upper bounds in seconds with counts so far, the last bound being the longest there is.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bound = |i: usize| if i + 1 == Self::BUCKETS { f64::MAX } else { f64::from(1_u32 << i) / 1e6 };
        self.buckets.iter().enumerate().map(|(i, n)| (bound(i), n.load(Ordering::Relaxed))).collect()
    }
}

/// Who asks, as authenticated. Roles are looked up in the writer, on the state that is decided on.
#[derive(Debug, Clone)]
pub enum Caller {
    Person(greenroom_domain::id::PersonId),
    Token(Arc<Token>),
    System(Part),
    /// The holder of the first-start token.
    Host,
}

impl Caller {
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Person(id) => Actor::Person(*id),
            Self::Token(token) => token.person.filter(|_| token.kind == TokenKind::Pat).map_or(Actor::Token(token.id), Actor::Person),
            Self::System(part) => Actor::System(*part),
            Self::Host => Actor::System(Part::Host),
        }
    }

    /// What policies see, on `state`; `None` when the person has left or the token is gone or expired.
    #[must_use]
    pub fn principal(&self, state: &State, now: At) -> Option<Principal> {
        let of = |id| {
            let person = state.persons.get(&id).filter(|p| p.left.is_none())?;
            Some(Principal { roles: person.roles.iter().collect::<RoleSet>(), scope: TokenScope::None })
        };
        match self {
            Self::Person(id) => of(*id),
            Self::Token(token) => {
                let current = state.tokens.get(&token.hash).filter(|t| t.expires > now)?;
                let scope = match current.kind {
                    TokenKind::Pat => return of(current.person?),
                    TokenKind::Ci => TokenScope::Ci,
                    TokenKind::Sdk | TokenKind::Web => TokenScope::Sdk { environment: current.environment.clone()? },
                    TokenKind::Agent => TokenScope::Agent,
                    TokenKind::Relay => TokenScope::Relay,
                };
                Some(Principal { roles: RoleSet::NONE, scope })
            }
            Self::System(_) | Self::Host => None,
        }
    }
}

/// The answer to a command, rendered on the state right after it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub seq: u64,
}

/// Renders an answer from the state after the command and the events it gave. Runs in the writer when the answer must
/// commit with its idempotency key.
pub type Render = Box<dyn FnOnce(&State, &[Recorded]) -> (u16, Vec<u8>) + Send>;

/// An idempotency key with the hash of the request it came with.
#[derive(Debug, Clone)]
pub struct Key {
    pub key: String,
    pub request: greenroom_ledger::Hash,
}

/// Secrets and the like that commit with a command, outside the chain.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// PHC string of the password of the person whom the command adds, or whose password it sets.
    pub password: Option<String>,
    /// A secret that the answer shows once: it is left out of what is kept for a repeated request.
    pub secret: Option<String>,
}

/// One command on its way to the writer.
pub struct Submission {
    pub caller: Caller,
    pub command: Command,
    /// What must be allowed; empty for parts of Greenroom itself.
    pub needs: Vec<(Action, Resource)>,
    pub key: Option<Key>,
    pub dry_run: bool,
    pub beside: Beside,
    pub render: Render,
    pub answer: oneshot::Sender<Result<Answer, Problem>>,
}

impl Engine {
    /// Hands a command to the writer and waits until it is durable.
    ///
    /// # Errors
    /// The problem to answer with.
    pub async fn submit(&self, make: impl FnOnce(oneshot::Sender<Result<Answer, Problem>>) -> Submission) -> Result<Answer, Problem> {
        let (answer, wait) = oneshot::channel();
        let stopping = || Problem::new(Code::Starting, "the server is stopping").detail("repeat the request with the same Idempotency-Key");
        self.commands.send(make(answer)).await.map_err(|_| stopping())?;
        wait.await.map_err(|_| stopping())?
    }

    /// A command of Greenroom's own. Refusals are logged: a level-triggered reactor asks again when facts change.
    pub async fn report(&self, part: Part, command: Command) -> Result<u64, Problem> {
        let answer = self
            .submit(|answer| Submission {
                caller: Caller::System(part),
                command,
                needs: Vec::new(),
                key: None,
                dry_run: false,
                beside: Beside::default(),
                render: Box::new(|_, _| (200, Vec::new())),
                answer,
            })
            .await;
        match answer {
            Ok(answer) => Ok(answer.seq),
            Err(problem) => {
                // that the disk or the chain refuses has been said once, and is asked again and again
                if problem.code != Code::StorageUnavailable {
                    tracing::warn!(part = ?part, problem = %problem.title, reasons = ?problem.reasons, "a report was refused");
                }
                Err(problem)
            }
        }
    }

    /// Why no command is taken at this moment, if so.
    #[must_use]
    pub fn refuses(&self) -> Option<Problem> {
        if !self.writing.load(Ordering::Acquire) {
            return Some(Problem::new(Code::StorageUnavailable, "the writer has ended").detail("restart the server; its log says why"));
        }
        self.broken.get().cloned().or_else(|| self.refusing.load().as_deref().cloned())
    }

    /// Keeps what a look at the whole chain found; gives the problem if it is broken. Nothing is added to a broken chain.
    pub fn looked_at_chain(&self, fault: Option<&Fault>) -> Option<Problem> {
        self.counters.chain_sound.store(i64::from(fault.is_none()), Ordering::Relaxed);
        let fault = fault?;
        let problem = Problem::new(Code::StorageUnavailable, format!("the chain is broken at event {}", fault.seq))
            .detail(format!("{:?}; commands are refused, reads and exposure go on: keep the file aside and restore a backup, docs/backup.md says how", fault.kind));
        if self.broken.set(problem.clone()).is_ok() {
            tracing::error!(problem = %problem.title, detail = %problem.detail, "no command is taken any more");
        }
        Some(problem)
    }

    /// Follows the seq of the last durable event.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// Merges what was just seen into presence. Growth that waited for a look is judged again.
    pub fn saw(&self, keys: impl IntoIterator<Item = (PlacementKey, At)>) {
        let _one_at_a_time = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::clone(&self.seen.load());
        let mut anew = false;
        let now = now().max(self.state.load().at);
        for (key, at) in keys {
            anew |= Seen::anew(seen.insert(key, at), at, now);
        }
        self.seen.store(Arc::new(seen));
        if anew {
            self.anew.store(true, Ordering::Release);
        }
    }

    pub(crate) fn count(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Now, in µs since 1970.
#[must_use]
pub fn now() -> At {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    At(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
