//! One environment's way through a relay: followed with one token, published with what is forced off.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use greenroom_delivery::{Feeds, Origin};
use greenroom_exposure::wire::follow::{Forced, TICKETS, Tickets};
use greenroom_follow::{Broken, Follower, Refused, State, Trouble, Wire, replace, without};
use tokio::sync::watch;

use crate::disk::Dir;
use crate::gate::TicketGate;

/// What all lines of a relay share.
pub(crate) struct Shared {
    pub feeds: Arc<Feeds>,
    /// Forced off at this relay.
    pub forced: watch::Receiver<Arc<[Forced]>>,
    /// The relays through whom we are what we are, ourselves last.
    pub path: watch::Sender<Arc<[Arc<str>]>>,
    pub gate: Arc<TicketGate>,
}

pub(crate) struct Line {
    at: usize,
    wire: Wire,
    shared: Shared,
    /// The last state heard of. Held while it is published, so that an older one never comes after a newer.
    latest: Mutex<State>,
    follower: OnceLock<Mutex<Option<Follower>>>,
    state: OnceLock<watch::Receiver<State>>,
    tickets: PathBuf,
    /// Names the tickets that we have.
    tag: Mutex<Option<String>>,
    /// With learning whom to let ask.
    trouble: Mutex<Trouble>,
}

impl Line {
    /// Serves what is on disk when this returns, and follows from then on.
    pub(crate) fn start(at: usize, wire: Wire, dir: &Dir, shared: Shared) -> Arc<Self> {
        let token = &wire.upstream().token;
        let (copy, tickets) = (dir.snapshot(token), dir.tickets(token));
        if let Some(tickets) = std::fs::read(&tickets).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            shared.gate.let_in(at, tickets);
        }
        let (latest, tag, trouble) = Default::default();
        let line = Arc::new(Self { at, wire: wire.clone(), shared, latest, follower: OnceLock::new(), state: OnceLock::new(), tickets, tag, trouble });
        let heeding = Arc::downgrade(&line);
        // tokens are secrets: which of them it is says its place
        let _of = tracing::info_span!("upstream", token = at + 1).entered();
        let follower = Follower::start(wire, Some(copy), move |state| {
            if let Some(line) = heeding.upgrade() {
                line.heed(state);
            }
        });
        line.state.get_or_init(|| follower.state().clone());
        line.follower.get_or_init(|| Mutex::new(Some(follower)));
        line
    }

    pub(crate) const fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.get().cloned().unwrap_or_else(|| watch::channel(State::default()).1)
    }

    fn heed(&self, state: &State) {
        if state.contact.is_live() {
            let own: Arc<str> = self.wire.upstream().relay.as_deref().unwrap_or_default().into();
            let path: Arc<[Arc<str>]> = state.path.iter().cloned().chain([own]).collect();
            self.shared.path.send_if_modified(|known| {
                let moved = *known != path;
                *known = path;
                moved
            });
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &State, other: &State| one.forced == other.forced && one.held.as_ref().map(Arc::as_ptr) == other.held.as_ref().map(Arc::as_ptr);
        if !same(&latest, state) {
            *latest = state.clone();
            self.show(&latest);
        }
    }

    /// Publishes what is held, with what is forced off now.
    pub(crate) fn publish(&self) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&latest);
    }

    fn show(&self, state: &State) {
        let Some(held) = &state.held else { return };
        let forced = self.forced(state);
        let origin = Origin { canonical: Arc::clone(held.canonical()), signature: Arc::clone(held.signature()) };
        self.shared.feeds.relay(held.environment(), without(held.snapshot(), &forced), origin, forced.into());
    }

    /// What is forced off for whoever asks here: here, and on the way here.
    fn forced(&self, state: &State) -> Vec<Forced> {
        let mut forced: Vec<Forced> = state.forced.iter().chain(self.shared.forced.borrow().iter()).cloned().collect();
        forced.sort_unstable();
        forced.dedup();
        forced
    }

    /// What is forced off at this relay itself.
    pub(crate) fn forced_here(&self) -> Arc<[Forced]> {
        Arc::clone(&self.shared.forced.borrow())
    }

    /// Asks upstream whom to let ask.
    pub(crate) async fn renew_tickets(&self) -> Result<(), Broken> {
        let renewed = self.tickets().await;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &renewed {
            Ok(()) => trouble.over(self.wire.upstream()),
            // who may follow and is no relay may not know; who may not even follow has been told so
            Err(broken @ Broken::Denied) if self.state().borrow().contact.is_live() => trouble.tell(self.wire.upstream(), broken),
            Err(_) => {}
        }
        renewed
    }

    async fn tickets(&self) -> Result<(), Broken> {
        let tag = self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((tag, body)) = self.wire.fetch(TICKETS, tag.as_deref()).await? else { return Ok(()) };
        let tickets: Tickets = serde_json::from_slice(&body).map_err(Refused::Unreadable)?;
        self.shared.gate.let_in(self.at, tickets);
        *self.tag.lock().unwrap_or_else(PoisonError::into_inner) = tag;
        let path = self.tickets.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || replace(&path, &body)).await {
            tracing::warn!(%error, "who may ask could not be kept on disk");
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        let follower = self.follower.get().and_then(|follower| follower.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(follower) = follower {
            follower.close().await;
        }
    }
}
