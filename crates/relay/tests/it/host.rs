//! A control plane's data plane on a port of its own, which can be stopped as a machine stops.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Limits, Presence, Scope, Sign, Usage, router};
use greenroom_exposure::wire::follow::Ticket;
use greenroom_exposure::{Model, Snapshot};
use greenroom_follow::unix_now;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

struct Key;

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub fn key() -> String {
    STANDARD.encode(signer().verifying_key().as_bytes())
}

impl Sign for Key {
    fn sign(&self, snapshot: &[u8]) -> String {
        STANDARD.encode(signer().sign(snapshot).to_bytes())
    }
}

/// Secrets of those who may ask.
#[derive(Default)]
pub struct Tokens(pub Mutex<Vec<&'static str>>);

impl Gate for Tokens {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let known = presented.filter(|token| self.0.lock().unwrap().contains(token)).ok_or(Denied::Unauthenticated)?;
        Ok(Scope { environment: "production".into(), id: known.into(), follows: true })
    }

    fn relay(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        self.scope(presented).and_then(|scope| if scope.id.starts_with("gr_relay_") { Ok(scope) } else { Err(Denied::Forbidden) })
    }

    fn tickets(&self, _: &str) -> Vec<Ticket> {
        let hash = |secret: &str| Sha256::digest(secret.as_bytes()).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        let ticket = |secret: &&str| Ticket { sha256: hash(secret), id: (*secret).into(), expires: unix_now() + 1_000_000, web: false, relay: secret.starts_with("gr_relay_") };
        self.0.lock().unwrap().iter().map(ticket).collect()
    }
}

pub struct Host {
    pub feeds: Arc<Feeds>,
    pub presence: Arc<Presence>,
    pub usage: Arc<Usage>,
    pub tokens: Arc<Tokens>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Host {
    /// Serves revision 41.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), 41)
    }

    fn start_at(address: SocketAddr, revision: u64) -> Self {
        let (feeds, presence, usage) = (Arc::new(Feeds::default()), Arc::new(Presence::default()), Arc::new(Usage::default()));
        let tokens = Arc::new(Tokens(Mutex::new(vec!["gr_sdk_1", "gr_relay_1"])));
        let gate = Arc::clone(&tokens) as Arc<dyn Gate>;
        let limits = Limits { keep_alive: Duration::from_secs(1), ..Limits::default() };
        let plane = DataPlane::new(Arc::clone(&feeds), Arc::clone(&presence), gate, [7; 32]).with_signer(Arc::new(Key)).with_usage(Arc::clone(&usage));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(plane.with_limits(limits));
        runtime.spawn(async move { axum::serve(TcpListener::from_std(listener).unwrap(), routes).await.unwrap() });
        let host = Self { feeds, presence, usage, tokens, address, runtime: Some(runtime) };
        host.publish(revision, true);
        host
    }

    /// Another process at the same address, which knows nothing of the one before.
    pub fn restart(mut self, revision: u64) -> Self {
        self.stop();
        Self::start_at(self.address, revision)
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

    pub fn publish(&self, revision: u64, shown: bool) {
        let boolean = json!({"on": true, "off": false});
        let model: Model = serde_json::from_value(json!({
            "format": "greenroom/snapshot/1", "environment": "production", "revision": revision,
            "features": {
                "plain": {"type": "boolean", "variants": boolean, "off": "off", "default": if shown { "on" } else { "off" }},
                "other": {"type": "float", "variants": {"on": 0.1, "off": 0}, "off": "off", "default": "on"},
            },
        }))
        .unwrap();
        self.feeds.publish("production", Arc::new(Snapshot::compile(&model).0));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
