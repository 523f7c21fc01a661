//! The reactor that drives rollouts: compares what is wanted with what is seen, acts by operation id, reports back.
//!
//! It takes no input but the state. Killed at any point it resumes by observing first.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenroom_domain::actor::Part;
use greenroom_domain::command::{Command, RecordCheck, Report};
use greenroom_domain::deployment::check::{CheckSpec, Outcome};
use greenroom_domain::deployment::deployment::{Config, Recipe};
use greenroom_domain::deployment::environment::DriverKind;
use greenroom_domain::deployment::rollout::{Rollout, StepKind};
use greenroom_domain::id::{Digest, PlacementKey, RolloutId};
use greenroom_domain::state::State;
use greenroom_drivers::{Desired, Driver, Seen, Where, check};
use tokio::task::JoinHandle;

use super::{Engine, now};

/// How often a rollout under way looks at its target.
const LOOK: Duration = Duration::from_millis(100);
/// Tries of a check that could not be judged, before its rollout waits for its deadline.
const TRIES: u32 = 3;

/// Drivers by kind, and where they find things.
pub struct Fleet {
    pub engine: Arc<Engine>,
    pub drivers: HashMap<DriverKind, Arc<dyn Driver>>,
    /// Address of this control plane, for recipes.
    pub control: String,
}

impl Fleet {
    fn driver(&self, config: &Config) -> Option<Arc<dyn Driver>> {
        self.drivers.get(&config.recipe.driver()).cloned()
    }

    fn address(&self, config: &Config) -> PathBuf {
        self.engine.data.join(&config.address)
    }

    /// Everything a target needs to run what `rollout` brings.
    #[must_use]
    pub fn desired(&self, state: &State, rollout: &Rollout) -> Option<(Arc<dyn Driver>, Desired)> {
        let config = state.configs.get(&rollout.config)?;
        let build = state.builds.get(&rollout.build)?;
        let desired = Desired {
            key: rollout.key.clone(),
            op: rollout.op(),
            fence: rollout.fence,
            label: build.spec.label(),
            digest: build.digest.clone(),
            config: rollout.config.clone(),
            artifacts: build.spec.artifacts.clone(),
            recipe: recipe(config),
            endpoints: config.endpoints.clone(),
            control: self.control.clone(),
            address: self.address(config),
        };
        Some((self.driver(config)?, desired))
    }

    /// Where to look for a placement that runs, or should run, under `config`.
    #[must_use]
    pub fn place(&self, state: &State, key: &PlacementKey, config: &Digest) -> Option<(Arc<dyn Driver>, Where)> {
        let config = state.configs.get(config)?;
        let place = Where { key: key.clone(), address: self.address(config), recipe: recipe(config), endpoint: config.endpoints.get(&key.service).copied() };
        Some((self.driver(config)?, place))
    }

    async fn report(&self, report: Report) -> bool {
        self.engine.report(Part::Rollouts, Command::Report(report)).await.is_ok()
    }
}

fn recipe(config: &Config) -> greenroom_drivers::Recipe {
    match &config.recipe {
        Recipe::Process(r) => greenroom_drivers::Recipe::Process(r.clone()),
        Recipe::Command(r) => greenroom_drivers::Recipe::Command(r.clone()),
    }
}

/// Keeps one task for each rollout that holds its placement.
pub async fn run(fleet: Arc<Fleet>) {
    let mut head = fleet.engine.head();
    let mut tasks: HashMap<RolloutId, JoinHandle<()>> = HashMap::new();
    loop {
        let state = fleet.engine.state.load_full();
        tasks.retain(|_, task| !task.is_finished());
        for id in &state.active {
            tasks.entry(*id).or_insert_with(|| tokio::spawn(drive(Arc::clone(&fleet), *id)));
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    for task in tasks.into_values() {
        task.abort();
    }
}

/// Follows one rollout until it is over.
async fn drive(fleet: Arc<Fleet>, id: RolloutId) {
    // while the driver works in the background, the target is watched
    let mut applying: Option<JoinHandle<Result<(), greenroom_drivers::DriverError>>> = None;
    loop {
        let state = fleet.engine.state.load_full();
        let Some(rollout) = state.rollouts.get(&id).cloned() else { break };
        if !rollout.step.kind().holds() {
            break;
        }
        let Some((driver, desired)) = fleet.desired(&state, &rollout) else {
            fleet.report(Report::Failed { op: rollout.op(), why: "its build, configuration or driver is not known here".to_owned() }).await;
            break;
        };
        if rollout.step.kind() == StepKind::Verifying && !rollout.cancelling {
            verify(&fleet, &state, &rollout).await;
            pause(&fleet).await;
            continue;
        }
        let seen = match driver.observe(&desired.place()).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(rollout.id = %id, %error, "the target does not answer");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        fleet.engine.saw([(rollout.key.clone(), now())]);
        let failure = match applying.take_if(|task| task.is_finished()) {
            Some(task) => task.await.ok().and_then(Result::err).filter(greenroom_drivers::DriverError::is_final).map(|e| e.to_string()),
            None => None,
        };
        let reported = step(&fleet, &driver, &desired, &rollout, &seen, failure).await;
        let over = seen.settled && seen.observation.op == Some(desired.op) || seen.taken_back == Some(desired.op);
        if applying.is_none() && !over && !rollout.cancelling {
            let (driver, desired) = (Arc::clone(&driver), desired.clone());
            applying = Some(tokio::spawn(async move { driver.apply(&desired).await }));
        }
        if !reported {
            tokio::time::sleep(LOOK).await;
        }
    }
    if let Some(task) = applying {
        task.abort();
    }
}

/// Says what was seen; true when something was reported.
async fn step(fleet: &Fleet, driver: &Arc<dyn Driver>, desired: &Desired, rollout: &Rollout, seen: &Seen, failure: Option<String>) -> bool {
    let op = desired.op;
    let ours = seen.observation.op == Some(op);
    if seen.settled && ours && seen.observation.build() == Some(&rollout.build) {
        return fleet.report(Report::Settled { op, seen: seen.observation.clone() }).await;
    }
    if seen.taken_back == Some(op) {
        let why = seen.failure.clone().unwrap_or_else(|| "the new build never became ready".to_owned());
        return fleet.report(Report::TakenBack { op, why, seen: seen.observation.clone() }).await;
    }
    if let Some(why) = failure {
        return fleet.report(Report::Failed { op, why }).await;
    }
    if rollout.cancelling {
        if seen.underway == Some(op) || ours {
            if let Err(error) = driver.cancel(&desired.place(), op).await {
                tracing::warn!(rollout.id = %rollout.id, %error, "cancelling did not work yet");
            }
            return false;
        }
        return fleet.report(Report::Stopped { op }).await;
    }
    if rollout.step.kind() == StepKind::Applying && (seen.underway == Some(op) || ours) {
        return fleet.report(Report::Applied { op }).await;
    }
    false
}

/// Waits for the next event, or a moment.
async fn pause(fleet: &Fleet) {
    let mut head = fleet.engine.head();
    head.mark_unchanged();
    let _ = tokio::time::timeout(LOOK * 5, head.changed()).await;
}

/// Runs the checks of the rollout that have no verdict yet, one after another.
async fn verify(fleet: &Fleet, state: &State, rollout: &Rollout) {
    let (Some(env), Some(service)) = (state.environments.get(&rollout.key.environment), state.services.get(&rollout.key.service)) else { return };
    for spec in service.spec.checks.iter().filter(|c| c.purposes.contains(&env.spec.purpose)) {
        let known = state.check(&env.name, &service.name, &rollout.build, &spec.name).filter(|r| r.rollout == Some(rollout.id));
        if known.is_some_and(|r| matches!(r.outcome, Outcome::Pass | Outcome::Fail)) {
            continue;
        }
        if !judge(fleet, state, rollout, spec).await {
            break;
        }
    }
}

async fn judge(fleet: &Fleet, state: &State, rollout: &Rollout, spec: &CheckSpec) -> bool {
    let Some(config) = state.configs.get(&rollout.config) else { return false };
    let set = state.observed_set(&rollout.key.environment);
    let Some(build) = state.builds.get(&rollout.build) else { return false };
    let context = check::CheckContext {
        environment: rollout.key.environment.clone(),
        service: rollout.key.service.clone(),
        label: build.spec.label(),
        digest: build.digest.clone(),
        op: Some(rollout.op()),
        endpoints: config.endpoints.clone(),
        artifacts: build.spec.artifacts.iter().map(|(name, artifact)| (name.clone(), artifact.uri.trim_start_matches("file://").to_owned())).collect(),
        control: fleet.control.clone(),
        work: fleet.engine.data.join("run/checks"),
    };
    let mut ran = check::run(spec, &context).await;
    for _ in 1..TRIES {
        if !matches!(ran.outcome, Outcome::Error | Outcome::Inconclusive) {
            break;
        }
        tracing::info!(check.name = %spec.name, summary = %ran.summary, "a check could not be judged; asked again");
        tokio::time::sleep(LOOK).await;
        ran = check::run(spec, &context).await;
    }
    let mut evidence = Vec::new();
    for (kind, bytes) in &ran.evidence {
        let (blobs, kind, bytes) = (fleet.engine.blobs.clone(), kind.to_string(), bytes.clone());
        // synced before the event that names it
        match tokio::task::spawn_blocking(move || blobs.put(&kind, now().0, &bytes)).await {
            Ok(Ok(id)) => evidence.extend(Digest::new(format!("sha256:{id}")).ok()),
            Ok(Err(error)) => tracing::error!(%error, "evidence could not be kept"),
            Err(error) => tracing::error!(%error, "evidence could not be kept"),
        }
    }
    let record = RecordCheck {
        id: None,
        environment: rollout.key.environment.clone(),
        service: rollout.key.service.clone(),
        check: spec.name.clone(),
        outcome: ran.outcome,
        summary: ran.summary,
        set,
        rollout: Some(rollout.id),
        evidence,
        requirements: Vec::new(),
    };
    fleet.engine.report(Part::Rollouts, Command::RecordCheck(record)).await.is_ok() && ran.outcome == Outcome::Pass
}
