//! The JSON Schema of manifests.

use crate::error::Failure;
use crate::output;

#[expect(clippy::unnecessary_wraps, reason = "a command like the others")]
pub fn run() -> Result<(), Failure> {
    output::json(&greenroom_api::manifest::schema());
    Ok(())
}
