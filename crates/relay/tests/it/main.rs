//! Relays between a control plane's data plane and applications, over real connections.

mod break_glass;
mod chain;
mod front;
mod host;
#[path = "../../../sdk/tests/it/lossy.rs"]
mod lossy;
mod protocols;
mod tls;
mod upward;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenroom_follow::{Pace, State, unix_now};
use greenroom_relay::{Clock, Options, Running};
use greenroom_sdk::Greenroom;
use greenroom_sdk::exposure::Pairs;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::host::key;

/// Longer than anything takes that goes well.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const fn quick() -> Pace {
    let (first, most, silence) = (Duration::from_millis(10), Duration::from_millis(50), Duration::from_secs(30));
    Pace { first, most, silence, report: Duration::from_millis(50), patience: Duration::from_secs(10) }
}

pub const ANYONE: Pairs<'_> = Pairs { targeting_key: None, attributes: &[] };

/// A relay in a runtime of its own, so that all its connections end with it.
pub struct Relay {
    pub running: Option<Running>,
    runtime: Option<Runtime>,
    pub url: String,
}

/// An address that nobody listens on.
pub fn free() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Relay {
    pub async fn start(name: &str, upstream: &str, data: &Path) -> Self {
        Self::start_at(&free(), name, upstream, data, Arc::new(unix_now)).await
    }

    pub async fn start_at(address: &str, name: &str, upstream: &str, data: &Path, clock: Clock) -> Self {
        Self::start_with(address, name, upstream, data, clock, |_| ()).await
    }

    pub async fn start_with(address: &str, name: &str, upstream: &str, data: &Path, clock: Clock, more: impl FnOnce(&mut Options)) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut options = Options::new(upstream, vec!["gr_relay_1".to_owned()], key().parse().unwrap(), data, address.parse().unwrap());
        (options.name, options.pace, options.tickets, options.clock) = (Some(name.to_owned()), quick(), Duration::from_millis(50), clock);
        options.limits.keep_alive = Duration::from_secs(1);
        more(&mut options);
        let running = runtime.spawn(greenroom_relay::start(options)).await.unwrap().unwrap();
        let url = format!("http://{}", running.address);
        Self { running: Some(running), runtime: Some(runtime), url }
    }

    pub fn state(&self) -> watch::Receiver<State> {
        self.running.as_ref().unwrap().states().remove(0)
    }

    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    pub fn instance(&self) -> &str {
        &self.running.as_ref().unwrap().instance
    }

    pub async fn at(&self, revision: u64) {
        self.until(|state| state.contact.is_live() && state.held.as_ref().is_some_and(|held| held.revision() == revision)).await;
    }

    pub async fn until(&self, wanted: impl FnMut(&State) -> bool) -> State {
        tokio::time::timeout(PATIENCE, self.state().wait_for(wanted)).await.expect("in time").unwrap().clone()
    }

    /// Stops it as an operator does.
    pub async fn stop(mut self) {
        let running = self.running.take().unwrap();
        self.runtime.as_ref().unwrap().spawn(running.stop()).await.unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        // on a thread that may wait for the address to be free again
        std::thread::spawn(move || runtime.map(|runtime| runtime.shutdown_timeout(Duration::from_secs(5)))).join().unwrap();
    }
}

/// A clock to be turned.
pub fn clock() -> (Arc<AtomicU64>, Clock) {
    let time = Arc::new(AtomicU64::new(unix_now()));
    let turned = Arc::clone(&time);
    (time, Arc::new(move || turned.load(Ordering::Relaxed)))
}

pub fn options(url: &str, instance: &str) -> greenroom_sdk::Options {
    greenroom_sdk::Options::new(url, "gr_sdk_1", key()).build("shop-web", "1.2.0").instance(instance).pace(quick())
}

pub async fn application(url: &str, instance: &str) -> Greenroom {
    Greenroom::connect(options(url, instance)).await.unwrap()
}

pub async fn at(greenroom: &Greenroom, revision: u64) {
    let live = |state: &State| state.contact.is_live() && state.held.as_ref().is_some_and(|held| held.revision() == revision);
    tokio::time::timeout(PATIENCE, greenroom.state().wait_for(live)).await.expect("in time").unwrap();
}

/// What OFREP answers about `plain`: the whole body.
pub async fn ofrep(url: &str) -> serde_json::Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{url}/ofrep/v1/evaluate/flags/plain")).bearer_auth("gr_sdk_1").body(r#"{"context":{"targetingKey":"ann"}}"#);
    let body = request.send().await.unwrap().text().await.unwrap();
    // one who is not let in is told nothing
    serde_json::from_str(&body).unwrap_or_default()
}

/// Waits for something that nobody announces.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: polls another task until a deadline
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("in time")
}
