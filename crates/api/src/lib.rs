//! The wire of the control plane: requests, views, problems and paths, written once for server, client and command line.

#[cfg(feature = "client")]
pub mod client;
pub mod manifest;
pub mod problem;
pub mod requests;
pub mod views;

pub use problem::Problem;

/// Header of every answer to a command: the ledger's seq after it.
pub const SEQ_HEADER: &str = "greenroom-seq";
/// Header of a read: wait until the answer includes this seq.
pub const AFTER_HEADER: &str = "greenroom-after";
/// Header that makes a command safe to repeat.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// Everything below this path is the control plane.
pub const PREFIX: &str = "/api/v1";
