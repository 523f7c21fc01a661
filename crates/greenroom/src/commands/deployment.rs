//! Deployments: looking, and stopping one.

use greenroom_api::client::call;
use greenroom_api::requests::Nothing;
use greenroom_api::views;
use greenroom_domain::id::Name;

use super::{deployment_id, some};
use crate::context::Context;
use crate::error::Failure;
use crate::output::{ago, cell};
use crate::show::{self, list, state_cell};
use crate::wait::{self, Standing};

#[derive(Debug, clap::Subcommand)]
pub enum Deployment {
    /// List deployments, newest first
    List {
        /// Only to this environment
        #[arg(long, alias = "to", value_name = "ENV")]
        env: Option<Name>,
        /// Only of this service
        #[arg(long, value_name = "SERVICE")]
        service: Option<Name>,
        /// Only those under way
        #[arg(long)]
        open: bool,
        /// How many
        #[arg(short, value_name = "N", default_value = "30", value_parser = some::<usize>)]
        n: usize,
    },
    /// Show one deployment
    Show {
        /// Number or id
        #[arg(value_parser = deployment_id)]
        deployment: String,
    },
    /// Stop a deployment; it is over when the targets have been seen
    Cancel {
        /// Number or id
        #[arg(value_parser = deployment_id)]
        deployment: String,
    },
}

impl Deployment {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { env, service, open, n } => {
                let call = call::deployments().maybe("environment", env).maybe("service", service).maybe("open", open.then_some(true));
                context
                    .list(call, Some(n), |page, items: &[views::Deployment]| {
                        let rows = items.iter().map(|d| {
                            vec![cell(format!("#{}", d.number)), cell(list(&d.builds)), cell(&d.environment), cell(d.motive), state_cell(&d.state), cell(&d.by), cell(ago(d.at))]
                        });
                        page.table(&["NUMBER", "BUILDS", "TO", "MOTIVE", "STATE", "BY", "WHEN"], rows.collect(), "no deployments");
                    })
                    .await
            }
            Self::Show { deployment } => context.show(call::deployment(&deployment), show::deployment).await,
            Self::Cancel { deployment } => {
                let Some(asked) = context.order(call::cancel_deployment(&deployment, &Nothing {})).await? else { return Ok(()) };
                let over = |d: &views::Deployment| match d.rollouts.iter().find(|r| matches!(r.state.as_str(), "waiting" | "applying" | "observing" | "verifying" | "unknown")) {
                    None => Standing::Done,
                    Some(open) => Standing::Going(show::rollout_line(open)),
                };
                let id = asked.id.to_string();
                wait::shown(context, &call::deployment(&id), asked, over, show::deployment).await
            }
        }
    }
}
