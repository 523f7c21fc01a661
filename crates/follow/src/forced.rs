//! What is forced off at a relay, on top of what was signed: it can only take away.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use greenroom_exposure::model::{Blocked, Feature};
use greenroom_exposure::wire::follow::Forced;
use greenroom_exposure::{Change, Snapshot};

/// Seconds since 1970.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `snapshot` with the kill switch of all that is `forced` on. Handles serve both.
#[must_use]
pub fn without(snapshot: &Arc<Snapshot>, forced: &[Forced]) -> Arc<Snapshot> {
    let off = forced.iter().filter_map(|forced| {
        let feature = snapshot.feature(&forced.feature).filter(|feature| feature.killed.is_none())?;
        let killed = Some(Blocked { release: None, blocked_by: format!("relay:{}", forced.relay) });
        Some((forced.feature.clone(), Arc::new(Feature { killed, ..feature })))
    });
    let change = Change { revision: snapshot.revision(), put: off.collect(), ..Change::default() };
    if change.put.is_empty() { Arc::clone(snapshot) } else { Arc::new(snapshot.with(&change).0) }
}
