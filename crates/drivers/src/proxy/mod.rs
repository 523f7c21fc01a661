//! The proxy that holds stable addresses: a detached process per target, adopted like any service, which outlives the
//! control plane. It knows nothing but its routes file, whose last good content it keeps.

mod forward;
mod pool;
mod routes;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::disk::{At as _, DiskError, last_line};
use crate::program::{Children, Inherit, Program};
use crate::table::{self, Members};

pub use routes::{ProxyRecord, ROUTES_FILE, Routes};
pub(crate) use routes::{edit_routes, in_flight, trouble};
pub use serve::run;

/// Directory whose proxy a process is, in its environment.
const MARK: &str = "GREENROOM_PROXY";
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);

/// What is wrong with a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("cannot listen on {address}: {why}")]
    Bind { address: SocketAddr, why: String },
    #[error("another proxy serves `{}`", dir.display())]
    Running { dir: PathBuf },
    #[error("cannot start the proxy `{}`", exe.display())]
    Start {
        exe: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the proxy of `{}` ended at once: {why}", dir.display())]
    Ended { dir: PathBuf, why: String },
    #[error("the proxy of `{}` does not answer", dir.display())]
    Silent { dir: PathBuf },
    #[error("the process table cannot be read")]
    Table(#[source] io::Error),
}

/// How a proxy came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It ran already.
    Adopted {
        pid: u32,
    },
    Started {
        pid: u32,
    },
}

/// Makes sure that a proxy serves `dir`: adopts the living one, or starts `EXE proxy --routes DIR/routes.json` detached
/// and waits until it has read its routes. Needs a runtime.
pub async fn ensure(exe: &Path, dir: &Path) -> Result<Ensured, ProxyError> {
    if let Some(pid) = find(dir).await? {
        return Ok(Ensured::Adopted { pid });
    }
    crate::disk::create_dir(dir)?;
    let dir = std::path::absolute(dir).at("resolve", dir)?;
    let routes = dir.join(ROUTES_FILE);
    let log = dir.join("proxy.log");
    let argv = [exe.display().to_string(), "proxy".into(), "--routes".into(), routes.display().to_string()];
    let environment = [(MARK.to_owned(), dir.display().to_string())].into();
    let children = Children::default();
    let program = Program { argv: &argv, inherit: Inherit::Basics, environment: &environment, dir: &dir, log: &log };
    let started = children.start(&program).map_err(|source| ProxyError::Start { exe: exe.into(), source })?;
    tracing::info!(proxy.dir = %dir.display(), proxy.pid = started.pid, "started the proxy");
    let patience = Instant::now() + PATIENCE;
    while Instant::now() < patience {
        if let Some(state) = routes::state(&dir)? {
            let ensured = Ensured::Started { pid: state.pid };
            return Ok(if state.pid == started.pid { ensured } else { Ensured::Adopted { pid: state.pid } });
        }
        // Another may have been faster and not yet have said so.
        if !table::is_alive(&started).map_err(ProxyError::Table)? && !is_coming(&dir)? && routes::living(&dir)?.is_none() {
            let why = last_line(&log, 300).unwrap_or_else(|| "it said nothing".into());
            return Err(ProxyError::Ended { dir, why });
        }
        tokio::time::sleep(TICK).await;
    }
    Err(ProxyError::Silent { dir })
}

/// The proxy that lives, by its record or, for the moment before it has written that, by its environment.
async fn find(dir: &Path) -> Result<Option<u32>, ProxyError> {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(state) = routes::state(dir)? {
            return Ok(Some(state.pid));
        }
        if !is_coming(dir)? {
            return Ok(None);
        }
        if Instant::now() > patience {
            return Err(ProxyError::Silent { dir: dir.into() });
        }
        tokio::time::sleep(TICK).await;
    }
}

fn is_coming(dir: &Path) -> Result<bool, ProxyError> {
    let mark = std::path::absolute(dir).at("resolve", dir)?.display().to_string();
    let coming = table::search(Members::Leader, |env| env.get(MARK) == Some(&mark));
    Ok(!coming.map_err(ProxyError::Table)?.is_empty())
}

/// Stops the proxy of `dir` and waits until it is gone. For demonstrations and tests: nobody reaches its services then.
pub async fn stop(dir: &Path) -> Result<(), ProxyError> {
    let Some(record) = routes::living(dir)? else { return Ok(()) };
    table::signal(&record.process, Signal::TERM).map_err(ProxyError::Table)?;
    let patience = Instant::now() + PATIENCE;
    while table::is_alive(&record.process).map_err(ProxyError::Table)? {
        if Instant::now() > patience {
            table::signal(&record.process, Signal::KILL).map_err(ProxyError::Table)?;
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}

/// The record of the proxy of `dir`, if it lives.
pub fn running(dir: &Path) -> Result<Option<ProxyRecord>, ProxyError> {
    Ok(routes::living(dir)?)
}

/// Waits until the proxy goes by `revision` of its routes and holds `stable`.
pub(crate) async fn wait_for(dir: &Path, revision: u64, stable: Option<SocketAddr>) -> Result<(), ProxyError> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let state = routes::state(dir)?;
        if let Some(state) = state.filter(|s| s.revision >= revision) {
            let Some(stable) = stable else { return Ok(()) };
            if state.listening.contains(&stable) {
                return Ok(());
            }
            if let Some(why) = state.errors.get(&stable) {
                return Err(ProxyError::Bind { address: stable, why: why.clone() });
            }
        } else if routes::living(dir)?.is_none() {
            return Err(ProxyError::Silent { dir: dir.into() });
        }
        if Instant::now() > patience {
            return Err(ProxyError::Silent { dir: dir.into() });
        }
        tokio::time::sleep(TICK).await;
    }
}
