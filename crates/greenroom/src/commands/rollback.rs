//! Back to an earlier build. What is taken from users on the way is shown before it is done.

use std::collections::BTreeSet;

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_api::views::Preview;
use greenroom_domain::event::Event;
use greenroom_domain::id::{BuildLabel, Name, Version};
use greenroom_domain::refusal::Reason;

use super::deploy::ordered;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint};
use crate::prompt;
use crate::show::{list, waits};

#[derive(Debug, clap::Args)]
#[command(after_help = "Refused when a release that serves users needs the newer build: --withdraw-first takes it from them first.
Then it shows what it takes from whom and asks; --dry-run only shows, --yes does not ask.")]
pub struct Rollback {
    /// Service to take back
    service: Name,
    /// Environment
    #[arg(long, alias = "to", value_name = "ENV")]
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
        let (environment, emergency) = (self.env.clone(), self.emergency);
        let body = requests::Rollback {
            environment: self.env,
            service: self.service,
            to: self.to_version,
            withdraw_first: self.withdraw_first,
            emergency,
            note: context.global.reason.clone(),
        };
        let call = call::rollback(&body);
        // on call nobody is asked: speed comes first
        let asked = self.withdraw_first && !emergency && !context.global.yes;
        if !context.global.dry_run && !asked {
            return ordered(context, call).await;
        }
        let preview = context.client.preview(call.clone()).await?;
        let plan = Plan::read(context, &environment, &preview).await?;
        if context.global.dry_run || prompt::may_ask(&context.global) {
            context.present(&preview, |page, _| plan.show(page));
        }
        if context.global.dry_run {
            return Ok(());
        }
        let loses = if plan.taken.is_empty() { "it takes nothing from users".to_owned() } else { format!("it takes {} from users", list(plan.taken.iter().map(|t| &t.release))) };
        prompt::confirm(&loses, "take it from users and roll back?", &context.global)?;
        ordered(context, call).await
    }
}

/// What one operation would do, put together from the events it would write.
struct Plan {
    taken: Vec<Taken>,
    builds: Vec<BuildLabel>,
    environment: Name,
    waits: Vec<Reason>,
    holds: bool,
}

/// A release that is withdrawn on the way.
struct Taken {
    release: Name,
    serves: String,
    features: String,
    /// Its withdrawal has begun already.
    under_way: bool,
}

impl Plan {
    async fn read(context: &Context, environment: &Name, preview: &Preview) -> Result<Self, Failure> {
        let mut plan = Self { taken: Vec::new(), builds: Vec::new(), environment: environment.clone(), waits: waits(preview), holds: false };
        let (mut withdrawn, mut awaited) = (BTreeSet::new(), BTreeSet::new());
        for event in &preview.would {
            match Event::decode(&event.kind, event.version, event.body.to_string().as_bytes()) {
                Ok(Event::ReleaseWithdrawing(e)) => {
                    withdrawn.insert(e.name);
                }
                Ok(Event::DeploymentRequested(e)) => {
                    plan.builds.extend(e.items.into_iter().map(|i| BuildLabel { service: i.service, version: i.version }));
                    awaited.extend(e.awaits.into_iter().map(|a| a.release));
                }
                Ok(Event::HoldSet(_)) => plan.holds = true,
                // what a newer server would write beside it does not change what is said here
                Ok(_) | Err(_) => {}
            }
        }
        for release in withdrawn.union(&awaited) {
            let view = context.client.send(&call::release(release)).await?;
            let serves = view.environments.iter().find(|e| e.environment == *environment).and_then(|e| e.serves.clone());
            plan.taken.push(Taken {
                release: release.clone(),
                serves: serves.unwrap_or_else(|| "nobody".to_owned()),
                features: list(view.spec.features.iter().map(|f| &f.key)),
                under_way: !withdrawn.contains(release),
            });
        }
        Ok(plan)
    }

    fn show(&self, page: &mut Page) {
        if self.taken.is_empty() {
            page.line(Paint::Plain, "nothing is taken from users: no release that serves them needs the newer build");
        } else {
            page.line(Paint::Strong, "1. at once, and waiting for nobody, users lose");
        }
        for Taken { release, serves, features, under_way } in &self.taken {
            let features = if features.is_empty() { String::new() } else { format!("{features}, of ") };
            let how = if *under_way { ", whose withdrawal has begun".to_owned() } else { format!(", which serves {serves}") };
            page.pieces(&[(Paint::Plain, "   "), (Paint::Bad, "− "), (Paint::Plain, &format!("{features}release `{release}`{how}"))]);
        }
        let step = if self.taken.is_empty() { "1." } else { "2. then" };
        page.line(Paint::Strong, format!("{step} {} goes to {}{}", list(&self.builds), self.environment, if self.waits.is_empty() { ", at once" } else { ", when" }));
        page.reasons(3, &self.waits);
        if self.holds {
            page.line(Paint::Dim, "a hold then keeps automation from deploying what was rolled back; people may lift it");
        }
    }
}
