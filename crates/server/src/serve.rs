//! Starting and stopping: exposure first, from the last snapshots; then the fold; then the writer and its reactors.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use greenroom_access::Access;
use greenroom_delivery::{DataPlane, Feeds, Presence};
use greenroom_domain::deployment::environment::DriverKind;
use greenroom_domain::time::Span;
use greenroom_drivers::Driver;
use greenroom_drivers::command::CommandDriver;
use greenroom_drivers::process::ProcessDriver;
use greenroom_exposure::Snapshot;
use greenroom_ledger::{DataDir, Ledger as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::directory::Directory;
use crate::engine::publish::Publisher;
use crate::engine::rollouts::Fleet;
use crate::engine::writer::Writer;
use crate::engine::{Counters, Engine, checkpoint, fleet, now, replay, rollouts};
use crate::http::{Api, TokenGate, router};
use crate::keys::{Signer, kept};
use crate::{failpoint, secret};

/// The first-start token works this long.
const FIRST: Span = Span::secs(3600);
/// Commands waiting for the writer at most.
const QUEUE: usize = 4_096;

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
            Self::Access(_) | Self::Key { .. } | Self::Processes(_) => None,
        }
    }
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    /// Printed once; makes the first person.
    pub first_token: Option<String>,
    stop: watch::Sender<bool>,
    http: tokio::task::JoinHandle<io::Result<()>>,
    reactors: Vec<tokio::task::JoinHandle<()>>,
    publisher: tokio::task::JoinHandle<()>,
    writer: std::thread::JoinHandle<()>,
    pub(crate) api: Arc<Api>,
}

/// Starts a server on `data`, listening on `listen`; `proxy` is the program that holds stable addresses.
///
/// # Errors
/// When the data directory, the ledger, the key or the address cannot be used. Nothing is left running then.
pub async fn start(data: &Path, listen: SocketAddr, proxy: PathBuf) -> Result<Running, StartError> {
    failpoint::arm(data);
    let hook = Arc::new(|step: &'static str| failpoint::hit(&format!("driver-{}", step.replace('_', "-"))));
    let process = ProcessDriver::with_hook(proxy, hook).map_err(|error| StartError::Processes(error.to_string()))?;
    start_with(data, listen, Arc::new(process)).await
}

/// As [`start`], with another driver in the place of the process driver.
pub(crate) async fn start_with(data: &Path, listen: SocketAddr, process: Arc<dyn Driver>) -> Result<Running, StartError> {
    let dir = DataDir::open(data)?;
    let data = dir.path().canonicalize().unwrap_or_else(|_| dir.path().to_owned());
    let signer = Arc::new(Signer::open(&dir.keys()).map_err(|source| StartError::Key { keys: dir.keys(), source })?);
    // kept across restarts, so that addresses of streams given out before stay good
    let streams = kept(&dir.keys().join("streams")).map_err(|source| StartError::Key { keys: dir.keys(), source })?;
    let listener = TcpListener::bind(listen).await.map_err(|source| StartError::Listen { address: listen, source })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen { address: listen, source })?;

    // exposure first: what was last decided is served while the ledger is folded
    let feeds = Arc::new(Feeds::default());
    let snapshots = dir.snapshots();
    for (environment, signed) in snapshots.load()? {
        match signer.open_snapshot(&signed) {
            Some(model) => feeds.publish(&environment, Arc::new(Snapshot::compile(&model).0)),
            None => tracing::warn!(env.name = %environment, "the snapshot on disk is not signed by this server; it is not served"),
        }
    }

    let ledger = dir.ledger()?;
    let reader = ledger.reader();
    let state = tokio::task::block_in_place(|| checkpoint::load(&dir.checkpoints(), &reader))?;
    tracing::info!(seq = state.seq, "the ledger is folded");
    let first_token = state.persons.is_empty().then(secret::mint_first);
    let directory = Directory::open(reader.clone(), &state);
    let (commands, queue) = mpsc::channel(QUEUE);
    let (head_sender, head) = watch::channel(ledger.head().seq);
    let (changes, changed) = mpsc::unbounded_channel();
    let engine = Arc::new(Engine {
        state: ArcSwap::from_pointee(state),
        directory,
        access: Access::new()?,
        reader,
        blobs: dir.blobs()?,
        data: data.clone(),
        seen: ArcSwap::from_pointee(HashMap::new()),
        counters: Counters::default(),
        commands,
        head,
    });

    let presence = Arc::new(Presence::default());
    let publisher = Publisher { engine: Arc::clone(&engine), feeds: Arc::clone(&feeds), presence: Arc::clone(&presence), snapshots, signer: Arc::clone(&signer), changes: changed };
    publisher.publish_all();
    let writer = Writer::new(Arc::clone(&engine), ledger, queue, head_sender, changes);
    let runtime = tokio::runtime::Handle::current();
    let writer = std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run(&runtime)).map_err(|source| StartError::Listen { address, source })?;

    let drivers: HashMap<DriverKind, Arc<dyn Driver>> =
        HashMap::from([(DriverKind::Process, process), (DriverKind::Command, Arc::new(CommandDriver::new(data.join("run/commands"))) as Arc<dyn Driver>)]);
    let driven = Arc::new(Fleet { engine: Arc::clone(&engine), drivers, control: format!("http://{address}") });
    let reactors = vec![tokio::spawn(rollouts::run(Arc::clone(&driven))), tokio::spawn(fleet::run(driven)), tokio::spawn(checkpoints(dir.checkpoints(), Arc::clone(&engine)))];
    let api = Arc::new(Api {
        engine: Arc::clone(&engine),
        feeds: Arc::clone(&feeds),
        signer,
        first: Mutex::new(first_token.as_ref().map(|t| (secret::hash(t), now() + FIRST))),
        ready: AtomicBool::new(true),
    });
    let plane = DataPlane::new(feeds, presence, Arc::new(TokenGate(Arc::clone(&engine))), streams);
    let (stop, mut stopped) = watch::channel(false);
    let app = router(Arc::clone(&api), plane);
    let http = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await
    });
    Ok(Running { address, first_token, stop, http, reactors, publisher: tokio::spawn(publisher.run()), writer, api })
}

/// Writes a checkpoint whenever the ledger has grown enough.
async fn checkpoints(checkpoints: greenroom_ledger::Checkpoints, engine: Arc<Engine>) {
    let mut head = engine.head();
    let mut last = engine.state.load().seq;
    while let Ok(seq) = head.wait_for(|seq| *seq >= last + checkpoint::EVERY).await.map(|seq| *seq) {
        last = seq;
        let (checkpoints, engine) = (checkpoints.clone(), Arc::clone(&engine));
        let saved = tokio::task::spawn_blocking(move || checkpoint::save(&checkpoints, &engine.reader, &engine.state.load())).await;
        match saved {
            Ok(Ok(())) => tracing::info!(seq, "wrote a checkpoint"),
            Ok(Err(error)) => tracing::warn!(%error, "no checkpoint could be written"),
            Err(error) => tracing::warn!(%error, "no checkpoint could be written"),
        }
    }
}

impl Running {
    /// Stops: no new requests, what was accepted is answered, the ledger is folded in. What runs on targets runs on.
    pub async fn stop(self) {
        let Self { stop, http, reactors, publisher, writer, api, .. } = self;
        api.ready.store(false, Ordering::Release);
        let _ = stop.send(true);
        // clients of open streams are told to come back
        api.feeds.close();
        for reactor in reactors {
            reactor.abort();
            let _ = reactor.await;
        }
        // open streams would keep it for ever
        let _ = tokio::time::timeout(Duration::from_millis(500), http).await;
        publisher.abort();
        let _ = publisher.await;
        drop(api);
        let joined = tokio::task::spawn_blocking(move || writer.join());
        let _ = tokio::time::timeout(Duration::from_secs(2), joined).await;
    }
}
