//! Saying back: which revision is answered from, at once, and what was counted, every half minute.

use std::sync::Arc;
use std::time::Duration;

use greenroom_exposure::Counted;
use greenroom_exposure::wire::follow::{Count, Report};
use greenroom_follow::{Broken, State, Wire};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::Shared;

/// Counts of one report: a body is a small part of what a server takes.
const COUNTS: usize = 1_000;
/// After an acknowledgement could not be given, before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Reporter {
    pub wire: Wire,
    pub shared: Arc<Shared>,
    pub state: watch::Receiver<State>,
    pub closing: oneshot::Receiver<()>,
}

impl Reporter {
    /// Until it is told to close, or nobody holds the other end any more.
    pub(crate) async fn run(mut self) {
        let every = self.wire.upstream().pace.report;
        let (mut said, mut counted, mut again) = (None, Instant::now() + every, Instant::now());
        loop {
            let due = self.due();
            let lagging = due.is_some() && due != said;
            if lagging && again <= Instant::now() {
                match self.report(Vec::new(), 0).await {
                    Ok(()) => said = due,
                    Err(broken) => {
                        tracing::debug!(%broken, "a revision could not be acknowledged");
                        again = Instant::now() + AGAIN;
                    }
                }
                continue;
            }
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(again), if lagging => {}
                () = tokio::time::sleep_until(counted) => {
                    self.counts().await;
                    counted = Instant::now() + every;
                }
                _ = &mut self.closing => break,
            }
        }
        self.counts().await;
    }

    /// What is to be acknowledged, to whom: a server that was restarted has forgotten.
    fn due(&mut self) -> Option<(u64, u64)> {
        let state = self.state.borrow_and_update();
        let held = state.held.as_ref().filter(|_| state.contact.is_live())?;
        Some((held.revision(), state.streams))
    }

    async fn counts(&self) {
        let Counted { counts, dropped } = self.shared.counters.drain();
        let mut rest = counts.as_slice();
        let mut lost = dropped;
        while !rest.is_empty() || lost > 0 {
            let (now, later) = rest.split_at(rest.len().min(COUNTS));
            if let Err(broken) = self.report(now.to_vec(), lost).await {
                tracing::debug!(%broken, "counts could not be reported");
                self.shared.counters.give_back(rest, lost);
                return;
            }
            (rest, lost) = (later, 0);
        }
    }

    async fn report(&self, counts: Vec<Count>, dropped: u64) -> Result<(), Broken> {
        let Some(revision) = self.shared.live.load().as_ref().map(|live| live.snapshot.revision()) else {
            return Err(Broken::Ended);
        };
        let instance = self.wire.upstream().instance.clone();
        self.wire.report(&Report { instance, build: self.shared.build.as_ref().map(crate::Build::label), revision, counts, dropped, relayed: None }).await
    }
}
