//! The ledger itself.

use std::time::Duration;

use greenroom_api::client::call;
use greenroom_api::requests::Nothing;

use crate::context::Context;
use crate::error::Failure;
use crate::output::Paint;

/// Ten million events take a while.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Subcommand)]
pub enum Ledger {
    /// Check the whole chain: every event, in order, unchanged
    Verify,
}

impl Ledger {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Verify = self;
        context
            .show(call::verify_ledger(&Nothing {}).patience(PATIENCE), |page, seen| {
                page.pieces(&[
                    (Paint::Good, "✔ "),
                    (Paint::Plain, &format!("{} events, {} to {}, are as they were written ({} ms)", seen.events, seen.from, seen.to, seen.took_ms)),
                ]);
                page.fields(&[("head", seen.head.clone())]);
            })
            .await
    }
}
