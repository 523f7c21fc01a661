//! Release: making features available to chosen people for a reason. Knows nothing of deployments.

pub mod attribute;
pub mod cohort;
pub mod feature;
pub mod plan;
#[allow(clippy::module_inception, reason = "the noun the plane is named for")]
pub mod release;
