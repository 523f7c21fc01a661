//! The data plane's wire: follow snapshots, answer evaluators, and know which of them have heard the latest.
//!
//! Whoever decides (a server) or follows (a relay) publishes snapshots into [`Feeds`]; requests read them without
//! waiting for anyone. This crate knows nothing of what a revision means to the control plane, holds no history, and
//! never sends a value on an event stream.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod events;
mod feeds;
#[cfg(feature = "flagd")]
pub mod flagd;
mod follow;
mod gate;
mod lanes;
mod listen;
mod ofrep;
mod once;
mod outflow;
mod presence;
mod source;
mod unleash;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

pub use feeds::{Feeds, Head, Origin, Published};
pub use follow::{Chain, Sign};
pub use gate::{Denied, Gate, Scope};
pub use listen::{listen, serve, serve_readers};
pub use presence::{Acknowledged, Census, Connection, Presence};
pub use usage::{Counted, Usage};

/// What the routes of the data plane share.
#[derive(Clone)]
pub struct DataPlane {
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) signer: Option<Arc<dyn Sign>>,
    pub(crate) chain: Chain,
    pub(crate) secret: Arc<[u8; 32]>,
    pub(crate) limits: Limits,
}

/// Bounds that a deployment may want to move.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body.
    pub body: usize,
    /// How long a request waits for a revision that its caller has heard of and we have not.
    pub catch_up: Duration,
    /// Between two comments on a quiet event stream.
    pub keep_alive: Duration,
    /// How long the address of an event stream can be used to connect, at least; twice that at most.
    pub stream_token: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 256 * 1024, catch_up: Duration::from_secs(2), keep_alive: Duration::from_secs(15), stream_token: Duration::from_secs(3_600) }
    }
}

impl DataPlane {
    /// `secret` signs the addresses of event streams. Replicas that share one, and a restart that keeps it, honour each
    /// other's addresses.
    #[must_use]
    pub fn new(feeds: Arc<Feeds>, presence: Arc<Presence>, gate: Arc<dyn Gate>, secret: [u8; 32]) -> Self {
        Self { feeds, presence, usage: Arc::default(), gate, signer: None, chain: Chain::default(), secret: Arc::new(secret), limits: Limits::default() }
    }

    /// Where counts of evaluations are gathered; whoever runs the data plane takes them from there.
    #[must_use]
    pub fn with_usage(mut self, usage: Arc<Usage>) -> Self {
        self.usage = usage;
        self
    }

    /// Lets evaluators follow: what they are sent is signed by `signer`.
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn Sign>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Makes it a relay's: followers are given what others have signed ([`Feeds::relay`]), and through whom it came.
    #[must_use]
    pub fn with_chain(mut self, chain: Chain) -> Self {
        self.chain = chain;
        self
    }

    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// OFREP: `POST /ofrep/v1/evaluate/flags[/{key}]` and the event stream that a bulk answer names. For Unleash SDKs
/// `/api/client/…`, and `/api/frontend/…` for those that ask. With a signer, or for a relay, also what followers need:
/// `GET /api/v1/snapshot`, `GET /api/v1/snapshot/stream`, `POST /api/v1/evaluators` and, for relays, `GET /api/v1/relay/tokens`.
pub fn router(plane: DataPlane) -> Router {
    let routes = ofrep::router(plane.clone()).merge(unleash::router(plane.clone()));
    if plane.signer.is_some() || plane.chain.is_relay() { routes.merge(follow::router(plane)) } else { routes }
}
