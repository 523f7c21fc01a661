//! The files between driver and proxy. The driver writes `routes.json`; the proxy answers in `proxy-state.json`. Each is
//! replaced by rename.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, Keep, Lock};
use crate::table::{self, Identity};

/// Name of the routes file in a target's directory.
pub const ROUTES_FILE: &str = "routes.json";
const LOCK_FILE: &str = "routes.lock";
const STATE_FILE: &str = "proxy-state.json";
pub(super) const RECORD_FILE: &str = "proxy.json";

/// Where stable addresses lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// Rises with every change.
    pub revision: u64,
    /// Stable address → private address.
    pub routes: BTreeMap<SocketAddr, SocketAddr>,
}

impl Routes {
    pub(crate) fn read(dir: &Path) -> Result<Self, DiskError> {
        Ok(disk::read_json(&dir.join(ROUTES_FILE))?.unwrap_or_default())
    }
}

/// Changes the routes of the target in `dir` and returns their revision; nothing is written if nothing changes.
pub(crate) fn edit_routes<T>(dir: &Path, edit: impl FnOnce(&mut BTreeMap<SocketAddr, SocketAddr>) -> T) -> Result<u64, DiskError> {
    disk::create_dir(dir)?;
    let _lock = Lock::wait(&dir.join(LOCK_FILE))?;
    let mut routes = Routes::read(dir)?;
    let before = routes.routes.clone();
    edit(&mut routes.routes);
    if routes.routes != before {
        routes.revision += 1;
        disk::write_json(&dir.join(ROUTES_FILE), &routes, Keep::Durably)?;
    }
    Ok(routes.revision)
}

/// Who the proxy of a directory is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRecord {
    #[serde(flatten)]
    pub process: Identity,
    pub version: String,
}

/// What the proxy says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub pid: u32,
    /// Revision of the routes it goes by.
    pub revision: u64,
    pub listening: BTreeSet<SocketAddr>,
    /// Stable addresses that it cannot listen on, and why.
    pub errors: BTreeMap<SocketAddr, String>,
    /// Requests under way at private addresses that no route leads to any more.
    pub in_flight: BTreeMap<SocketAddr, usize>,
}

pub(super) fn state_file(dir: &Path) -> PathBuf {
    dir.join(STATE_FILE)
}

/// The living proxy of `dir`.
pub(super) fn living(dir: &Path) -> Result<Option<ProxyRecord>, DiskError> {
    let record: Option<ProxyRecord> = disk::read_json(&dir.join(RECORD_FILE))?;
    Ok(record.filter(|r| table::is_alive(&r.process).unwrap_or(false)))
}

/// What the living proxy of `dir` says.
pub(super) fn state(dir: &Path) -> Result<Option<State>, DiskError> {
    let Some(record) = living(dir)? else { return Ok(None) };
    Ok(disk::read_json::<State>(&state_file(dir))?.filter(|s| s.pid == record.process.pid))
}

/// Requests that the proxy still has under way at `backend`, which no route leads to.
pub(crate) fn in_flight(dir: &Path, backend: SocketAddr) -> usize {
    state(dir).ok().flatten().and_then(|s| s.in_flight.get(&backend).copied()).unwrap_or(0)
}

/// Why nobody reaches `stable`; `None` if it is held.
pub(crate) fn trouble(dir: &Path, stable: SocketAddr) -> Option<String> {
    match state(dir) {
        Ok(Some(s)) if s.listening.contains(&stable) => None,
        Ok(Some(s)) => Some(s.errors.get(&stable).cloned().unwrap_or_else(|| format!("the proxy does not listen on {stable} yet"))),
        Ok(None) => Some(format!("no proxy holds {stable}")),
        Err(e) => Some(e.to_string()),
    }
}
