//! Go or no-go.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::id::Name;
use greenroom_domain::role::Role;
use greenroom_domain::time::Span;

use super::deployment_id;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, instant};

#[derive(Debug, clap::Subcommand)]
pub enum Decide {
    /// Decide on a release
    Release {
        /// Name of the release
        name: Name,
        #[command(flatten)]
        decision: Decision,
    },
    /// Decide on a deployment
    Deployment {
        /// Number or id of the deployment
        #[arg(value_parser = deployment_id)]
        deployment: String,
        #[command(flatten)]
        decision: Decision,
    },
}

#[derive(Debug, clap::Args)]
pub struct Decision {
    /// go or no-go
    #[arg(value_parser = verdict)]
    verdict: Verdict,
    /// Role to decide in
    #[arg(long = "as", value_name = "ROLE")]
    role: Role,
    /// Why [default: --reason]
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The decision counts for this long
    #[arg(long, value_name = "TIME")]
    valid_for: Option<Span>,
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "go" => Ok(Verdict::Go),
        "no-go" => Ok(Verdict::NoGo),
        _ => Err("it is either go or no-go".to_owned()),
    }
}

impl Decide {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let (about, what, decision) = match self {
            Self::Release { name, decision } => (About::Release(name.clone()), format!("release {name}"), decision),
            Self::Deployment { deployment, decision } => {
                let found = context.client.send(&call::deployment(&deployment)).await?;
                (About::Deployment(found.id), format!("deployment #{}", found.number), decision)
            }
        };
        let body = requests::Decide {
            about,
            role: decision.role,
            verdict: decision.verdict,
            note: decision.note.or_else(|| context.global.reason.clone()),
            valid_for: decision.valid_for,
        };
        context
            .act(call::decide(&body), |page, made| {
                page.line(Paint::Plain, format!("{} on {what} as {}, valid until {}", made.verdict, made.role, instant(made.expires)));
                if let Some(why) = &made.uncounted {
                    page.line(Paint::Warn, format!("recorded, and it does not count: {why}"));
                }
                if !made.separation {
                    page.line(Paint::Dim, "separation of duties is off: the decision says so");
                }
            })
            .await
    }
}
