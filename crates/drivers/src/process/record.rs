//! What the driver remembers, on the target itself: one record per operation and one that names the current ones.
//!
//! `ADDRESS/services/SERVICE/current.json`, `…/OP.json`, `…/OP.log`, `…/OP.cancelled`; `ADDRESS/artifacts/…` and the
//! proxy's files stand beside `services`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use greenroom_domain::id::{BuildLabel, Digest, Name, OperationId};
use greenroom_domain::time::{At, Span};
use serde::{Deserialize, Serialize};

use crate::disk::{self, At as _, DiskError, Keep, Lock};
use crate::table::Identity;

/// Records of operations that are over and whose process is gone are kept up to this number.
const KEEP_RECORDS: usize = 10;

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Started, or about to be; the stable address still leads to what was there before.
    Starting,
    /// The stable address leads to it; what was there before still runs, in case.
    Serving,
    /// Ready for `min_stable`: no way back by itself from here. What was there before is being stopped.
    Proved,
    /// Nothing old is left.
    Done,
}

/// One operation on one placement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub op: OperationId,
    pub fence: u64,
    pub label: BuildLabel,
    pub build: Digest,
    pub config: Digest,
    /// Private address of the process.
    pub listen: SocketAddr,
    /// The service's stable address, if it has one.
    pub stable: Option<SocketAddr>,
    pub argv: Vec<String>,
    pub log: PathBuf,
    pub drain: Span,
    pub phase: Phase,
    /// Time since boot `boot` when this start began: the deadline counts from here.
    pub began: Span,
    pub boot: String,
    /// `None` while it is being started.
    pub process: Option<Identity>,
    pub started: Option<At>,
    /// Number of this start, also in the process's environment.
    pub starts: u32,
    /// Starts after it had been live.
    pub restarts: u32,
    /// It was live once, so its failing later is not the failing of a deployment.
    pub lived: bool,
    /// Why it was taken back. Final.
    pub verdict: Option<String>,
    /// The verdict is no fault of the build: it was never tried.
    #[serde(default)]
    pub blameless: bool,
    /// Why its process died or did not become ready, last time.
    pub failure: Option<String>,
    /// Time since boot when it stopped getting requests, and when it was sent TERM.
    pub retired: Option<Span>,
    pub terminated: Option<Span>,
}

/// What is wanted and what serves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Current {
    /// Highest fencing number seen.
    pub fence: u64,
    /// Last operation that was let in.
    pub wanted: Option<OperationId>,
    /// Operation whose process the stable address leads to.
    pub serving: Option<OperationId>,
}

/// The records of one service on one target.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    dir: PathBuf,
}

/// Everything in a book at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    pub current: Current,
    pub records: BTreeMap<OperationId, Record>,
}

fn file_stem(op: OperationId) -> String {
    op.to_string().replace('/', "-")
}

impl Book {
    pub(crate) fn new(address: &Path, service: &Name) -> Self {
        Self { dir: address.join("services").join(service.as_str()) }
    }

    /// Keeps every other driver from changing this placement, in this process or another. Held for one step only, never
    /// while waiting for the target.
    pub(crate) fn lock(&self) -> Result<Lock, DiskError> {
        disk::create_dir(&self.dir)?;
        Lock::wait(&self.dir.join("lock"))
    }

    /// `None` if nothing was ever deployed here.
    pub(crate) fn read(&self) -> Result<Option<Pages>, DiskError> {
        let Some(current) = disk::read_json(&self.dir.join("current.json"))? else { return Ok(None) };
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).at("read", &self.dir)? {
            let path = entry.at("read", &self.dir)?.path();
            let is_record = path.extension().is_some_and(|e| e == "json") && path.file_name().is_some_and(|n| n != "current.json");
            if is_record && let Some(record) = disk::read_json::<Record>(&path)? {
                records.insert(record.op, record);
            }
        }
        Ok(Some(Pages { current, records }))
    }

    pub(crate) fn write_current(&self, current: &Current) -> Result<(), DiskError> {
        disk::write_json(&self.dir.join("current.json"), current, Keep::Durably)
    }

    pub(crate) fn write(&self, record: &Record) -> Result<(), DiskError> {
        disk::write_json(&self.dir.join(file_stem(record.op)).with_extension("json"), record, Keep::Durably)
    }

    pub(crate) fn log_of(&self, op: OperationId) -> PathBuf {
        self.dir.join(file_stem(op)).with_extension("log")
    }

    fn cancel_mark(&self, op: OperationId) -> PathBuf {
        self.dir.join(file_stem(op)).with_extension("cancelled")
    }

    pub(crate) fn mark_cancelled(&self, op: OperationId) -> Result<(), DiskError> {
        disk::create_dir(&self.dir)?;
        let path = self.cancel_mark(op);
        fs::write(&path, "").at("write", &path)
    }

    pub(crate) fn is_cancelled(&self, op: OperationId) -> bool {
        self.cancel_mark(op).exists()
    }

    /// Forgets the oldest of what is over. `gone` says that nothing of the record runs.
    pub(crate) fn prune(&self, pages: &Pages, gone: impl Fn(&Record) -> bool) -> Result<(), DiskError> {
        let named = |op: OperationId| pages.current.wanted == Some(op) || pages.current.serving == Some(op);
        let mut over: Vec<_> = pages.records.values().filter(|r| !named(r.op) && gone(r)).collect();
        over.sort_by_key(|r| std::cmp::Reverse(r.started));
        for record in over.into_iter().skip(KEEP_RECORDS) {
            let json = self.dir.join(file_stem(record.op)).with_extension("json");
            for path in [json, self.log_of(record.op), self.cancel_mark(record.op)] {
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).at("remove", &path),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
