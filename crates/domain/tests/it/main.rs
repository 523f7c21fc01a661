//! The rules of the house, told as stories and held to their laws.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod archive;
mod attributes;
mod audit;
mod baseline;
mod corpus;
mod dark;
mod decisions;
mod deploy;
mod import;
mod kills;
mod laws;
mod manifests;
mod release;
mod rollback;
mod take_off;
mod world;
