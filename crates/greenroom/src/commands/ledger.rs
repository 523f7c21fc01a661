//! The ledger itself.

use std::path::PathBuf;
use std::time::Duration;

use greenroom_api::client::call;
use greenroom_api::requests::Nothing;

use super::serve::copy;
use crate::context::{Context, Global};
use crate::error::Failure;
use crate::output::{self, Page, Paint};
use crate::show::many;

/// Ten million events take a while.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Subcommand)]
pub enum Ledger {
    /// Check the whole chain: every event, in order, unchanged
    Verify,
    /// Copy a data directory, on its machine, while the server runs or not
    Backup(Backup),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Ledger, evidence, keys and greenroom.toml are copied; what else is in a data directory is made again, or belongs to what runs there.
To restore, stop the server and start it on the copy: see docs/backup.md.")]
pub struct Backup {
    /// Where the copy goes: a directory that is not there yet
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "GREENROOM_DATA", hide_env_values = true, default_value = "greenroom-data")]
    data: PathBuf,
}

impl Backup {
    /// Asks no server: what it would copy is here or nowhere.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let (seq, head) = copy(&self.data, &self.to)?;
        if global.json {
            output::json(&serde_json::json!({ "to": self.to, "seq": seq, "head": head }));
            return Ok(());
        }
        let mut page = Page::new(global.color);
        page.pieces(&[(Paint::Good, "✔ "), (Paint::Plain, &format!("copied to {}: {}", self.to.display(), many(seq, "event")))]);
        page.fields(&[("head", head)]);
        page.print();
        Ok(())
    }
}

impl Ledger {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Backup(backup) => backup.run(&context.global),
            Self::Verify => {
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
    }
}
