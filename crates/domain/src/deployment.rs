//! Deployment: moving immutable builds between environments on evidence. Knows nothing of releases.

pub mod build;
pub mod check;
#[allow(clippy::module_inception, reason = "the noun the plane is named for")]
pub mod deployment;
pub mod entry;
pub mod environment;
pub mod placeholder;
pub mod placement;
pub mod policy;
pub mod rollout;
pub mod service;
