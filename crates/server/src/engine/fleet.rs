//! Watching what runs: every placement is looked at again and again, and only a change becomes an event.
//!
//! What was live and has died is started again; what does not answer is lost contact after a minute, with hysteresis.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenroom_domain::actor::Part;
use greenroom_domain::command::{Command, Report};
use greenroom_domain::deployment::placement::Placement;
use greenroom_domain::id::PlacementKey;
use greenroom_domain::state::State;
use greenroom_domain::time::{At, Span};

use super::now;
use super::rollouts::Fleet;

/// How often every placement is looked at.
pub const LOOK: Duration = Duration::from_secs(2);
/// Silence that counts as lost contact.
const LOST: Span = Span::secs(60);
/// Placements looked at side by side.
const ABREAST: usize = 32;

/// Placements that are being started again.
type Reviving = Arc<Mutex<HashSet<PlacementKey>>>;

pub async fn run(fleet: Arc<Fleet>) {
    let mut silent: HashMap<PlacementKey, At> = HashMap::new();
    let reviving = Reviving::default();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = fleet.engine.state.load_full();
        let keys: Vec<PlacementKey> = state.placements.values().filter(|p| p.active.is_none() && p.desired.is_some()).map(|p| p.key.clone()).collect();
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(ABREAST) {
            let looks: Vec<_> = chunk.iter().map(|key| tokio::spawn(look(Arc::clone(&fleet), Arc::clone(&state), key.clone(), Arc::clone(&reviving)))).collect();
            for (key, look) in chunk.iter().zip(looks) {
                found.push((key.clone(), look.await.unwrap_or(false)));
            }
        }
        let at = now();
        fleet.engine.saw(found.iter().filter(|(_, answered)| *answered).map(|(key, _)| (key.clone(), at)));
        for (key, answered) in found {
            if answered {
                silent.remove(&key);
                continue;
            }
            let since = *silent.entry(key.clone()).or_insert(at);
            let lost = state.placements.get(&key).is_some_and(|p| p.contact_lost.is_none());
            if lost && at.since(since) >= LOST {
                let _ = fleet.engine.report(Part::Rollouts, Command::Report(Report::NoContact { key, since })).await;
            }
        }
    }
}

/// Looks once; false when nobody answered.
async fn look(fleet: Arc<Fleet>, state: Arc<State>, key: PlacementKey, reviving: Reviving) -> bool {
    let Some(placement) = state.placements.get(&key) else { return true };
    let Some(pair) = placement.stable.as_ref().or(placement.desired.as_ref()) else { return true };
    let Some((driver, place)) = fleet.place(&state, &key, &pair.config) else { return true };
    let Ok(seen) = driver.observe(&place).await else { return false };
    if placement.observed.as_ref() != Some(&seen.observation) || placement.contact_lost.is_some() {
        let _ = fleet.engine.report(Part::Rollouts, Command::Report(Report::Observed { key: key.clone(), seen: seen.observation.clone() })).await;
    }
    if seen.observation.serving.is_empty() && placement.stable.is_some() && reviving.lock().is_ok_and(|mut set| set.insert(key.clone())) {
        // it may take until the deadline of its recipe, and the rest of the fleet is looked at meanwhile
        let (fleet, state) = (Arc::clone(&fleet), Arc::clone(&state));
        tokio::spawn(async move {
            if let Some(placement) = state.placements.get(&key) {
                revive(&fleet, &state, placement).await;
            }
            if let Ok(mut set) = reviving.lock() {
                set.remove(&key);
            }
        });
    }
    true
}

/// Starts again what was live: the same operation, so that nothing is started twice.
async fn revive(fleet: &Fleet, state: &State, placement: &Placement) {
    let Some(stable) = &placement.stable else { return };
    let newest = state
        .rollouts
        .values()
        .filter(|r| r.key == placement.key && r.build == stable.build && r.config == stable.config && r.step.kind() == greenroom_domain::deployment::rollout::StepKind::Live)
        .max_by_key(|r| r.moved_at);
    let Some(rollout) = newest else { return };
    let Some((driver, mut desired)) = fleet.desired(state, rollout) else { return };
    // the target holds the highest number that was ever given for it
    desired.fence = placement.fence;
    tracing::warn!(placement = %placement.key, build = %desired.label, "nothing serves; starting it again");
    if let Err(error) = driver.apply(&desired).await {
        tracing::error!(placement = %placement.key, %error, "it could not be started again");
    }
}
