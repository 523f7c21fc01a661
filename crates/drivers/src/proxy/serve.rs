//! The proxy process itself: watches its routes, holds the stable addresses, says what it does.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::forward::forward;
use super::pool::Table;
use super::routes::{RECORD_FILE, State, state_file};
use super::{ProxyError, ProxyRecord, Routes};
use crate::disk::{self, At as _, DiskError, Keep, Lock};
use crate::table::{self, Identity};

/// How often the routes file is looked at.
const TICK: Duration = Duration::from_millis(20);
/// A file that was not replaced for this long will not change without showing it.
const SETTLED: Duration = Duration::from_millis(500);
/// How often an address in use is tried again.
const BIND_AGAIN: Duration = Duration::from_millis(250);
/// How often a file is tried again that could not be written.
const SPEAK_AGAIN: Duration = Duration::from_millis(250);
/// How long requests under way may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

struct Proxy {
    dir: PathBuf,
    routes_file: PathBuf,
    table: Arc<Table>,
    /// What the file looked like when it was last read.
    seen: Option<(u64, i64, i64, u64)>,
    /// What it said.
    taken: Option<Routes>,
    /// Why it was not understood; said once.
    misread: Option<String>,
    listeners: HashMap<SocketAddr, JoinHandle<()>>,
    state: State,
    said: Option<State>,
    bind_again: Instant,
    /// Who we are, until that stands on disk.
    record: Option<ProxyRecord>,
    /// Why the last word of ours did not get onto the disk; said once.
    mute: Option<String>,
    speak_again: Instant,
}

/// Serves the routes in `routes_file` until it is sent TERM. Does not mind a terminal that closes.
pub async fn run(routes_file: PathBuf) -> Result<(), ProxyError> {
    let routes_file = std::path::absolute(&routes_file).at("resolve", &routes_file)?;
    let dir = routes_file.parent().unwrap_or(Path::new("/")).to_owned();
    let Some(_only) = Lock::take(&dir.join("proxy.lock"))? else { return Err(ProxyError::Running { dir }) };
    let on = |kind| signal(kind).at("handle signals for", &dir);
    let (mut hangup, mut interrupt, mut terminate) = (on(SignalKind::hangup())?, on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let me = table::identify(std::process::id()).map_err(ProxyError::Table)?;
    let me: Identity = me.ok_or_else(|| ProxyError::Table(std::io::Error::other("this process is not in it")))?;
    let state = State { pid: me.pid, ..State::default() };
    let record = ProxyRecord { process: me, version: env!("CARGO_PKG_VERSION").into() };
    let mut proxy = Proxy {
        dir,
        routes_file,
        table: Arc::default(),
        seen: None,
        taken: None,
        misread: None,
        listeners: HashMap::new(),
        state,
        said: None,
        bind_again: Instant::now(),
        record: Some(record),
        mute: None,
        speak_again: Instant::now(),
    };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => proxy.look().await,
            _ = hangup.recv() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    proxy.leave().await;
    Ok(())
}

impl Proxy {
    /// Nothing that goes wrong with a file ends it: customers are at its addresses.
    async fn look(&mut self) {
        let file = fs::metadata(&self.routes_file).ok();
        let stamp = file.as_ref().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.size()));
        // two replacements within one tick of the file system's clock may look alike
        let fresh = file.and_then(|m| m.modified().ok()).is_some_and(|at| at.elapsed().is_ok_and(|age| age < SETTLED));
        if stamp.is_some() && (stamp != self.seen || fresh) {
            match disk::read_json::<Routes>(&self.routes_file) {
                Ok(Some(routes)) => {
                    (self.seen, self.misread) = (stamp, None);
                    if self.taken.as_ref() != Some(&routes) {
                        self.taken = Some(routes.clone());
                        self.take(routes).await;
                    }
                }
                Ok(None) => {}
                // read again until it is: there may have been no file descriptor left for it
                Err(e) => {
                    let why = source_of(&e);
                    if self.misread.as_ref() != Some(&why) {
                        tracing::warn!(error = %why, "routes not understood; the last good ones stay");
                        self.misread = Some(why);
                    }
                }
            }
        }
        if !self.state.errors.is_empty() && Instant::now() >= self.bind_again {
            self.listen().await;
        }
        self.state.in_flight = self.table.retired();
        if Instant::now() < self.speak_again {
            return;
        }
        match self.speak() {
            Ok(()) => self.mute = None,
            Err(e) => {
                let why = source_of(&e);
                if self.mute.as_ref() != Some(&why) {
                    tracing::warn!(error = %why, "cannot say what is served; it is served all the same");
                    self.mute = Some(why);
                }
                self.speak_again = Instant::now() + SPEAK_AGAIN;
            }
        }
    }

    /// Writes what has changed: first what it does, then who it is, so that whoever finds it finds both.
    fn speak(&mut self) -> Result<(), DiskError> {
        if self.said.as_ref() != Some(&self.state) {
            disk::write_json(&state_file(&self.dir), &self.state, Keep::Meanwhile)?;
            self.said = Some(self.state.clone());
        }
        if let Some(record) = &self.record {
            disk::write_json(&self.dir.join(RECORD_FILE), record, Keep::Durably)?;
            self.record = None;
        }
        Ok(())
    }

    async fn take(&mut self, routes: Routes) {
        tracing::info!(routes.revision = routes.revision, routes = routes.routes.len(), "new routes");
        self.state.revision = routes.revision;
        self.table.lead(routes.routes);
        self.listen().await;
    }

    /// Listens on every stable address that has a route, and on no other.
    async fn listen(&mut self) {
        let wanted = self.table.routes();
        self.listeners.retain(|address, listener| {
            let keep = wanted.contains_key(address);
            if !keep {
                listener.abort();
            }
            keep
        });
        self.state.errors = BTreeMap::new();
        for address in wanted.keys() {
            if self.listeners.contains_key(address) {
                continue;
            }
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let accepting = tokio::spawn(accept(listener, *address, Arc::clone(&self.table)));
                    self.listeners.insert(*address, accepting);
                }
                Err(e) => {
                    let why = match (e.kind(), table::listener_of(*address)) {
                        (std::io::ErrorKind::AddrInUse, Some(who)) => format!("address in use by {who}"),
                        _ => e.to_string(),
                    };
                    tracing::warn!(%address, why, "cannot listen");
                    self.state.errors.insert(*address, why);
                }
            }
        }
        self.bind_again = Instant::now() + BIND_AGAIN;
        self.state.listening = self.listeners.keys().copied().collect();
    }

    async fn leave(mut self) {
        for (_, listener) in self.listeners.drain() {
            listener.abort();
        }
        let patience = Instant::now() + FAREWELL;
        while self.table.busy() && Instant::now() < patience {
            tokio::time::sleep(TICK).await;
        }
        tracing::info!("stopped");
    }
}

async fn accept(listener: TcpListener, stable: SocketAddr, table: Arc<Table>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(converse(stream, stable, peer, Arc::clone(&table)));
            }
            Err(e) => {
                // Out of file descriptors, most likely: it gets better when others close theirs.
                tracing::warn!(address = %stable, error = %e, "cannot accept");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, stable: SocketAddr, peer: SocketAddr, table: Arc<Table>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| forward(Arc::clone(&table), stable, peer, request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if let Err(e) = served {
        tracing::debug!(address = %stable, error = %e, "connection ended");
    }
}

fn source_of(e: &DiskError) -> String {
    format!("{e}: {}", e.source)
}
