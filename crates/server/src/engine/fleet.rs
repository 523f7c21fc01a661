//! Watching what runs: every placement is looked at again and again, and only a change becomes an event.
//!
//! What was live and has died, or is out of reach, is started again; what does not answer is lost contact after a minute,
//! with hysteresis.

mod revival;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_domain::actor::Part;
use greenroom_domain::command::{Command, Report};
use greenroom_domain::deployment::deployment::Config;
use greenroom_domain::deployment::placement::{Health, Observation, Placement};
use greenroom_domain::id::PlacementKey;
use greenroom_domain::state::State;
use greenroom_domain::time::{At, Span};

use self::revival::Revivals;
use super::now;
use super::rollouts::Fleet;

/// How often every placement is looked at.
pub const LOOK: Duration = Duration::from_secs(2);
/// Silence that counts as lost contact.
const LOST: Span = Span::secs(60);
/// Placements looked at side by side.
const ABREAST: usize = 32;

pub async fn run(fleet: Arc<Fleet>) {
    let mut silent: HashMap<PlacementKey, At> = HashMap::new();
    let revivals = Arc::new(Revivals::default());
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = fleet.engine.state.load_full();
        let keys: Vec<PlacementKey> = state.placements.values().filter(|p| p.active.is_none() && p.desired.is_some()).map(|p| p.key.clone()).collect();
        // a deployment is a new beginning
        revivals.retain(|key| state.placements.get(key).is_some_and(|p| p.active.is_none()));
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(ABREAST) {
            let looks: Vec<_> = chunk.iter().map(|key| tokio::spawn(look(Arc::clone(&fleet), Arc::clone(&state), key.clone(), Arc::clone(&revivals)))).collect();
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

/// Looks once at a place of which nothing is desired yet, so that what runs there already can be adopted: the round above
/// leaves such places alone. What is seen becomes an event like any other observation.
///
/// # Errors
/// `refused` when the target does not answer; whatever the writer answers to the observation.
pub async fn first_look(fleet: &Fleet, key: &PlacementKey) -> Result<(), Problem> {
    let state = fleet.engine.state.load_full();
    if state.placements.get(key).is_some_and(|p| p.desired.is_some()) {
        return Ok(());
    }
    let target = state.environments.get(&key.environment).and_then(|e| e.target(&key.target));
    let config = state.services.get(&key.service).zip(target).and_then(|(service, target)| Config::of(service, target));
    // what is missing of these is said when the command is decided
    let Some((driver, place)) = config.and_then(|(_, config)| fleet.place_under(key, &config)) else { return Ok(()) };
    let seen = driver.observe(&place).await.map_err(|error| {
        let why = greenroom_drivers::with_causes(&error);
        Problem::new(Code::Refused, format!("target `{}` does not say what runs there: {why}", key.target)).detail("see that the target answers, then adopt again")
    })?;
    fleet.engine.saw([(key.clone(), now())]);
    fleet.engine.report(Part::Rollouts, Command::Report(Report::Observed { key: key.clone(), seen: seen.observation })).await?;
    Ok(())
}

/// Looks once; false when nobody answered.
async fn look(fleet: Arc<Fleet>, state: Arc<State>, key: PlacementKey, revivals: Arc<Revivals>) -> bool {
    let Some(placement) = state.placements.get(&key) else { return true };
    let Some(pair) = placement.stable.as_ref().or(placement.desired.as_ref()) else { return true };
    let Some((driver, place)) = fleet.place(&state, &key, &pair.config) else { return true };
    let Ok(seen) = driver.observe(&place).await else { return false };
    let steady = revivals.sees(&key, seen.observation.health == Health::Healthy, Instant::now());
    if placement.contact_lost.is_some() || worth_a_word(placement.observed.as_ref(), &seen.observation, steady) {
        let _ = fleet.engine.report(Part::Rollouts, Command::Report(Report::Observed { key: key.clone(), seen: seen.observation.clone() })).await;
    }
    let gone = if seen.observation.serving.is_empty() { Some("nothing serves".to_owned()) } else { seen.unreachable };
    if let Some(why) = gone
        && placement.stable.is_some()
        && let Some(time) = revivals.begin(&key, Instant::now())
    {
        // it may take until the deadline of its recipe, and the rest of the fleet is looked at meanwhile
        let (fleet, state) = (Arc::clone(&fleet), Arc::clone(&state));
        tokio::spawn(async move {
            if let Some(placement) = state.placements.get(&key) {
                tracing::warn!(placement = %key, %why, time, "starting again what was live");
                revive(&fleet, &state, placement).await;
            }
            let pause = revivals.end(&key, Instant::now());
            if time > 1 {
                tracing::error!(placement = %key, time, next_after = ?pause, "it does not last; the next time comes later");
            }
        });
    }
    true
}

/// Only a change becomes an event; and not every breath of what comes and goes: that it is back is said once it lasts.
fn worth_a_word(known: Option<&Observation>, seen: &Observation, steady: bool) -> bool {
    let Some(known) = known else { return true };
    let no_worse = known.serving.is_empty() || known.serving == seen.serving;
    known != seen && (steady || known.health == Health::Healthy || !no_worse)
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
    if let Err(error) = driver.apply(&desired).await {
        tracing::error!(placement = %placement.key, error = %greenroom_drivers::with_causes(&error), "it could not be started again");
    }
}
