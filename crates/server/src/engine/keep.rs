//! What is kept on disk so that exposure is served before the ledger is read, or when it cannot be: the last snapshot of
//! each environment, and who may ask. A copy, never a source: the ledger is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::Feeds;
use greenroom_domain::event::Event;
use greenroom_domain::id::Name;
use greenroom_domain::state::Recorded;
use greenroom_ledger::{Error, Snapshots};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Engine;
use crate::gate::{self, Ticket};
use crate::keys::Signer;

/// Copies are at least this far apart; the first after a quiet time is written at once.
const APART: Duration = Duration::from_millis(500);
/// A copy that could not be written is tried again after this long.
const AGAIN: Duration = Duration::from_secs(2);
/// The file of [`Ticket`]s, beside the snapshots. No environment has a name in capitals.
const TICKETS: &str = "TICKETS";

/// Something that the copy on disk no longer has right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    Snapshot(Name),
    Tickets,
}

/// Whether `events` change who may evaluate.
#[must_use]
pub fn tickets_changed(events: &[Recorded]) -> bool {
    events.iter().any(|e| matches!(e.event, Event::TokenCreated(_) | Event::TokenRevoked(_) | Event::EnvironmentRemoved(_)))
}

/// Signed snapshots by environment, and who may ask.
type Left = (Vec<(String, Vec<u8>)>, Vec<Ticket>);

/// What an earlier run left: signed snapshots by environment, and who may ask.
///
/// # Errors
/// When the directory cannot be read.
pub fn left(snapshots: &Snapshots) -> Result<Left, Error> {
    let (tickets, snapshots): (Vec<_>, Vec<_>) = snapshots.load()?.into_iter().partition(|(name, _)| name == TICKETS);
    // a copy that does not read lets nobody in until the ledger is read
    let tickets = tickets.first().and_then(|(_, bytes)| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    Ok((snapshots, tickets))
}

/// Writes copies until nobody can make one stale any more, then what is left to write.
pub async fn run(engine: Arc<Engine>, feeds: Arc<Feeds>, snapshots: Snapshots, signer: Arc<Signer>, mut stale: mpsc::UnboundedReceiver<Stale>) {
    let mut waiting: BTreeSet<Stale> = BTreeSet::from([Stale::Tickets]);
    waiting.extend(engine.state.load().environments.keys().cloned().map(Stale::Snapshot));
    let mut next = Instant::now();
    loop {
        tokio::select! {
            one = stale.recv() => match one {
                Some(one) => {
                    waiting.insert(one);
                }
                None => break,
            },
            () = tokio::time::sleep_until(next), if !waiting.is_empty() => {
                waiting = save(&engine, &feeds, &snapshots, &signer, waiting).await;
                next = Instant::now() + if waiting.is_empty() { APART } else { AGAIN };
            }
        }
    }
    save(&engine, &feeds, &snapshots, &signer, waiting).await;
}

/// Gives back what could not be written: until it is, a start would serve what is not so any more, a killed feature too.
async fn save(engine: &Arc<Engine>, feeds: &Arc<Feeds>, snapshots: &Snapshots, signer: &Arc<Signer>, waiting: BTreeSet<Stale>) -> BTreeSet<Stale> {
    let mut left = BTreeSet::new();
    for one in waiting {
        let failed = one.clone();
        let (engine, feeds, snapshots, signer) = (Arc::clone(engine), Arc::clone(feeds), snapshots.clone(), Arc::clone(signer));
        let saved = tokio::task::spawn_blocking(move || match one {
            Stale::Tickets => snapshots.save(TICKETS, &serde_json::to_vec(&gate::tickets(&engine.state.load())).unwrap_or_default()),
            Stale::Snapshot(environment) => match feeds.current(environment.as_str()) {
                Some(snapshot) => snapshots.save(environment.as_str(), &signer.sign_snapshot(&snapshot.model())),
                None => snapshots.remove(environment.as_str()),
            },
        })
        .await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, what = ?failed, "a copy could not be kept on disk: until it is, a start serves the one before for a moment");
            left.insert(failed);
        }
    }
    left
}
