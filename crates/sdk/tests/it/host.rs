//! A data plane on a port of its own, which can be stopped as a machine stops, and a tap on what its streams say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::StreamExt as _;
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Limits, Presence, Scope, Sign, Usage, router};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::snapshot;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub fn public_key() -> String {
    STANDARD.encode(key().verifying_key().as_bytes())
}

struct Key;

impl Sign for Key {
    fn sign(&self, snapshot: &[u8]) -> String {
        STANDARD.encode(key().sign(snapshot).to_bytes())
    }
}

struct Tokens;

impl Gate for Tokens {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        match presented {
            Some("sdk-one") => Ok(Scope { environment: "production".into(), id: "sdk-one".into(), follows: true }),
            _ => Err(Denied::Unauthenticated),
        }
    }
}

/// What streams have said, by the names of events, and whether the next delta is lost on the way.
#[derive(Default)]
pub struct Tap {
    pub events: Vec<String>,
    pub lose: bool,
}

#[derive(Clone, Default)]
pub struct Plane {
    pub feeds: Arc<Feeds>,
    pub presence: Arc<Presence>,
    pub usage: Arc<Usage>,
    pub tap: Arc<Mutex<Tap>>,
}

pub struct Host {
    pub plane: Plane,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Host {
    /// Serves revision 41.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), 41)
    }

    fn start_at(address: SocketAddr, revision: u64) -> Self {
        let plane = Plane::default();
        plane.publish(revision, true);
        // its own, so that all its connections end with it
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let limits = Limits { keep_alive: Duration::from_secs(1), ..Limits::default() };
        let data = DataPlane::new(Arc::clone(&plane.feeds), Arc::clone(&plane.presence), Arc::new(Tokens), [7; 32]).with_signer(Arc::new(Key)).with_usage(Arc::clone(&plane.usage));
        let tap = Arc::clone(&plane.tap);
        let routes = router(data.with_limits(limits)).layer(from_fn(move |request: Request, next: Next| tapped(Arc::clone(&tap), request, next)));
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(TcpListener::from_std(listener).unwrap(), routes).await.unwrap() });
        Self { plane, address, runtime: Some(runtime) }
    }

    /// Another process at the same address, which knows nothing of the one before.
    pub fn restart(mut self, revision: u64) -> Self {
        let address = self.address;
        self.stop();
        Self::start_at(address, revision)
    }

    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // on a thread that may wait for the address to be free again
            std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
        }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Plane {
    pub fn publish(&self, revision: u64, shown: bool) {
        self.feeds.publish("production", snapshot(revision, shown));
    }

    /// Names of the events so far.
    pub fn events(&self) -> Vec<String> {
        self.tap.lock().unwrap().events.clone()
    }
}

async fn tapped(tap: Arc<Mutex<Tap>>, request: Request, next: Next) -> Response {
    let stream = request.uri().path().ends_with("/stream");
    let response = next.run(request).await;
    if !stream {
        return response;
    }
    let (parts, body) = response.into_parts();
    // what is one chunk here is one or several whole events
    let events = body.into_data_stream().map(move |chunk| {
        chunk.map(|chunk| {
            let text = String::from_utf8(chunk.to_vec()).unwrap();
            let mut tap = tap.lock().unwrap();
            let names = text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
            let before = tap.events.len();
            tap.events.extend(names);
            let delta = tap.events.get(before).is_some_and(|name| name == "delta");
            if delta && std::mem::take(&mut tap.lose) { Bytes::from_static(b":\n\n") } else { chunk }
        })
    });
    Response::from_parts(parts, Body::from_stream(events))
}
