//! Drivers change, observe and report: one service on one target at a time. They decide no policy, know no ledger and
//! no state of the control plane; what they remember stands on the target, so that a restarted control plane resumes
//! by observing.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use greenroom_domain::deployment::build::Artifact;
use greenroom_domain::deployment::placement::Observation;
use greenroom_domain::deployment::service::{CommandRecipe, ProcessRecipe};
use greenroom_domain::few::Few;
use greenroom_domain::id::{BuildLabel, Digest, Name, OperationId, PlacementKey};
use greenroom_domain::time::At;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub mod check;
pub mod command;
mod disk;
pub mod fake;
pub mod process;
mod program;
pub mod proxy;
mod table;
pub mod template;

pub use disk::DiskError;

/// What an object-safe asynchronous call returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Called at named points between the steps of a driver, so that a test can end the process exactly there.
pub type Hook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Changes, observes and reports one placement.
pub trait Driver: Send + Sync {
    /// What `apply` would change. Read only.
    fn plan<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<Diff, NoContact>>;

    /// Works until the operation is over on the target: done, or taken back. `Ok` says only that nothing is left to do;
    /// *how* it ended is what [`Driver::observe`] says.
    ///
    /// Safe to repeat with the same operation, at any time and also at once: it goes on where the target stands, never
    /// starts twice, does nothing for an operation that is done, and restarts what was live and has died. After a crash
    /// of the caller it must be called again unless what is seen is settled or taken back. Dropping the future leaves
    /// the target as it stands.
    fn apply<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<(), DriverError>>;

    /// What is there. Read only. `Ok` with nothing serving is an observation, `Err` is none.
    fn observe<'a>(&'a self, place: &'a Where) -> BoxFuture<'a, Result<Seen, NoContact>>;

    /// Asks the target to stop `op` and to keep what was there before. It is cancelled only once `observe` shows it;
    /// an operation that is already done stays done.
    fn cancel<'a>(&'a self, place: &'a Where, op: OperationId) -> BoxFuture<'a, Result<(), DriverError>>;
}

/// The recipe frozen in a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    Process(ProcessRecipe),
    Command(CommandRecipe),
}

/// What shall run on a placement.
#[derive(Debug, Clone)]
pub struct Desired {
    pub key: PlacementKey,
    pub op: OperationId,
    /// Lower than what the target holds = refused.
    pub fence: u64,
    pub label: BuildLabel,
    /// Identity of the build.
    pub digest: Digest,
    /// [`config_digest`] of the recipe.
    pub config: Digest,
    pub artifacts: Few<Name, Artifact>,
    pub recipe: Recipe,
    /// Stable addresses of all services of the target.
    pub endpoints: BTreeMap<Name, SocketAddr>,
    /// Address of the control plane, for `{control}`.
    pub control: String,
    /// The target's directory.
    pub address: PathBuf,
}

impl Desired {
    /// Where it shall run.
    #[must_use]
    pub fn place(&self) -> Where {
        Where { key: self.key.clone(), address: self.address.clone(), recipe: self.recipe.clone(), endpoint: self.endpoints.get(&self.key.service).copied() }
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Where {
    pub key: PlacementKey,
    pub address: PathBuf,
    pub recipe: Recipe,
    /// Stable address of the service on this target.
    pub endpoint: Option<SocketAddr>,
}

/// What was seen on a placement.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: At,
    /// Its `op` is the mark of what *serves*; before anything serves, of what starts.
    pub observation: Observation,
    /// What serves, or, before anything does, what starts.
    pub instances: Vec<Instance>,
    /// Everything else of this placement that still runs.
    pub old_instances: Vec<Instance>,
    /// The operation begun on the target and not yet over there: `apply` it again, or take it over.
    pub underway: Option<OperationId>,
    /// Why the newest instance died or never became ready.
    pub failure: Option<String>,
    /// Why nobody reaches the stable address, whatever runs behind it: apply what was live again.
    pub unreachable: Option<String>,
    /// The target's own record says that this operation failed and what was there before serves again.
    pub taken_back: Option<OperationId>,
    /// It was taken back for no fault of its build, which was never tried.
    pub blameless: bool,
    /// `observation.op` is done: its build on every instance, nothing old left, ready without restarts for `min_stable`.
    pub settled: bool,
}

/// One instance on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `None` where the target does not tell.
    pub pid: Option<u32>,
    pub started: Option<At>,
    pub ready: bool,
    /// Restarts under the same operation.
    pub restarts: u32,
    pub digest: Option<Digest>,
    pub op: Option<OperationId>,
}

/// What would change, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diff {
    pub lines: Vec<Line>,
}

/// `old → new`; a missing side means that it was not or will not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub what: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl Diff {
    /// Adds a line if the two sides differ.
    pub fn line(&mut self, what: impl Into<String>, old: Option<impl fmt::Display>, new: Option<impl fmt::Display>) {
        let (old, new) = (old.map(|x| x.to_string()), new.map(|x| x.to_string()));
        if old != new {
            self.lines.push(Line { what: what.into(), old, new });
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |s: &Option<String>| s.clone().unwrap_or_else(|| "nothing".into());
        write!(f, "{}: {} → {}", self.what, side(&self.old), side(&self.new))
    }
}

/// The target did not answer: nothing is known, not even that nothing is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no contact: {why}")]
pub struct NoContact {
    pub why: String,
}

impl NoContact {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self { why: why.to_string() }
    }
}

/// Why `apply` or `cancel` could not do its work. What was there before still stands.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("refused: fencing number {offered} is lower than {held}, which the target holds")]
    Fenced { offered: u64, held: u64 },
    #[error("refused: {offered} is older than {held}, which the target holds under the same fencing number")]
    Overtaken { offered: OperationId, held: OperationId },
    #[error("the recipe is for another driver")]
    Recipe,
    #[error(transparent)]
    Template(#[from] template::TemplateError),
    #[error(transparent)]
    Artifact(#[from] process::ArtifactError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Proxy(#[from] proxy::ProxyError),
    /// The program of the user's own said that it failed.
    #[error("{0}")]
    Failed(String),
    /// Nobody can say any more what the operation did.
    #[error("{0}")]
    Lost(String),
    #[error(transparent)]
    NoContact(#[from] NoContact),
    #[error("a step of the driver ended before its time")]
    Interrupted,
}

impl DriverError {
    /// Whether repeating the same call cannot help.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Fenced { .. } | Self::Overtaken { .. } | Self::Recipe | Self::Template(_) | Self::Failed(_) | Self::Lost(_) => true,
            Self::Artifact(e) => e.is_final(),
            Self::Disk(_) | Self::Proxy(_) | Self::NoContact(_) | Self::Interrupted => false,
        }
    }
}

/// An error with all its causes, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

/// Digest of the configuration under which `service` runs: its recipe, its own stable address and those that the recipe
/// names. The address of another service that it does not name changes nothing.
#[must_use]
pub fn config_digest(service: &Name, recipe: &Recipe, endpoints: &BTreeMap<Name, SocketAddr>) -> Digest {
    let named = template::endpoints_named(recipe);
    let bound: BTreeMap<_, _> = endpoints.iter().filter(|(name, _)| *name == service || named.contains(name.as_str())).collect();
    let mut hash = Sha256::new();
    hash.update(b"greenroom/config/1\n");
    // Both are plain maps and texts, so writing them cannot fail; were it to, the digest would still be stable.
    hash.update(serde_json::to_vec(&(recipe, bound)).unwrap_or_default());
    sha256_digest(hash)
}

#[expect(clippy::expect_used, reason = "64 hex digits by construction")]
pub(crate) fn sha256_digest(hash: Sha256) -> Digest {
    use fmt::Write as _;
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Digest::new(text).expect("a SHA-256 is a digest")
}

pub(crate) fn now() -> At {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    At(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

pub(crate) fn no_hook() -> Hook {
    Arc::new(|_| ())
}
