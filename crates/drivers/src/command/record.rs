//! What the command driver remembers: one record per operation, what its command's end was, and which one is wanted.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use greenroom_domain::id::{BuildLabel, Digest, Name, OperationId, PlacementKey};
use greenroom_domain::time::Span;
use serde::{Deserialize, Serialize};

use crate::Desired;
use crate::disk::{self, At as _, DiskError, Keep, Lock};
use crate::table::Identity;
use crate::template::Words;

/// One operation, with all that its placeholders need, so that `observe` can ask with the same words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub op: OperationId,
    pub key: PlacementKey,
    pub fence: u64,
    pub label: BuildLabel,
    pub build: Digest,
    pub config: Digest,
    /// Address of each component's artifact; a path where it is a file.
    pub artifacts: BTreeMap<Name, String>,
    pub endpoints: BTreeMap<Name, SocketAddr>,
    pub control: String,
    pub address: PathBuf,
    pub log: PathBuf,
    pub starts: u32,
    /// Time since boot `boot` when this start began.
    pub began: Span,
    pub boot: String,
    /// `None` while it is being started.
    pub process: Option<Identity>,
    /// Why we stopped it.
    pub stopped: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Current {
    pub fence: u64,
    pub wanted: Option<OperationId>,
    /// Last operation whose command ended well.
    pub reported: Option<OperationId>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    pub current: Current,
    pub records: BTreeMap<OperationId, Record>,
}

#[derive(Debug, Clone)]
pub(super) struct Book {
    dir: PathBuf,
}

impl Record {
    pub(super) fn new(desired: &Desired, book: &Book, starts: u32, began: Span, boot: String) -> Self {
        let place = |uri: &str| uri.strip_prefix("file://").unwrap_or(uri).to_owned();
        Self {
            op: desired.op,
            key: desired.key.clone(),
            fence: desired.fence,
            label: desired.label.clone(),
            build: desired.digest.clone(),
            config: desired.config.clone(),
            artifacts: desired.artifacts.iter().map(|(name, a)| (name.clone(), place(&a.uri))).collect(),
            endpoints: desired.endpoints.clone(),
            control: desired.control.clone(),
            address: desired.address.clone(),
            log: book.file(desired.op, "log"),
            starts,
            began,
            boot,
            process: None,
            stopped: None,
        }
    }
}

/// What the placeholders of an operation's programs stand for.
pub(super) fn words_of(record: &Record) -> Words {
    let mut words = Words::new(record.endpoints.clone());
    for (component, place) in &record.artifacts {
        words = words.with(component.as_str(), place);
    }
    words
        .with("environment", &record.key.environment)
        .with("target", &record.key.target)
        .with("service", &record.key.service)
        .with("address", record.address.display())
        .with("version", &record.label.version)
        .with("digest", &record.build)
        .with("control", &record.control)
        .with("op", record.op)
}

impl Book {
    pub(super) fn new(state: &Path, key: &PlacementKey) -> Self {
        Self { dir: state.join(key.environment.as_str()).join(key.target.as_str()).join(key.service.as_str()) }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn lock(&self) -> Result<Lock, DiskError> {
        disk::create_dir(&self.dir)?;
        Lock::wait(&self.dir.join("lock"))
    }

    fn file(&self, op: OperationId, extension: &str) -> PathBuf {
        self.dir.join(op.to_string().replace('/', "-")).with_extension(extension)
    }

    pub(super) fn read(&self) -> Result<Option<Pages>, DiskError> {
        let Some(current) = disk::read_json::<Current>(&self.dir.join("current.json"))? else { return Ok(None) };
        let mut records = BTreeMap::new();
        for op in [current.wanted, current.reported].into_iter().flatten() {
            if let Some(record) = self.record(op)? {
                records.insert(op, record);
            }
        }
        Ok(Some(Pages { current, records }))
    }

    pub(super) fn record(&self, op: OperationId) -> Result<Option<Record>, DiskError> {
        disk::read_json(&self.file(op, "json"))
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), DiskError> {
        disk::write_json(&self.file(record.op, "json"), record, Keep::Durably)
    }

    pub(super) fn write_current(&self, current: &Current) -> Result<(), DiskError> {
        disk::write_json(&self.dir.join("current.json"), current, Keep::Durably)
    }

    /// Notes that the command of `op` ended well, unless another operation is wanted by now.
    pub(super) fn reported(&self, op: OperationId) -> Result<(), DiskError> {
        let _lock = self.lock()?;
        match self.read()? {
            Some(Pages { current, .. }) if current.wanted == Some(op) => self.write_current(&Current { reported: Some(op), ..current }),
            _ => Ok(()),
        }
    }

    /// Written by the shell around the command; each start has its own.
    pub(super) fn exit_file(&self, record: &Record) -> PathBuf {
        self.file(record.op, &format!("exit-{}", record.starts))
    }

    pub(super) fn exit_code(&self, record: &Record) -> Option<i32> {
        fs::read_to_string(self.exit_file(record)).ok()?.trim().parse().ok()
    }

    pub(super) fn mark_cancelled(&self, op: OperationId) -> Result<(), DiskError> {
        disk::create_dir(&self.dir)?;
        let path = self.file(op, "cancelled");
        fs::write(&path, "").at("write", &path)
    }

    pub(super) fn is_cancelled(&self, op: OperationId) -> bool {
        self.file(op, "cancelled").exists()
    }
}
