//! Rollouts whose outcome nobody knows.

use greenroom_api::client::call;
use greenroom_api::requests::Nothing;
use greenroom_domain::id::RolloutId;

use crate::context::Context;
use crate::error::Failure;
use crate::show;

#[derive(Debug, clap::Subcommand)]
pub enum Rollout {
    /// Give up on a rollout: it counts as failed, and the next one may begin
    Abandon {
        /// Id of the rollout, as `greenroom deployment show` says
        #[arg(value_parser = id)]
        rollout: RolloutId,
    },
}

fn id(text: &str) -> Result<RolloutId, String> {
    text.parse().map_err(|_| "that is not the whole id of a rollout: copy it from `greenroom deployment show`".to_owned())
}

impl Rollout {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Abandon { rollout } = self;
        context.act(call::abandon_rollout(rollout, &Nothing {}), show::deployment).await
    }
}
