//! Starting and stopping: exposure first, from the last snapshots; then the fold; then the writer and its reactors.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use greenroom_access::Access;
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_delivery::flagd::{Admission, Flagd, Service};
use greenroom_delivery::{DataPlane, Feeds, Presence, Usage};
use greenroom_domain::deployment::environment::DriverKind;
use greenroom_domain::id::Name;
use greenroom_domain::time::Span;
use greenroom_drivers::Driver;
use greenroom_drivers::command::CommandDriver;
use greenroom_drivers::process::ProcessDriver;
use greenroom_ledger::{DataDir, Ledger as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::directory::Directory;
use crate::engine::publish::Publisher;
use crate::engine::rollouts::Fleet;
use crate::engine::writer::Writer;
use crate::engine::{Counters, Engine, checkpoint, fleet, keep, now, replay, rollouts, usage, withdrawals};
use crate::gate::TokenGate;
use crate::http::{Api, Door, Surveys};
use crate::keys::{Signer, kept};
use crate::{config, failpoint, http, priority, secret};

/// The first-start token works this long.
const FIRST: Span = Span::secs(3600);
/// Commands waiting for the writer at most.
const QUEUE: usize = 4_096;
/// The whole chain is looked at once this long after a start, when what waited for the start has been served.
const LOOK_AT_CHAIN: Duration = Duration::from_secs(10);
/// A checkpoint is worth writing on the way out after this many events.
const WORTH_KEEPING: u64 = 10_000;
/// How long the parts of a server may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Ledger(#[from] greenroom_ledger::Error),
    #[error(transparent)]
    Replay(#[from] replay::ReplayError),
    #[error("the access policies do not read")]
    Access(#[from] greenroom_access::AccessError),
    #[error("`{address}` cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the signing key in `{}` cannot be used", keys.display())]
    Key {
        keys: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("the process table cannot be read: {0}")]
    Processes(String),
}

impl StartError {
    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Ledger(error) | Self::Replay(replay::ReplayError::Ledger(error)) => Some(error.remedy()),
            Self::Replay(_) => Some("start the version of Greenroom that wrote the ledger, or a newer one"),
            Self::Listen { .. } => Some("stop what listens there, or choose another address with --listen"),
            Self::Thread(_) => Some("raise the limit of threads or of memory that this process may have"),
            Self::Access(_) | Self::Key { .. } | Self::Processes(_) => None,
        }
    }
}

/// Where a server is reached.
#[derive(Debug, Clone)]
pub struct Doors {
    pub http: SocketAddr,
    pub flagd: Vec<config::Flagd>,
}

impl Doors {
    /// One for everything, and none for flagd's providers.
    #[must_use]
    pub const fn http(http: SocketAddr) -> Self {
        Self { http, flagd: Vec::new() }
    }
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    /// Ports of flagd's that are open: environment, service, address.
    pub flagd: Vec<(Name, Service, SocketAddr)>,
    /// Printed once; makes the first person.
    pub first_token: Option<String>,
    /// Why there is no control plane: only what was last published is served.
    pub trouble: Option<StartError>,
    stop: watch::Sender<bool>,
    http: tokio::task::JoinHandle<()>,
    feeds: Arc<Feeds>,
    control: Option<Control>,
}

/// What works before the ledger is read.
struct Front {
    door: Arc<Door>,
    gate: Arc<TokenGate>,
    feeds: Arc<Feeds>,
    presence: Arc<Presence>,
    usage: Arc<Usage>,
}

/// What works once the ledger is read.
struct Control {
    engine: Arc<Engine>,
    first_token: Option<String>,
    reactors: Vec<tokio::task::JoinHandle<()>>,
    publisher: tokio::task::JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
    writer: std::thread::JoinHandle<()>,
}

/// Starts a server on `data`, listening on `doors`; `proxy` is the program that holds stable addresses.
///
/// What was last published is served at once. When the ledger then cannot be read, that is all there is, and
/// [`Running::trouble`] says why.
///
/// # Errors
/// When the data directory, the key or the address cannot be used, or the ledger cannot and nothing was ever published.
/// Nothing is left running then.
pub async fn start(data: &Path, doors: Doors, proxy: PathBuf) -> Result<Running, StartError> {
    failpoint::arm(data);
    let hook = Arc::new(|step: &'static str| failpoint::hit(&format!("driver-{}", step.replace('_', "-"))));
    let process = ProcessDriver::with_hook(proxy, hook).map_err(|error| StartError::Processes(error.to_string()))?;
    start_with(data, doors, Arc::new(process)).await
}

/// As [`start`], with another driver in the place of the process driver.
pub(crate) async fn start_with(data: &Path, doors: Doors, process: Arc<dyn Driver>) -> Result<Running, StartError> {
    // before anything is made on disk: where nobody can be served, nothing is left behind
    let (listener, address) = bind(doors.http)?;
    let mut ports = Vec::new();
    for flagd in doors.flagd {
        for (service, at) in [(Service::Evaluation, flagd.evaluation), (Service::Sync, flagd.sync)] {
            if let Some(at) = at {
                ports.push((flagd.clone(), service, bind(at)?));
            }
        }
    }
    let dir = DataDir::open(data)?;
    let signer = Arc::new(Signer::open(&dir.keys()).map_err(|source| StartError::Key { keys: dir.keys(), source })?);
    // kept across restarts, so that addresses of streams given out before stay good
    let streams = kept(&dir.keys().join("streams")).map_err(|source| StartError::Key { keys: dir.keys(), source })?;

    let feeds = Arc::new(Feeds::default());
    let (left, tickets) = keep::left(&dir.snapshots())?;
    for (environment, signed) in left {
        match signer.open_snapshot(&signed) {
            Some(snapshot) => feeds.publish(&environment, Arc::new(snapshot)),
            None => tracing::warn!(env.name = %environment, "the snapshot on disk is not signed by this server; it is not served"),
        }
    }
    let front = Front { door: Arc::default(), gate: Arc::new(TokenGate::new(tickets)), feeds, presence: Arc::default(), usage: Arc::default() };
    let gate = Arc::clone(&front.gate) as Arc<dyn greenroom_delivery::Gate>;
    let plane = DataPlane::new(Arc::clone(&front.feeds), Arc::clone(&front.presence), gate, streams);
    let plane = plane.with_signer(Arc::clone(&signer) as Arc<dyn greenroom_delivery::Sign>).with_usage(Arc::clone(&front.usage));
    let (stop, mut stopped) = watch::channel(false);
    let flagd = open(ports, &plane, &stopped);
    let app = http::front(Arc::clone(&front.door), plane);
    let serving = tokio::spawn(greenroom_delivery::serve(listener, app, async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    }));

    let (control, trouble) = match control(&dir, address, process, signer, &front) {
        Ok(control) => (Some(control), None),
        Err(error) if front.feeds.environments().is_empty() => {
            serving.abort();
            return Err(error);
        }
        Err(error) => {
            tracing::error!(%error, "the control plane cannot start; what was last published is served");
            let remedy = error.remedy().unwrap_or("look at the server's log");
            front.door.shut(Problem::new(Code::StorageUnavailable, error.to_string()).detail(format!("{remedy}; what was last published is served meanwhile")));
            (None, Some(error))
        }
    };
    if let Some(control) = &control {
        let state = control.engine.state.load();
        for (environment, service, at) in flagd.iter().filter(|(environment, ..)| !state.environments.contains_key(environment)) {
            tracing::warn!(env.name = %environment, %at, "flagd's {service} has a port here, but there is no such environment: correct `[[flagd]]` in the configuration, or define it");
        }
    }
    let first_token = control.as_ref().and_then(|c| c.first_token.clone());
    Ok(Running { address, flagd, first_token, trouble, stop, http: serving, feeds: front.feeds, control })
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = greenroom_delivery::listen(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves flagd's providers. Their ports close when the server stops, or its start fails.
fn open(ports: Vec<(config::Flagd, Service, (TcpListener, SocketAddr))>, plane: &DataPlane, stopped: &watch::Receiver<bool>) -> Vec<(Name, Service, SocketAddr)> {
    let mut open = Vec::new();
    for (flagd, service, (listener, address)) in ports {
        let admission = match flagd.admission() {
            Ok(config::Admission::Anyone) => Admission::Anyone,
            Ok(config::Admission::Token) | Err(_) => Admission::ByToken,
        };
        let services = Flagd::new(plane.clone(), flagd.environment.as_str(), admission);
        let mut stopped = stopped.clone();
        tokio::spawn(greenroom_delivery::flagd::serve(listener, services.router(service), async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        open.push((flagd.environment, service, address));
    }
    open
}

/// Folds the ledger and starts the writer and its reactors.
fn control(dir: &DataDir, address: SocketAddr, process: Arc<dyn Driver>, signer: Arc<Signer>, front: &Front) -> Result<Control, StartError> {
    let Front { door, gate, feeds, presence, usage } = front;
    let data = dir.path().to_owned();
    let (ledger, state) = tokio::task::block_in_place(|| {
        let ledger = dir.ledger()?;
        door.events.store(ledger.head().seq, Ordering::Relaxed);
        let state = checkpoint::load(&dir.checkpoints(), &ledger.reader(), &|seq| door.folded.store(seq, Ordering::Relaxed))?;
        Ok::<_, StartError>((ledger, state))
    })?;
    let reader = ledger.reader();
    tracing::info!(seq = state.seq, "the ledger is folded");
    let first_token = state.persons.is_empty().then(secret::mint_first);
    let directory = Directory::open(reader.clone(), &state);
    let (commands, queue) = mpsc::channel(QUEUE);
    let (head_sender, head) = watch::channel(ledger.head().seq);
    let (changes, changed) = mpsc::unbounded_channel();
    let (stale, to_keep) = mpsc::unbounded_channel();
    let engine = Arc::new(Engine {
        state: ArcSwap::from_pointee(state),
        directory,
        access: Access::new()?,
        reader,
        blobs: dir.blobs()?,
        checkpoints: dir.checkpoints(),
        data: data.clone(),
        seen: ArcSwap::from_pointee(HashMap::new()),
        sight: Mutex::new(()),
        anew: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        writing: AtomicBool::new(true),
        refusing: ArcSwapOption::empty(),
        broken: OnceLock::new(),
        usage: usage::Counts::new(Arc::clone(usage), Arc::clone(feeds)),
        presence: Arc::clone(presence),
        counters: Counters { chain_sound: AtomicI64::new(-1), ..Counters::default() },
        commands,
        head,
    });
    let publisher = Publisher { engine: Arc::clone(&engine), feeds: Arc::clone(feeds), stale: stale.clone(), changes: changed };
    publisher.publish_all();
    gate.open(Arc::clone(&engine));
    let writer = Writer::new(Arc::clone(&engine), ledger, queue, head_sender, changes, stale, gate.version());
    let runtime = tokio::runtime::Handle::current();
    let writing = Arc::clone(&engine);
    let writer = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            priority::writer();
            // however it ends, health says so
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(&runtime)));
            writing.writing.store(false, Ordering::Release);
            if ended.is_err() {
                tracing::error!("the writer has ended: no command is taken until the server is restarted");
            }
        })
        .map_err(StartError::Thread)?;

    let drivers: HashMap<DriverKind, Arc<dyn Driver>> =
        HashMap::from([(DriverKind::Process, process), (DriverKind::Command, Arc::new(CommandDriver::new(data.join("run/commands"))) as Arc<dyn Driver>)]);
    let driven = Arc::new(Fleet { engine: Arc::clone(&engine), drivers, control: format!("http://{address}") });
    let reactors = vec![
        tokio::spawn(rollouts::run(Arc::clone(&driven))),
        tokio::spawn(fleet::run(Arc::clone(&driven))),
        tokio::spawn(withdrawals::run(Arc::clone(&engine), Arc::clone(feeds))),
        tokio::spawn(checkpoints(Arc::clone(&engine))),
        tokio::spawn(look_at_chain(Arc::clone(&engine))),
    ];
    let keeper = tokio::spawn(keep::run(Arc::clone(&engine), Arc::clone(feeds), dir.snapshots(), Arc::clone(&signer), to_keep));
    let publisher = tokio::spawn(publisher.run());
    let first = Mutex::new(first_token.as_ref().map(|t| (secret::hash(t), now() + FIRST)));
    let surveys = Surveys::start().map_err(StartError::Thread)?;
    let guessing = tokio::sync::Semaphore::new(1);
    door.open(&Arc::new(Api {
        engine: Arc::clone(&engine),
        fleet: driven,
        feeds: Arc::clone(feeds),
        signer,
        first,
        guessing,
        surveys,
        runtime: tokio::runtime::Handle::current(),
    }));
    Ok(Control { engine, first_token, reactors, publisher, keeper, writer })
}

/// Writes a checkpoint whenever the ledger has grown enough.
async fn checkpoints(engine: Arc<Engine>) {
    let mut head = engine.head();
    let mut last = engine.checkpoints.newest().unwrap_or(0);
    while let Ok(seq) = head.wait_for(|seq| *seq >= last + checkpoint::EVERY).await.map(|seq| *seq) {
        last = seq;
        write_checkpoint(Arc::clone(&engine)).await;
    }
}

async fn write_checkpoint(engine: Arc<Engine>) {
    let state = engine.state.load_full();
    let seq = state.seq;
    let saved = tokio::task::spawn_blocking(move || checkpoint::save(&engine.checkpoints, &engine.reader, &state)).await;
    match saved {
        Ok(Ok(())) => tracing::info!(seq, "wrote a checkpoint"),
        Ok(Err(error)) => tracing::warn!(%error, "no checkpoint could be written"),
        Err(error) => tracing::warn!(%error, "no checkpoint could be written"),
    }
}

/// Looks at the whole chain once, off the way of a start.
async fn look_at_chain(engine: Arc<Engine>) {
    tokio::time::sleep(LOOK_AT_CHAIN).await;
    let reader = engine.reader.clone();
    match tokio::task::spawn_blocking(move || reader.verify(0, |_| {})).await {
        Ok(Ok(report)) => {
            engine.looked_at_chain(report.fault.as_ref());
        }
        Ok(Err(error)) => tracing::error!(%error, "the chain cannot be read"),
        Err(error) => tracing::error!(%error, "the chain cannot be read"),
    }
}

impl Running {
    /// The engine behind a control plane that works.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.control.as_ref().unwrap().engine
    }

    /// Stops: no new requests, what was accepted is answered, the ledger is folded in. What runs on targets runs on.
    pub async fn stop(self) {
        let Self { stop, http, feeds, control, .. } = self;
        let _ = stop.send(true);
        // clients of open streams are told to come back
        feeds.close();
        let Some(Control { engine, reactors, publisher, keeper, writer, .. }) = control else {
            return http.abort();
        };
        for reactor in reactors {
            reactor.abort();
            let _ = reactor.await;
        }
        // open streams would keep it for ever
        let abort = http.abort_handle();
        if tokio::time::timeout(Duration::from_millis(500), http).await.is_err() {
            abort.abort();
        }
        if engine.state.load().seq >= engine.checkpoints.newest().unwrap_or(0) + WORTH_KEEPING {
            write_checkpoint(Arc::clone(&engine)).await;
        }
        engine.stopping.store(true, Ordering::Release);
        // the writer ends, so the publisher hears no more, so the keeper does not either
        let _ = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || writer.join())).await;
        let _ = tokio::time::timeout(PATIENCE, publisher).await;
        let _ = tokio::time::timeout(PATIENCE, keeper).await;
    }
}
