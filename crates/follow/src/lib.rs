//! Following an environment: connect, check, apply, keep a copy, come back. Used by applications and by relays.
//!
//! Whatever breaks, what is held stays held: a follower never has less than it once had. It knows nothing of who asks, and
//! counts nothing.

#![deny(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod batches;
mod copy;
mod events;
mod forced;
mod held;
mod key;
mod pace;
mod trouble;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenroom_exposure::wire::follow::{DELTA_EVENT, FORCED_EVENT, Forced, SNAPSHOT_EVENT};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

pub use greenroom_https::{NoAuthorities, Untrusted};

pub use self::batches::Batches;
pub use self::copy::{Unusable, replace};
use self::events::Event;
pub use self::forced::{unix_now, without};
pub use self::held::{Held, Refused};
pub use self::key::{Key, NoKey};
pub use self::pace::Pace;
pub use self::trouble::Trouble;
use self::upstream::Stream;
pub use self::upstream::{Broken, NoUpstream, Upstream, Wire, instance};

/// Where a follower stands.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What is answered from.
    pub held: Option<Arc<Held>>,
    pub contact: Contact,
    /// How often a stream was opened. Whoever was restarted meanwhile has forgotten what was reported before.
    pub streams: u64,
    /// The relays through which it comes, nearest last.
    pub path: Arc<[Arc<str>]>,
    /// What relays on the way have forced off, as far as they have said so.
    pub forced: Arc<[Forced]>,
}

#[derive(Debug, Clone, Default)]
pub enum Contact {
    /// Nobody has answered yet.
    #[default]
    Never,
    /// What is held is the latest as far as we have heard.
    Live,
    Lost(Arc<Broken>),
}

impl Contact {
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// Follows until it is dropped or closed.
#[derive(Debug)]
pub struct Follower {
    state: watch::Receiver<State>,
    following: JoinHandle<()>,
    keeper: Option<JoinHandle<()>>,
}

impl Follower {
    /// Reads the copy on disk, then follows in the background. `heed` is told of every state before anyone else hears of it:
    /// when a report acknowledges a revision, what `heed` does with it is done. It is called for the first time, with
    /// what was on disk, before this returns.
    ///
    /// What relays on the way had forced off is read with it, and holds until whoever is reached says otherwise or its time is up.
    /// A copy that cannot be used is warned of, and as good as none.
    pub fn start(wire: Wire, copy: Option<PathBuf>, mut heed: impl FnMut(&State) + Send + 'static) -> Self {
        let Upstream { key, environment, .. } = wire.upstream();
        let held = copy.as_ref().and_then(|path| {
            copy::load(path, key, environment.as_ref()).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the copy of the snapshot is not used");
                None
            })
        });
        let forced = copy.as_ref().map(|path| {
            copy::forced(path, unix_now()).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "what was forced off is not known any more");
                Arc::default()
            })
        });
        let first = State { held: held.map(Arc::new), forced: forced.unwrap_or_default(), ..State::default() };
        heed(&first);
        let (sender, state) = watch::channel(first.clone());
        let following = Following { wire, state: sender, heed: Box::new(heed), connecting: Trouble::default(), applying: Trouble::default() };
        let keeper = copy.map(|path| tokio::spawn(copy::keep(path, first, state.clone())));
        // what is said of it stands where it was started
        Self { following: tokio::spawn(following.run().in_current_span()), state, keeper }
    }

    #[must_use]
    pub const fn state(&self) -> &watch::Receiver<State> {
        &self.state
    }

    /// Hangs up. When this returns, the copy on disk is of what is held.
    pub async fn close(mut self) {
        self.following.abort();
        let _ = (&mut self.following).await;
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // the keeper ends by itself, when it has kept what there is to keep
        self.following.abort();
    }
}

struct Following {
    wire: Wire,
    state: watch::Sender<State>,
    heed: Box<dyn FnMut(&State) + Send>,
    connecting: Trouble,
    applying: Trouble,
}

impl Following {
    async fn run(mut self) {
        let (mut failures, mut whole) = (0_u32, false);
        loop {
            self.lift();
            let last = self.state.borrow().held.as_ref().map(|held| held.revision()).filter(|_| !whole);
            let (broken, opened, retry) = match self.wire.open(last).await {
                Ok(mut stream) => (self.session(&mut stream).await, true, stream.retry()),
                Err(broken) => (broken, false, None),
            };
            let refused = matches!(broken, Broken::Refused(_));
            failures = if opened && !refused { 1 } else { failures.saturating_add(1) };
            // that a delta does not fit is no reason to wait, if it happens once: the whole will
            let at_once = refused && !whole;
            whole = refused;
            tracing::debug!(%broken, failures, "not connected");
            let trouble = if refused { &mut self.applying } else { &mut self.connecting };
            trouble.tell(self.wire.upstream(), &broken);
            self.tell(|state| state.contact = Contact::Lost(Arc::new(broken)));
            if !at_once {
                tokio::time::sleep(self.wire.upstream().pace.pause(failures.saturating_sub(1), retry)).await;
            }
        }
    }

    /// Applies what comes until something breaks.
    async fn session(&mut self, stream: &mut Stream) -> Broken {
        self.connecting.over(self.wire.upstream());
        let path = Arc::clone(&stream.path);
        self.tell(|state| {
            if path.is_empty() {
                // a relay says what it has forced off, a control plane forces nothing
                state.forced = Arc::default();
            }
            state.path = path;
            state.streams += 1;
            if state.held.is_some() {
                state.contact = Contact::Live;
            }
        });
        loop {
            let lifted = self.state.borrow().forced.iter().map(|forced| forced.until.saturating_sub(unix_now())).min();
            let applied = tokio::select! {
                event = stream.next() => match event {
                    Ok(event) => self.apply(event).await,
                    Err(broken) => Err(broken),
                },
                () = tokio::time::sleep(Duration::from_secs(lifted.unwrap_or_default())), if lifted.is_some() => {
                    self.lift();
                    Ok(())
                }
            };
            if let Err(broken) = applied {
                return broken;
            }
        }
    }

    /// Forgets what is not forced off any more.
    fn lift(&mut self) {
        let now = unix_now();
        if self.state.borrow().forced.iter().any(|forced| forced.until <= now) {
            self.tell(|state| state.forced = state.forced.iter().filter(|forced| forced.until > now).cloned().collect());
        }
    }

    async fn apply(&mut self, Event { name, data }: Event) -> Result<(), Broken> {
        let whole = match name.as_str() {
            SNAPSHOT_EVENT => true,
            DELTA_EVENT => false,
            FORCED_EVENT => {
                let forced: Vec<Forced> = serde_json::from_str(&data).map_err(Refused::Unreadable)?;
                self.tell(|state| state.forced = forced.into());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (wire, before) = (self.wire.clone(), self.state.borrow().held.clone());
        // hashing and compiling takes milliseconds, which are not this thread's to take
        let work = move || {
            let Upstream { key, environment, .. } = wire.upstream();
            match (whole, before) {
                (true, before) => Held::whole(&data, key, environment.as_ref(), before.as_deref()),
                (false, Some(before)) => before.with(&data, key),
                (false, None) => Err(Refused::Nothing),
            }
        };
        let held = tokio::task::spawn_blocking(work).await.map_err(|_| Broken::Malformed)??;
        tracing::debug!(env.name = %held.environment(), revision = held.revision(), whole, "applied");
        self.applying.over(self.wire.upstream());
        self.tell(|state| (state.held, state.contact) = (Some(Arc::new(held)), Contact::Live));
        Ok(())
    }

    fn tell(&mut self, change: impl FnOnce(&mut State)) {
        let mut next = self.state.borrow().clone();
        change(&mut next);
        (self.heed)(&next);
        self.state.send_replace(next);
    }
}
