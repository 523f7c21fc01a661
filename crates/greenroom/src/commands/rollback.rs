//! Back to an earlier build.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_domain::id::{Name, Version};

use super::deploy::ordered;
use crate::context::Context;
use crate::error::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "Refused when a release that serves users needs the newer build: --withdraw-first takes it from them first.")]
pub struct Rollback {
    /// Service to take back
    service: Name,
    /// Environment
    #[arg(long, value_name = "ENV")]
    env: Name,
    /// Version to go back to [default: the last one that was live and stable]
    #[arg(long, value_name = "VERSION")]
    to_version: Option<Version>,
    /// Withdraw the releases that need the newer build, then deploy
    #[arg(long)]
    withdraw_first: bool,
    /// On call: withdraw and deploy at once, past policies, decisions and holds
    #[arg(long)]
    emergency: bool,
}

impl Rollback {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let body = requests::Rollback {
            environment: self.env,
            service: self.service,
            to: self.to_version,
            withdraw_first: self.withdraw_first,
            emergency: self.emergency,
            note: context.global.reason.clone(),
        };
        ordered(context, call::rollback(&body)).await
    }
}
