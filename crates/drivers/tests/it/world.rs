//! A target directory of its own per test, the programs in it, and nothing left running afterwards.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use greenroom_domain::deployment::build::Artifact;
use greenroom_domain::deployment::service::{Probe, ProcessRecipe};
use greenroom_domain::few::FewSet;
use greenroom_domain::id::{Digest, Name, OperationId, PlacementKey};
use greenroom_domain::time::Span;
use greenroom_drivers::process::ProcessDriver;
use greenroom_drivers::{Desired, Driver as _, Recipe, Seen, config_digest};
use sha2::{Digest as _, Sha256};

use crate::part::ROLE;

/// No process at all.
pub const NOBODY: [u32; 0] = [];

/// What identifies a placement, also to a process of its own.
#[derive(Debug, Clone)]
pub struct Place {
    pub dir: PathBuf,
    pub stable: Option<SocketAddr>,
}

/// A place that cleans up after itself.
pub struct World {
    pub place: Place,
    pub driver: ProcessDriver,
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn op(number: u32) -> OperationId {
    format!("rol_{:032x}/1", u128::from(number)).parse().unwrap()
}

pub fn key() -> PlacementKey {
    PlacementKey { environment: name("test"), target: name("here"), service: name("web") }
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    Digest::new(format!("sha256:{hex}")).unwrap()
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn fresh_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let dir = std::env::temp_dir().join(format!("greenroom-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Asks until the answer is `Some`; fails the test after half a minute.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
    }
}

fn script(path: &Path, lines: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn this_binary() -> String {
    format!("{} role --exact --nocapture --test-threads=1 --quiet", std::env::current_exe().unwrap().display())
}

impl Place {
    pub fn from_environment() -> Self {
        let stable = std::env::var("TEST_STABLE").ok().map(|s| s.parse().unwrap());
        Self { dir: std::env::var("TEST_DIR").unwrap().into(), stable }
    }

    /// The program that is the proxy when called as `EXE proxy --routes FILE`.
    pub fn proxy_program(&self) -> PathBuf {
        let path = self.dir.join("proxy-program");
        if !path.exists() {
            script(&path, &format!("export {ROLE}=proxy TEST_ROUTES=\"$3\"\nexec {}", this_binary()));
        }
        path
    }

    /// The build `version`, whose program behaves as told; `number` is its operation and its fencing number.
    pub fn desired(&self, version: &str, behaviour: &str, number: u32) -> Desired {
        let program = self.dir.join(format!("program-{version}-{behaviour}"));
        script(&program, &format!("export {ROLE}=service TEST_VERSION={version} TEST_BEHAVIOUR={behaviour} TEST_LISTEN=\"$1\"\nexec {}", this_binary()));
        let bytes = std::fs::read(&program).unwrap();
        let endpoints: BTreeMap<_, _> = self.stable.map(|s| (name("web"), s)).into_iter().collect();
        let recipe = Recipe::Process(ProcessRecipe {
            run: vec!["{server}".into(), "{listen}".into()],
            env: [("WHERE".to_owned(), "{environment} {version}".to_owned())].into(),
            ready: Probe { http: "/ready".into(), times: 2, every: Span::millis(30) },
            min_stable: Span::millis(200),
            drain: Span::secs(5),
            deadline: Span::secs(30),
        });
        Desired {
            key: key(),
            op: op(number),
            fence: number.into(),
            label: format!("web@{version}").parse().unwrap(),
            digest: digest_of(version.as_bytes()),
            config: config_digest(&name("web"), &recipe, &endpoints),
            artifacts: [(name("server"), Artifact { uri: program.display().to_string(), digests: FewSet::from_iter([digest_of(&bytes)]) })].into(),
            recipe,
            endpoints,
            control: "http://127.0.0.1:1".into(),
            address: self.dir.join("target"),
        }
    }

    pub fn target(&self) -> PathBuf {
        self.dir.join("target")
    }
}

/// Changes the recipe of a process.
pub fn with_recipe(mut desired: Desired, change: impl FnOnce(&mut ProcessRecipe)) -> Desired {
    if let Recipe::Process(recipe) = &mut desired.recipe {
        change(recipe);
    }
    desired
}

impl World {
    pub fn new() -> Self {
        let place = Place { dir: fresh_dir(), stable: Some(free_address()) };
        let driver = ProcessDriver::new(place.proxy_program()).unwrap();
        Self { place, driver }
    }

    pub fn desired(&self, version: &str, behaviour: &str, number: u32) -> Desired {
        self.place.desired(version, behaviour, number)
    }

    /// Applies it and sees it settled.
    pub async fn deploy(&self, version: &str, number: u32) -> Seen {
        let desired = self.desired(version, "well", number);
        self.driver.apply(&desired).await.unwrap();
        let seen = self.driver.observe(&desired.place()).await.unwrap();
        assert_settled(&seen, &desired);
        seen
    }

    pub async fn observe(&self) -> Seen {
        self.driver.observe(&self.desired("any", "well", 0).place()).await.unwrap()
    }

    pub fn record_file(&self, number: u32) -> PathBuf {
        self.place.target().join(format!("services/web/rol_{number:032x}-1.json"))
    }

    /// What the driver remembers of operation `number`.
    pub fn record(&self, number: u32) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.record_file(number)).unwrap()).unwrap()
    }

    /// Processes of operation `number`, leaders of their group only.
    pub fn processes(&self, number: u32) -> Vec<u32> {
        let (op, dir) = (format!("GREENROOM_OP={}", op(number)), format!("GREENROOM_ADDRESS={}", self.place.target().display()));
        marked(&[op, dir])
    }

    /// Starts a control plane that is killed at `point`, and waits until it is dead.
    pub async fn crash_engine(&self, version: &str, number: u32, point: &str) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.engine(version, number, point).status().await.unwrap();
        assert_eq!(status.signal(), Some(9), "killed at {point}");
    }

    /// Starts a control plane and kills it `within` this time; false if it had finished its work before.
    pub async fn engine_killed_after(&self, version: &str, number: u32, within: Duration) -> bool {
        let mut engine = self.engine(version, number, "nowhere").spawn().unwrap();
        match tokio::time::timeout(within, engine.wait()).await {
            Ok(status) => assert!(status.unwrap().success()),
            Err(_) => engine.kill().await.unwrap(),
        }
        !engine.wait().await.unwrap().success()
    }

    fn engine(&self, version: &str, number: u32, point: &str) -> tokio::process::Command {
        let mut engine = tokio::process::Command::new("sh");
        engine.arg("-c").arg(format!("exec {}", this_binary())).envs([
            (ROLE, "engine"),
            ("TEST_DIR", self.place.dir.to_str().unwrap()),
            ("TEST_STABLE", &self.place.stable.unwrap().to_string()),
            ("TEST_VERSION", version),
            ("TEST_NUMBER", &number.to_string()),
            ("TEST_CRASH_AT", point),
        ]);
        engine
    }
}

pub fn assert_settled(seen: &Seen, desired: &Desired) {
    let o = &seen.observation;
    assert!(seen.settled, "{seen:?}");
    assert_eq!((o.build(), o.op, o.config.as_ref()), (Some(&desired.digest), Some(desired.op), Some(&desired.config)), "{seen:?}");
    assert_eq!((seen.instances.len(), seen.old_instances.len(), seen.underway, seen.taken_back), (1, 0, None, None), "{seen:?}");
}

/// Living leaders of process groups whose environment has all of these entries.
fn marked(entries: &[String]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let has = |e: &String| environment.split(|b| *b == 0).any(|v| v == e.as_bytes());
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        if entries.iter().all(has) && fields.first().is_some_and(|s| *s != "Z") && fields.get(2) == Some(&pid.to_string().as_str()) {
            found.push(pid);
        }
    }
    found
}

pub fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

impl Drop for World {
    fn drop(&mut self) {
        let target = self.place.target();
        for mark in ["GREENROOM_ADDRESS", "GREENROOM_PROXY"] {
            for pid in marked(&[format!("{mark}={}", target.display())]) {
                send(pid, rustix::process::Signal::KILL);
            }
        }
        // After a failure the directory is kept for inspection.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.place.dir);
        }
    }
}
