//! Builds become the running ones in an environment.

use greenroom_api::client::{Call, call};
use greenroom_api::requests;
use greenroom_api::views::Deployment;
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::id::{BuildLabel, Name};

use super::word;
use crate::context::Context;
use crate::error::Failure;
use crate::show;
use crate::wait::{self, Standing};

#[derive(Debug, clap::Args)]
pub struct Deploy {
    /// Builds, each as SERVICE@VERSION; several go together
    #[arg(required = true, value_name = "BUILD")]
    builds: Vec<BuildLabel>,
    /// Environment to deploy to
    #[arg(long, visible_alias = "env", value_name = "ENV")]
    to: Name,
    /// Why: promote, hotfix, redeploy or reconfigure
    #[arg(long, default_value = "promote", value_parser = word::<Motive>)]
    motive: Motive,
}

impl Deploy {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let body = requests::Deploy { environment: self.to, builds: self.builds, motive: self.motive, note: context.global.reason.clone() };
        ordered(context, call::deploy(&body)).await
    }
}

/// Asks for a deployment, shows it, and with `--wait` stays until it is live.
pub async fn ordered(context: &Context, call: Call<Deployment>) -> Result<(), Failure> {
    let Some(deployment) = context.order(call).await? else { return Ok(()) };
    let id = deployment.id.to_string();
    wait::shown(context, &call::deployment(&id), deployment, standing, show::deployment).await
}

fn standing(deployment: &Deployment) -> Standing {
    let open: Vec<_> = deployment.rollouts.iter().filter(|r| !matches!(r.state.as_str(), "live" | "failed" | "rolled_back" | "superseded" | "cancelled")).collect();
    let bad = deployment.rollouts.iter().any(|r| matches!(r.state.as_str(), "failed" | "rolled_back"));
    // what still waits while another part failed may wait for ever
    if open.is_empty() || (bad && open.iter().all(|r| r.state == "waiting")) {
        if deployment.state == "live" {
            return Standing::Done;
        }
        return Standing::Failed(format!("deployment #{} is {}", deployment.number, deployment.state.replace('_', " ")), Vec::new());
    }
    let lines: Vec<String> = open.iter().map(|r| show::rollout_line(r)).collect();
    Standing::Going(lines.join("; "))
}
