//! The data plane's wire: follows snapshots, answers over OFREP and its event stream, and knows who has heard of what.
//!
//! Used by the server and by relays. It decides nothing: what a caller gets is the snapshot's answer.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod feeds;
mod gate;
mod ofrep;
mod presence;

use std::sync::Arc;

use axum::Router;

pub use feeds::Feeds;
pub use gate::{Denied, Gate, Scope};
pub use presence::{Acknowledged, Presence};

/// What the data plane's handlers share.
#[derive(Clone)]
pub struct DataPlane {
    feeds: Arc<Feeds>,
    presence: Arc<Presence>,
    gate: Arc<dyn Gate>,
    /// Signs stream tokens; new with every start, so that old streams are asked to begin anew.
    secret: [u8; 32],
}

impl DataPlane {
    #[must_use]
    pub fn new(feeds: Arc<Feeds>, presence: Arc<Presence>, gate: Arc<dyn Gate>, secret: [u8; 32]) -> Self {
        Self { feeds, presence, gate, secret }
    }
}

/// Every route of the data plane.
pub fn router(plane: DataPlane) -> Router {
    ofrep::routes().with_state(plane)
}
