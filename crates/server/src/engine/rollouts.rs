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
use greenroom_domain::deployment::service::{CommandRecipe, ProcessRecipe};
use greenroom_domain::id::{Digest, PlacementKey, RolloutId};
use greenroom_domain::state::State;
use greenroom_domain::time::{At, Span};
use greenroom_drivers::{Desired, Driver, DriverError, Seen, Where, check, with_causes};
use tokio::task::JoinHandle;

use super::{Engine, now};

/// How often a rollout under way looks at its target.
const LOOK: Duration = Duration::from_millis(100);
/// So long before its deadline, and the length of a look, a rollout says what stood in its way: at the deadline itself the
/// writer says no more than that it passed.
const LAST_WORD: Span = Span::millis(500);
/// A target that has not answered for this long is out of contact, as the rules of rollouts have it.
const IN_CONTACT: Span = Span::secs(10);
/// A driver gets this much less time than its rollout, so that it takes back by itself what never became ready.
const SLACK: Span = Span::secs(2);
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
        self.place_under(key, state.configs.get(config)?)
    }

    pub(super) fn place_under(&self, key: &PlacementKey, config: &Config) -> Option<(Arc<dyn Driver>, Where)> {
        let place = Where { key: key.clone(), address: self.address(config), recipe: recipe(config), endpoint: config.endpoints.get(&key.service).copied() };
        Some((self.driver(config)?, place))
    }

    async fn report(&self, report: Report) -> bool {
        self.engine.report(Part::Rollouts, Command::Report(report)).await.is_ok()
    }
}

fn recipe(config: &Config) -> greenroom_drivers::Recipe {
    let within = |deadline: Span| Span(deadline.0 - SLACK.0.min(deadline.0 / 10));
    match &config.recipe {
        Recipe::Process(r) => greenroom_drivers::Recipe::Process(ProcessRecipe { deadline: within(r.deadline), ..r.clone() }),
        Recipe::Command(r) => greenroom_drivers::Recipe::Command(CommandRecipe { deadline: within(r.deadline), ..r.clone() }),
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

/// What one task knows of its rollout besides the ledger and the target.
struct Course {
    /// While the driver works in the background, the target is watched.
    applying: Option<JoinHandle<Result<(), DriverError>>>,
    /// The last error that may pass by itself.
    trouble: Option<String>,
    /// Why the target did not answer, last time.
    silence: Option<String>,
    answered: Option<At>,
    /// How long the last look took.
    took: Span,
    /// The driver said that nobody knows what became of the operation: it is not begun again.
    lost: bool,
}

impl Course {
    /// Whether the deadline comes before the next look is over.
    fn ends(&self, rollout: &Rollout, at: At) -> bool {
        let timed = matches!(rollout.step.kind(), StepKind::Applying | StepKind::Observing) && !rollout.cancelling;
        timed && rollout.step.due().is_some_and(|deadline| at + self.took + LAST_WORD >= deadline)
    }

    /// What the end of the driver's work means; an error that may pass is said once and kept for the last word.
    async fn word(&mut self, rollout: &Rollout) -> Option<Report> {
        let Err(error) = self.applying.take_if(|task| task.is_finished())?.await.ok()? else {
            self.trouble = None;
            return None;
        };
        let report = verdict(rollout, &error);
        self.lost |= matches!(error, DriverError::Lost(_));
        let text = with_causes(&error);
        if report.is_none() && self.trouble.as_ref() != Some(&text) {
            tracing::warn!(rollout.id = %rollout.id, placement = %rollout.key, error = %text, "the driver could not do its work; it is asked again");
            self.trouble = Some(text);
        }
        report
    }

    fn silent(&mut self, rollout: &Rollout, error: &greenroom_drivers::NoContact, at: At) -> Option<Report> {
        let text = error.to_string();
        if self.silence.as_ref() != Some(&text) {
            tracing::warn!(rollout.id = %rollout.id, placement = %rollout.key, error = %text, "the target does not answer");
            self.silence = Some(text.clone());
        }
        let out_of_contact = self.answered.is_none_or(|seen| at.since(seen) > IN_CONTACT);
        (out_of_contact && self.ends(rollout, at)).then(|| Report::Lost { op: rollout.op(), why: format!("its deadline passed: {text}") })
    }
}

/// What an error says about the operation for good; `None` if asking again may help.
fn verdict(rollout: &Rollout, error: &DriverError) -> Option<Report> {
    let (op, why) = (rollout.op(), with_causes(error));
    match error {
        DriverError::Fenced { .. } | DriverError::Overtaken { .. } => Some(Report::Overtaken { op, why }),
        DriverError::Lost(_) => Some(Report::Lost { op, why }).filter(|_| rollout.step.kind() != StepKind::Unknown),
        error => error.is_final().then_some(Report::Failed { op, why }),
    }
}

/// Follows one rollout until it is over.
async fn drive(fleet: Arc<Fleet>, id: RolloutId) {
    let mut course = Course { applying: None, trouble: None, silence: None, answered: None, took: Span(0), lost: false };
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
        let began = now();
        let seen = driver.observe(&desired.place()).await;
        let at = now();
        course.took = at.since(began);
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                if let Some(report) = course.silent(&rollout, &error, at) {
                    fleet.report(report).await;
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        (course.answered, course.silence) = (Some(at), None);
        fleet.engine.saw([(rollout.key.clone(), at)]);
        let word = course.word(&rollout).await;
        let mut reported = step(&fleet, &driver, &desired, &rollout, &seen, word, course.lost).await;
        let over = seen.settled && seen.observation.op == Some(desired.op) || seen.taken_back == Some(desired.op);
        if !reported
            && !over
            && course.ends(&rollout, now())
            && let Some(why) = &course.trouble
        {
            reported = fleet.report(Report::Failed { op: desired.op, why: format!("not live before its deadline; the last error was: {why}") }).await;
        }
        if course.applying.is_none() && !over && !rollout.cancelling && !course.lost && !reported {
            let (driver, desired) = (Arc::clone(&driver), desired.clone());
            course.applying = Some(tokio::spawn(async move { driver.apply(&desired).await }));
        }
        if !reported {
            tokio::time::sleep(LOOK).await;
        }
    }
    if let Some(task) = course.applying {
        task.abort();
    }
}

/// Says what was seen, or else the driver's own `word`; true when something was reported.
async fn step(fleet: &Fleet, driver: &Arc<dyn Driver>, desired: &Desired, rollout: &Rollout, seen: &Seen, word: Option<Report>, lost: bool) -> bool {
    let op = desired.op;
    let ours = seen.observation.op == Some(op);
    if seen.settled && ours && seen.observation.build() == Some(&rollout.build) {
        return fleet.report(Report::Settled { op, seen: seen.observation.clone() }).await;
    }
    if seen.taken_back == Some(op) {
        let why = seen.failure.clone().unwrap_or_else(|| "the new build never became ready".to_owned());
        return fleet.report(Report::TakenBack { op, why, blamed: !seen.blameless, seen: seen.observation.clone() }).await;
    }
    if let Some(report) = word {
        return fleet.report(report).await;
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
    // after an unknown outcome the target answers again, and goes on with what it was given
    let waits = match rollout.step.kind() {
        StepKind::Applying => true,
        StepKind::Unknown => !lost,
        _ => false,
    };
    if waits && (seen.underway == Some(op) || ours) {
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
        if rollout.checks.get(&spec.name).is_some_and(|r| r.outcome.judged()) {
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
