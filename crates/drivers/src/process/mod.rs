//! The process driver: services as detached processes of this machine, each behind a stable address that the detached
//! proxy holds. Everything it knows stands in the target's directory and in the process table; it may be killed between
//! any two steps and goes on from there.

mod artifact;
mod drive;
mod facts;
mod job;
mod observe;
mod port;
mod record;
mod step;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenroom_domain::id::OperationId;

pub use artifact::ArtifactError;

use self::drive::{Shared, Turn, Work};
use self::job::Job;
use self::watch::Watch;
use crate::program::Children;
use crate::proxy::{self, ProxyError};
use crate::{BoxFuture, Desired, Diff, Driver, DriverError, Hook, NoContact, Recipe, Seen, Where, no_hook};

pub(crate) use job::mark;
pub(crate) use watch::root_cause;

/// How often the process table is looked at while an operation is under way.
const TICK: Duration = Duration::from_millis(20);

/// Drives processes on this machine.
#[derive(Clone)]
pub struct ProcessDriver {
    /// Program that is the proxy when called as `EXE proxy --routes FILE`.
    proxy: PathBuf,
    shared: Arc<Shared>,
    client: reqwest::Client,
}

impl ProcessDriver {
    /// `proxy` is the program to hold stable addresses, called as `PROXY proxy --routes FILE`.
    pub fn new(proxy: impl Into<PathBuf>) -> Result<Self, NoContact> {
        let shared = Shared { hook: no_hook(), children: Children::default() };
        let client = watch::client().map_err(|e| NoContact::new(format_args!("no HTTP client for probes: {e}")))?;
        Ok(Self { proxy: proxy.into(), shared: Arc::new(shared), client })
    }

    /// As [`ProcessDriver::new`]; `hook` is called at `after_start`, `before_switch`, `after_switch` and
    /// `before_stop_old`.
    pub fn with_hook(proxy: impl Into<PathBuf>, hook: Hook) -> Result<Self, NoContact> {
        let mut driver = Self::new(proxy)?;
        driver.shared = Arc::new(Shared { hook, children: Children::default() });
        Ok(driver)
    }

    async fn run(&self, work: Work) -> Result<(), DriverError> {
        let work = Arc::new(work);
        let artifacts = Arc::new(self.enter(&work).await?);
        let mut watch = Watch::new(self.client.clone(), work.job.recipe.ready.clone());
        loop {
            let (w, a, probed) = (Arc::clone(&work), Arc::clone(&artifacts), watch.probed());
            match self.blocking(move |shared| shared.step(&w, &a, &probed)).await? {
                Turn::Rest => return self.end(&work).await,
                Turn::Again => {}
                Turn::Pause => tokio::time::sleep(TICK).await,
                Turn::Probe { process, listen } => {
                    watch.look(process, listen).await;
                    tokio::time::sleep(TICK).await;
                }
                Turn::Switch { stable, listen } => {
                    let w = Arc::clone(&work);
                    match self.switch(&work.job, stable, listen).await {
                        Ok(()) => self.blocking(move |shared| shared.switched(&w)).await?,
                        Err(DriverError::Proxy(e @ ProxyError::Bind { .. })) => {
                            let why = e.to_string();
                            self.blocking(move |shared| shared.not_switched(&w, why)).await?;
                            if self.lives_on(&work).await? {
                                return Err(e.into());
                            }
                        }
                        Err(e) => return Err(e),
                    }
                    // What it did before nobody asked it anything proves little.
                    watch.start_over();
                }
                Turn::Restore { keeper } => {
                    self.restore(&work, keeper.as_deref()).await?;
                    let w = Arc::clone(&work);
                    self.blocking(move |shared| shared.restored(&w, keeper.as_deref())).await?;
                }
            }
        }
    }

    /// Refuses what is overtaken, makes its artifacts ready, and only then lets it in.
    async fn enter(&self, work: &Arc<Work>) -> Result<BTreeMap<greenroom_domain::id::Name, PathBuf>, DriverError> {
        let w = Arc::clone(work);
        self.blocking(move |shared| {
            let Some(desired) = &w.desired else { return Ok(BTreeMap::new()) };
            shared.may_enter(desired, &w.job)?;
            let mut placed = BTreeMap::new();
            for (component, artifact) in desired.artifacts.iter() {
                placed.insert(component.clone(), artifact::place(&w.job.artifacts(), component, artifact)?);
            }
            let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            job::command_of(desired, &w.job.recipe, &placed, anywhere)?;
            shared.claim(&w)?;
            Ok(placed)
        })
        .await
    }

    async fn switch(&self, job: &Job, stable: Option<std::net::SocketAddr>, listen: std::net::SocketAddr) -> Result<(), DriverError> {
        let Some(stable) = stable else { return Ok(()) };
        proxy::ensure(&self.proxy, &job.address).await?;
        let dir = job.address.clone();
        let revision = self.blocking(move |_| Ok(proxy::edit_routes(&dir, |routes| routes.insert(stable, listen))?)).await?;
        Ok(proxy::wait_for(&job.address, revision, Some(stable)).await?)
    }

    async fn restore(&self, work: &Arc<Work>, keeper: Option<&record::Record>) -> Result<(), DriverError> {
        let (dir, stable) = (work.job.address.clone(), work.job.stable);
        let back = keeper.and_then(|k| k.stable.map(|stable| (stable, k.listen)));
        let revision = self
            .blocking(move |_| {
                Ok(proxy::edit_routes(&dir, |routes| {
                    if let Some(stable) = stable {
                        routes.remove(&stable);
                    }
                    if let Some((stable, listen)) = back {
                        routes.insert(stable, listen);
                    }
                })?)
            })
            .await?;
        // A proxy that is not there leads nobody to what is about to be stopped.
        match proxy::wait_for(&work.job.address, revision, back.map(|(stable, _)| stable)).await {
            Ok(()) | Err(ProxyError::Silent { .. } | ProxyError::Bind { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// An operation that was live once is not taken back, so that a failure must be told to the caller.
    async fn lives_on(&self, work: &Arc<Work>) -> Result<bool, DriverError> {
        let w = Arc::clone(work);
        self.blocking(move |_| Ok(w.job.book.read()?.is_some_and(|p| p.records.get(&w.job.op).is_some_and(|r| r.lived)))).await
    }

    /// Drops the addresses that the service no longer has, makes sure of the proxy, and kills what a taken-back process
    /// left behind.
    async fn end(&self, work: &Arc<Work>) -> Result<(), DriverError> {
        let w = Arc::clone(work);
        let serves = self.blocking(move |shared| shared.tidy(&w)).await?;
        if serves && work.job.stable.is_some() {
            proxy::ensure(&self.proxy, &work.job.address).await?;
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(&self, step: impl FnOnce(&Shared) -> Result<T, DriverError> + Send + 'static) -> Result<T, DriverError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || step(&shared)).await.map_err(|_| DriverError::Interrupted)?
    }
}

impl Driver for ProcessDriver {
    fn plan<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<Diff, NoContact>> {
        Box::pin(observe::plan(self, desired))
    }

    fn apply<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move { self.run(Work { job: Job::of(desired)?, desired: Some(desired.clone()) }).await })
    }

    fn observe<'a>(&'a self, place: &'a Where) -> BoxFuture<'a, Result<Seen, NoContact>> {
        Box::pin(observe::observe(self, place))
    }

    fn cancel<'a>(&'a self, place: &'a Where, op: OperationId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let job = Job::at(place, op)?;
            let book = job.book.clone();
            self.blocking(move |_| Ok(book.mark_cancelled(op)?)).await?;
            self.run(Work { job, desired: None }).await
        })
    }
}

/// The recipe of a process, where there is one.
fn recipe_of(recipe: &Recipe) -> Option<&greenroom_domain::deployment::service::ProcessRecipe> {
    match recipe {
        Recipe::Process(recipe) => Some(recipe),
        Recipe::Command(_) => None,
    }
}

/// Where the log of an operation stands, for people.
#[must_use]
pub fn log_of(address: &Path, service: &greenroom_domain::id::Name, op: OperationId) -> PathBuf {
    record::Book::new(address, service).log_of(op)
}
