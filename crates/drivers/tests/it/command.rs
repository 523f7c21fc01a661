//! The command driver.

use greenroom_domain::deployment::build::Artifact;
use greenroom_domain::deployment::placement::{Basis, Health};
use greenroom_domain::deployment::service::CommandRecipe;
use greenroom_domain::time::Span;
use greenroom_drivers::command::CommandDriver;
use greenroom_drivers::{Desired, Driver as _, DriverError, Recipe, config_digest};
use std::path::{Path, PathBuf};

use crate::world::{digest_of, fresh_dir, key, name, op, until};

struct Site {
    dir: PathBuf,
    driver: CommandDriver,
}

impl Site {
    fn new() -> Self {
        let dir = fresh_dir();
        Self { driver: CommandDriver::new(dir.join("state")), dir }
    }

    /// Where people are told to look begins here.
    fn name(&self) -> &str {
        self.dir.file_name().unwrap().to_str().unwrap()
    }

    /// Applies with `sh -c apply`, where `$1` is the site's directory, `$2` the build's digest and `$3` the operation.
    fn desired(&self, number: u32, apply: &str, observe: Option<&str>) -> Desired {
        let sh = |script: &str, more: &[&str]| {
            let mut argv: Vec<String> = ["/bin/sh", "-c"].map(Into::into).into();
            argv.extend([script.replace('{', "{{").replace('}', "}}"), "sh".into(), self.dir.display().to_string()]);
            argv.extend(more.iter().map(|m| (*m).to_owned()));
            argv
        };
        let recipe = Recipe::Command(CommandRecipe {
            apply: sh(apply, &["{digest}", "{op}", "{server}"]),
            observe: observe.map(|script| sh(script, &[])),
            min_stable: Span::millis(50),
            deadline: Span::secs(20),
        });
        Desired {
            key: key(),
            op: op(number),
            fence: number.into(),
            label: format!("web@1.{number}").parse().unwrap(),
            digest: digest_of(&number.to_be_bytes()),
            config: config_digest(&name("web"), &recipe, &Default::default()),
            artifacts: [(name("server"), Artifact { uri: "registry.example/web".into(), digests: Default::default() })].into(),
            recipe,
            endpoints: Default::default(),
            control: String::new(),
            address: "cluster-a".into(),
        }
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const APPLY: &str = r#"echo "$3 $4 $GREENROOM_OP" >>"$1/applied"; printf '{"serving": {"%s": 2}, "op": "%s"}\n' "$2" "$3" >"$1/runs""#;
const OBSERVE: &str = r#"cat "$1/runs""#;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_observe_program_prints_is_an_observation() {
    let site = Site::new();
    let desired = site.desired(1, APPLY, Some(OBSERVE));
    assert!(site.driver.observe(&desired.place()).await.is_err(), "it cannot say anything yet");
    site.driver.apply(&desired).await.unwrap();
    let seen = until("settled", || async { site.driver.observe(&desired.place()).await.ok().filter(|s| s.settled) }).await;
    assert_eq!((seen.observation.build(), seen.observation.op, seen.observation.basis), (Some(&desired.digest), Some(op(1)), Basis::Observed));
    assert_eq!(seen.instances.len(), 2);
    site.driver.apply(&desired).await.unwrap();
    assert_eq!(site.lines("applied"), [format!("{0} registry.example/web {0}", op(1))], "once");

    std::fs::write(site.dir.join("runs"), r#"{"serving": {}, "health": "down"}"#).unwrap();
    let seen = site.driver.observe(&desired.place()).await.unwrap();
    assert_eq!((seen.observation.health, seen.settled), (Health::Down, false));
    std::fs::write(site.dir.join("runs"), "connection refused").unwrap();
    let why = site.driver.observe(&desired.place()).await.unwrap_err().to_string();
    assert_eq!(why, format!("no contact: the observe command gave no report that is understood; what it said stands in {}/state/test/here/web/observe.log", site.name()));
    assert_eq!(site.lines("state/test/here/web/observe.log"), ["connection refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_observe_program_it_is_reported_only() {
    let site = Site::new();
    let desired = site.desired(1, APPLY, None);
    site.driver.apply(&desired).await.unwrap();
    let seen = site.driver.observe(&desired.place()).await.unwrap();
    assert_eq!((seen.observation.basis, seen.observation.build(), seen.settled), (Basis::Reported, Some(&desired.digest), true));

    let failing = site.desired(2, "echo no quota left; exit 9", None);
    let e = site.driver.apply(&failing).await.unwrap_err();
    let why = format!("exited with status 9; its log stands in {}/state/test/here/web/{}.log", site.name(), op(2).to_string().replace('/', "-"));
    assert!(matches!(&e, DriverError::Failed(said) if *said == why), "its own words stay in its log: {e}");
    assert!(site.driver.apply(&failing).await.is_err(), "and is not run again");
    let seen = site.driver.observe(&failing.place()).await.unwrap();
    assert_eq!((seen.observation.op, seen.settled, seen.taken_back), (Some(op(1)), false, None));
    assert_eq!(seen.failure, Some(why));
    assert!(matches!(site.driver.apply(&desired).await, Err(DriverError::Fenced { offered: 1, held: 2 })));
}

/// Waits for the file `go`, as a deployment that takes its time.
const WAIT: &str = r#"echo "$3" >>"$1/applied"; while [ ! -e "$1/go" ]; do sleep 0.01; done"#;

async fn started(site: &Site, lines: usize) {
    until("the command to run", || async { (site.lines("applied").len() == lines).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_went_away_finds_the_command_still_running_and_waits_for_it() {
    let site = Site::new();
    let desired = site.desired(1, WAIT, None);
    let (driver, applied) = (site.driver.clone(), desired.clone());
    let first = tokio::spawn(async move { driver.apply(&applied).await });
    started(&site, 1).await;
    first.abort();
    assert!(first.await.is_err());

    let next = CommandDriver::new(site.dir.join("state"));
    let seen = next.observe(&desired.place()).await.unwrap();
    assert_eq!((seen.underway, seen.observation.health, seen.settled), (Some(op(1)), Health::Progressing, false));
    let (driver, applied) = (next.clone(), desired.clone());
    let second = tokio::spawn(async move { driver.apply(&applied).await });
    touch(&site.dir.join("go"));
    second.await.unwrap().unwrap();
    assert_eq!(site.lines("applied").len(), 1, "not run twice");
    assert!(next.observe(&desired.place()).await.unwrap().settled);
}

fn touch(path: &Path) {
    std::fs::write(path, "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_late_or_overtaken_it_is_stopped() {
    let site = Site::new();
    let desired = site.desired(1, WAIT, None);
    let (driver, applied) = (site.driver.clone(), desired.clone());
    let applying = tokio::spawn(async move { driver.apply(&applied).await });
    started(&site, 1).await;
    site.driver.cancel(&desired.place(), op(1)).await.unwrap();
    assert!(matches!(applying.await.unwrap(), Err(DriverError::Failed(why)) if why == "cancelled"));
    assert_eq!(site.driver.observe(&desired.place()).await.unwrap().failure.as_deref(), Some("cancelled"));

    let mut late = site.desired(2, WAIT, None);
    if let Recipe::Command(recipe) = &mut late.recipe {
        recipe.deadline = Span::millis(200);
    }
    let e = site.driver.apply(&late).await.unwrap_err();
    assert_eq!(e.to_string(), "did not end within 200ms");

    let slow = site.desired(3, WAIT, None);
    let (driver, applied) = (site.driver.clone(), slow.clone());
    let applying = tokio::spawn(async move { driver.apply(&applied).await });
    started(&site, 3).await;
    let newer = site.desired(4, "true", None);
    site.driver.apply(&newer).await.unwrap();
    assert!(applying.await.unwrap().is_err());
    assert_eq!(site.driver.observe(&newer.place()).await.unwrap().observation.op, Some(op(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_end_and_with_nobody_to_look_its_outcome_is_unknown() {
    let site = Site::new();
    let desired = site.desired(1, "kill -9 $PPID", None);
    let e = site.driver.apply(&desired).await.unwrap_err();
    assert!(matches!(&e, DriverError::Lost(why) if why.contains(&format!("; its log stands in {}/state/test/here/web/", site.name()))), "{e}");
    assert!(e.is_final());
}
