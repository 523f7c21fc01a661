//! A relay: follows a control plane, or another relay, and serves the same from what it holds. One process, no database.
//!
//! What it follows stays as it was signed, on disk and on the way to its own followers. It decides nothing but one thing: what is
//! forced off here. Who may ask it is told by whom it follows; who has which revision, and what was counted, it says back.

#![deny(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

pub mod disk;
mod forced;
mod gate;
mod health;
mod line;
mod upward;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::flagd::Flagd;
use greenroom_delivery::{Chain, DataPlane, Feeds, Limits, Presence, Usage, router};
use greenroom_exposure::wire::follow::is_name;
use greenroom_follow::{NoUpstream, Pace, State, Upstream, Wire, instance};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use greenroom_delivery::flagd::{Admission, Service};
pub use greenroom_follow::{Key, unix_now};

pub use self::forced::{LONGEST, OffError, lift, off};
use self::gate::TicketGate;
use self::line::Line;
use self::upward::Upward;

/// How long a stop waits for requests that are being answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Seconds since 1970, as this relay knows them.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Whom a relay follows and where it serves.
#[derive(Clone)]
pub struct Options {
    pub upstream: String,
    /// A file of certificates in PEM form that the upstream's is checked against, instead of those that the machine believes.
    pub authorities: Option<PathBuf>,
    /// Relay tokens of the upstream: one for each environment.
    pub tokens: Vec<String>,
    /// The public key of the control plane at the beginning of the chain.
    pub key: Key,
    /// The directory of everything that is kept.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Ports for flagd's providers.
    pub flagd: Vec<Port>,
    /// What it is called in lists. Kept: unless given, as before, and the first time made by chance.
    pub name: Option<String>,
    pub limits: Limits,
    pub pace: Pace,
    /// Between two questions whom to let ask: so long a token that was revoked is still good here, at most.
    pub tickets: Duration,
    pub clock: Clock,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("upstream", &self.upstream).field("data", &self.data).field("listen", &self.listen).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Options {
    #[must_use]
    pub fn new(upstream: impl Into<String>, tokens: Vec<String>, key: Key, data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            upstream: upstream.into(),
            authorities: None,
            tokens,
            key,
            data: data.into(),
            listen,
            flagd: Vec::new(),
            name: None,
            limits: Limits::default(),
            pace: Pace::default(),
            tickets: Duration::from_secs(10),
            clock: Arc::new(unix_now),
        }
    }
}

/// A port of flagd's, which serves one environment.
#[derive(Debug, Clone)]
pub struct Port {
    pub environment: String,
    pub service: Service,
    pub address: SocketAddr,
    pub admission: Admission,
}

/// Why a relay does not start. That its upstream cannot be reached is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Upstream(#[from] NoUpstream),
    #[error("`{0}` is no name of a relay: up to 80 letters, digits, `-`, `.` and `_`")]
    Name(String),
    #[error("no token was given, and each names the environment to follow")]
    NoToken,
    #[error("cannot use the directory `{}`", path.display())]
    Data {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A relay that serves.
pub struct Running {
    pub address: SocketAddr,
    /// With the addresses that they have come to.
    pub flagd: Vec<Port>,
    pub name: Arc<str>,
    /// What this process is called upstream: the name, and something that no other process has.
    pub instance: String,
    feeds: Arc<Feeds>,
    lines: Vec<Arc<Line>>,
    watching: JoinHandle<()>,
    upward: JoinHandle<()>,
    serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Serves from what is on disk, then from what it follows.
///
/// # Errors
/// See [`StartError`].
pub async fn start(options: Options) -> Result<Running, StartError> {
    let Options { upstream, authorities, tokens, key, data, listen, flagd, name, limits, pace, tickets, clock } = options;
    let broken = |source: io::Error| StartError::Data { path: data.clone(), source };
    let dir = disk::Dir::open(&data).map_err(broken)?;
    let name: Arc<str> = dir.name(name).map_err(broken)?.into();
    if !is_name(&name) || name.len() > 80 {
        return Err(StartError::Name(name.to_string()));
    }
    if tokens.is_empty() {
        return Err(StartError::NoToken);
    }
    let secret = dir.secret().map_err(broken)?;
    let instance = instance(&name);

    let (feeds, presence, usage) = (Arc::new(Feeds::default()), Arc::new(Presence::default()), Arc::new(Usage::default()));
    let gate = Arc::new(TicketGate::new(Arc::clone(&clock)));
    let (path, followed) = watch::channel(Arc::from([Arc::clone(&name)]));
    let forced = forced::Watched::new(&data, Arc::clone(&name), Arc::clone(&clock));
    let wires = tokens.into_iter().map(|token| {
        let (instance, relay) = (instance.clone(), Some(name.to_string()));
        Wire::new(Upstream { url: upstream.clone(), authorities: authorities.clone(), token, key: key.clone(), environment: None, instance, relay, pace })
    });
    let wires = wires.collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<Arc<Line>> = wires
        .into_iter()
        .enumerate()
        .map(|(at, wire)| Line::start(at, wire, &dir, line::Shared { feeds: Arc::clone(&feeds), forced: forced.list(), path: path.clone(), gate: Arc::clone(&gate) }))
        .collect();

    let plane = DataPlane::new(Arc::clone(&feeds), Arc::clone(&presence), gate, secret).with_usage(Arc::clone(&usage)).with_chain(Chain::of(followed)).with_limits(limits);
    let (listener, address) = bind(listen)?;
    let (stop, mut stopped) = watch::channel(false);
    let mut ports = Vec::new();
    for port in flagd {
        let (listener, address) = bind(port.address)?;
        let router = Flagd::new(plane.clone(), &port.environment, port.admission).router(port.service);
        let mut stopped = stopped.clone();
        tokio::spawn(greenroom_delivery::flagd::serve(listener, router, async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
        ports.push(Port { address, ..port });
    }
    let answering = router(plane).merge(health::router(lines.clone()));
    let serving = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        greenroom_delivery::serve(listener, answering, stopped).await;
    });
    let upward = Upward { lines: lines.clone(), presence, usage, feeds: Arc::clone(&feeds), tickets, report: pace.report };
    let (watching, upward) = (tokio::spawn(forced.run(lines.clone())), tokio::spawn(upward.run(stop.subscribe())));
    tracing::info!(relay = %name, %address, "the relay serves");
    Ok(Running { address, flagd: ports, name, instance, feeds, lines, watching, upward, serving, stop })
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let unheard = |source| StartError::Listen { address, source };
    let listener = greenroom_delivery::listen(address).map_err(unheard)?;
    let bound = listener.local_addr().map_err(unheard)?;
    Ok((listener, bound))
}

impl Running {
    /// Where following stands, by token.
    #[must_use]
    pub fn states(&self) -> Vec<watch::Receiver<State>> {
        self.lines.iter().map(|line| line.state()).collect()
    }

    /// Stops: what was asked is answered, what was counted is reported if anyone can be reached, what is held is on disk.
    pub async fn stop(self) {
        let Self { feeds, lines, watching, mut upward, mut serving, stop, .. } = self;
        watching.abort();
        let _ = stop.send(true);
        // those on open streams are told to come back
        feeds.close();
        if tokio::time::timeout(PATIENCE, &mut serving).await.is_err() {
            serving.abort();
        }
        if tokio::time::timeout(PATIENCE, &mut upward).await.is_err() {
            upward.abort();
        }
        for line in lines {
            line.close().await;
        }
    }
}
