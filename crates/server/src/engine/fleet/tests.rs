//! The reactors that drive rollouts and watch what runs, on a real server whose targets are in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use greenroom_api::Problem;
use greenroom_domain::actor::Part;
use greenroom_domain::command::{Command, Manifest};
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::deployment::rollout::{Rollout, StepKind};
use greenroom_domain::id::{Name, PlacementKey};
use greenroom_drivers::fake::{FakeDriver, Next};
use serde_json::json;

use crate::Running;
use crate::serve::{Doors, start_with};

struct House {
    dir: PathBuf,
    running: Running,
    targets: FakeDriver,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn web() -> PlacementKey {
    PlacementKey { environment: name("dev"), target: name("here"), service: name("web") }
}

impl House {
    /// One service with one target, whose rollouts have `deadline` seconds.
    async fn open(deadline: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!("greenroom-fleet-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let targets = FakeDriver::new();
        let running = start_with(&dir, Doors::http("127.0.0.1:0".parse().unwrap()), Arc::new(targets.clone())).await.unwrap();
        let house = Self { dir, running, targets };
        let environment = json!({"purpose": "development", "targets": [{"name": "here", "driver": "process", "address": "run/dev", "endpoints": {"web": "127.0.0.1:1"}}]});
        let recipe = json!({"run": ["{server}", "{listen}"], "ready": {"http": "/ready"}, "deadline": format!("{deadline}s")});
        let service = json!({"components": ["server"], "recipes": {"process": recipe}});
        let manifests = vec![
            Manifest::Environment { name: name("dev"), title: None, spec: serde_json::from_value(environment).unwrap() },
            Manifest::Service { name: name("web"), title: None, spec: serde_json::from_value(service).unwrap() },
        ];
        house.say(Command::Apply { set: name("test"), manifests, prune: false }).await.unwrap();
        for version in ["1.0.0", "1.1.0"] {
            let digest = format!("sha256:{}", version.replace('.', "0").repeat(13).chars().take(64).collect::<String>());
            let build = json!({"service": "web", "version": version, "artifacts": {"server": {"uri": "/nowhere/web", "digests": [digest]}}});
            house.say(Command::RegisterBuild { build: serde_json::from_value(build).unwrap() }).await.unwrap();
        }
        house
    }

    async fn say(&self, command: Command) -> Result<(), Problem> {
        self.running.engine().report(Part::Host, command).await.map(|_| ())
    }

    async fn deploy(&self, version: &str) {
        let builds = vec![format!("web@{version}").parse().unwrap()];
        self.say(Command::Deploy { environment: name("dev"), builds, motive: Motive::Promote, note: None }).await.unwrap();
    }

    /// Waits until the newest rollout is there.
    async fn until(&self, step: StepKind) -> Rollout {
        let newest = || {
            let state = self.running.engine().state.load_full();
            state.rollouts.values().max_by_key(|r| r.id).map(|r| Rollout::clone(r))
        };
        until(&format!("{step}, not {:?}", newest()), || newest().filter(|r| r.step.kind() == step)).await
    }

    /// Events about what was seen on the placement.
    fn observations(&self) -> usize {
        let events = self.running.engine().reader.events(0, 10_000).unwrap();
        events.iter().filter(|e| e.kind.contains("placement.observed")).count()
    }

    fn healthy(&self) -> Option<()> {
        let state = self.running.engine().state.load_full();
        let observed = state.placements.get(&web())?.observed.clone()?;
        (observed.health == greenroom_domain::deployment::placement::Health::Healthy).then_some(())
    }

    async fn close(self) {
        self.running.stop().await;
        std::fs::remove_dir_all(self.dir).unwrap();
    }
}

async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < patience, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
    }
}

fn why(rollout: &Rollout) -> &str {
    &rollout.step.reasons()[0].message
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_does_not_pass_before_the_deadline_is_its_reason() {
    let house = House::open(3).await;
    house.targets.trouble(&web(), Some("no space left on device"));
    house.deploy("1.0.0").await;
    let failed = house.until(StepKind::Failed).await;
    assert_eq!(why(&failed), "not live before its deadline; the last error was: no contact: no space left on device");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_never_answers_leaves_the_outcome_unknown_and_says_why() {
    let house = House::open(3).await;
    house.targets.break_contact(&web());
    house.deploy("1.0.0").await;
    let unknown = house.until(StepKind::Unknown).await;
    assert_eq!(why(&unknown), "its deadline passed: no contact: the fake was told not to answer");
    house.targets.restore_contact(&web());
    house.until(StepKind::Live).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_the_target_refuses_for_a_newer_one_is_superseded() {
    let house = House::open(60).await;
    house.deploy("1.0.0").await;
    let live = house.until(StepKind::Live).await;
    house.targets.fence(&web(), 1_000);
    house.deploy("1.1.0").await;
    let superseded = house.until(StepKind::Superseded).await;
    assert_eq!(why(&superseded), format!("refused: fencing number {} is lower than 1000, which the target holds", live.fence + 1));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_say_is_unknown_at_once_and_not_begun_again() {
    let house = House::open(60).await;
    house.targets.script(&web(), Next::Lose("the command was killed before it ended".to_owned()));
    house.deploy("1.0.0").await;
    let unknown = house.until(StepKind::Unknown).await;
    assert_eq!(why(&unknown), "the command was killed before it ended");
    assert!(house.targets.applied().is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_reach_is_applied_again() {
    let house = House::open(60).await;
    house.deploy("1.0.0").await;
    let live = house.until(StepKind::Live).await;
    house.targets.cut_off(&web());
    until("applied again", || (house.targets.applied().len() > 1).then_some(())).await;
    assert!(house.targets.applied().iter().all(|a| a.op == live.op()), "the same operation");
    until("healthy", || house.healthy()).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_again_and_again_is_started_ever_later_and_fills_no_ledger() {
    let house = House::open(60).await;
    house.deploy("1.0.0").await;
    house.until(StepKind::Live).await;
    let before = house.observations();
    let mut restarts = Vec::new();
    for time in 0..3 {
        house.targets.kill(&web());
        until("started again", || (house.targets.applied().len() > time + 1).then_some(())).await;
        restarts.push(Instant::now());
    }
    // the pauses are what `revival` says they are, and not the time of a look; on a busy machine they are longer
    let pauses: Vec<Duration> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= Duration::from_millis(1_500) && pauses[1] >= Duration::from_millis(3_500), "{pauses:?}");
    let said = house.observations() - before;
    assert!((1..=4).contains(&said), "{said}");
    house.close().await;
}
