//! Everything that lives as long as the process: the one writer, the reactors, and the HTTP server.

mod backup;
pub mod config;
pub mod directory;
pub mod engine;
pub mod failpoint;
mod gate;
pub mod http;
mod keys;
mod metrics;
mod priority;
mod secret;
mod serve;
mod view;

pub use backup::{BackupError, backup};
pub use serve::{Doors, Running, StartError, start};
