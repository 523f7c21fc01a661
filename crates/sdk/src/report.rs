//! Saying back: which revision is answered from, at once, and what was counted, every half minute.

use std::sync::Arc;
use std::time::Duration;

use greenroom_exposure::wire::follow::Report;
use greenroom_follow::{Batches, Broken, State, Wire};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::Shared;

/// After an acknowledgement could not be given, before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Reporter {
    pub wire: Wire,
    pub shared: Arc<Shared>,
    pub batches: Batches,
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
                match self.acknowledge().await {
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

    async fn acknowledge(&self) -> Result<(), Broken> {
        self.wire.report(&self.blank().ok_or(Broken::Ended)?).await
    }

    async fn counts(&mut self) {
        // before there are answers, none was counted
        let Some(report) = self.blank() else { return };
        let counted = self.shared.counters.drain();
        if let Err((broken, rest)) = self.batches.report(&self.wire, &report, counted).await {
            tracing::debug!(%broken, "counts could not be reported");
            self.shared.counters.give_back(rest);
        }
    }

    /// What is answered from, if anything is.
    fn blank(&self) -> Option<Report> {
        let revision = self.shared.live.load().as_ref()?.snapshot.revision();
        let (instance, build) = (self.wire.upstream().instance.clone(), self.shared.build.as_ref().map(crate::Build::label));
        Some(Report { instance, build, revision, batch: None, relayed: None })
    }
}
