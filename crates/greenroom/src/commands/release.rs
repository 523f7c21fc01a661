//! Releases: planned, started, taken back.

mod show;

use std::path::PathBuf;

use greenroom_api::client::{Call, call};
use greenroom_api::manifest;
use greenroom_api::requests::{OnRelease, PlanRelease};
use greenroom_api::views;
use greenroom_domain::id::Name;

use super::apply::read;
use super::some;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, cell};
use crate::show::{list, state_cell};
use crate::wait::{self, Standing};

#[derive(Debug, clap::Subcommand)]
pub enum Release {
    /// Plan a release from a manifest, or change its plan: an edit voids decisions
    Plan {
        /// Manifest of kind Release
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
    },
    /// List releases
    List,
    /// Show one release: contents, needs, readiness, stages, decisions
    Show {
        /// Its name
        name: Name,
    },
    /// Start a release, or its next stage
    Start {
        #[command(flatten)]
        action: Action,
        /// The stage that shall begin, counted from 1: refused unless it is the next
        #[arg(long, value_name = "N", value_parser = some::<u32>)]
        stage: Option<u32>,
    },
    /// Stop growing; who is served stays served
    Pause(Action),
    /// Go on growing, or serve again
    Resume(Action),
    /// Take everything back from users, in seconds
    Withdraw {
        #[command(flatten)]
        action: Action,
        /// Take back what is not `clean` too: the preview was looked at
        #[arg(long)]
        confirm: bool,
    },
    /// Make a release that everyone has the baseline
    Close(Action),
    /// Give up a release that has not started
    Cancel(Action),
}

#[derive(Debug, clap::Args)]
pub struct Action {
    /// Name of the release
    name: Name,
    /// Only in this environment
    #[arg(long, value_name = "ENV")]
    env: Option<Name>,
}

impl Release {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let (mut confirmed, mut wanted) = (false, None);
        let (act, action): (Act, Action) = match self {
            Self::Plan { file } => {
                let (file, text) = (file.display().to_string(), read(&file)?);
                let (name, spec) = manifest::parse_release(&file, &text)?;
                let planned = context.act(call::plan_release(&name, &PlanRelease { spec }), show::planned).await;
                return planned.map_err(|failure| failure.located(|reason| manifest::locate_release(&file, &text, reason)));
            }
            Self::List => return all(context).await,
            Self::Show { name } => return context.show(call::release(&name), show::release).await,
            Self::Start { action, stage } => {
                wanted = stage;
                (call::start_release, action)
            }
            Self::Pause(action) => (call::pause_release, action),
            Self::Resume(action) => (call::resume_release, action),
            Self::Withdraw { action, confirm } => {
                confirmed = confirm;
                (call::withdraw_release, action)
            }
            Self::Close(action) => (call::close_release, action),
            Self::Cancel(action) => (call::cancel_release, action),
        };
        let body = OnRelease { environment: action.env.clone(), note: context.global.reason.clone(), confirm: confirmed, stage: wanted };
        let Some(release) = context.order(act(&action.name, &body)).await? else { return Ok(()) };
        wait::shown(context, &call::release(&action.name), release, |r| settled(r, action.env.as_ref()), show::brief).await
    }
}

type Act = fn(&Name, &OnRelease) -> Call<views::Release>;

/// Over in every environment that was asked for: nothing is on its way to users or away from them.
fn settled(release: &views::Release, environment: Option<&Name>) -> Standing {
    let moving = release
        .environments
        .iter()
        .filter(|e| environment.is_none_or(|only| e.environment == *only))
        .find(|e| e.state == "withdrawing" || (e.state == "exposing" && e.stage.is_none()));
    match moving {
        None => Standing::Done,
        Some(e) => Standing::Going(format!("{} in {}: {}", e.state, e.environment, e.headline)),
    }
}

async fn all(context: &Context) -> Result<(), Failure> {
    context
        .list(call::releases(), None, |page, items: &[views::Release]| {
            let rows = items.iter().map(|r| {
                let headline = r.environments.first().map(|e| e.headline.clone()).unwrap_or_default();
                let serves = list(r.environments.iter().filter_map(|e| e.serves.as_ref().map(|s| format!("{s} in {}", e.environment))));
                vec![cell(&r.name).paint(Paint::Strong), cell(r.spec.title.as_deref().unwrap_or_default()), state_cell(&r.state), cell(serves), cell(headline)]
            });
            page.table(&["RELEASE", "TITLE", "STATE", "SERVES", "READINESS"], rows.collect(), "no releases: plan one with `greenroom release plan -f FILE`");
        })
        .await
}
