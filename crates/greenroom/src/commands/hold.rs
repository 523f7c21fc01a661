//! Holds: freezes, pins, stop-the-line.

use greenroom_api::client::call;
use greenroom_api::requests::{Nothing, SetHold};
use greenroom_api::views;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::time::{At, Span};

use super::{number, word};
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, cell, instant, now};
use crate::show;

#[derive(Debug, clap::Subcommand)]
pub enum Hold {
    /// Set a hold; needs --reason. Without a scope it stops everything
    Set {
        /// Only in this environment
        #[arg(long, value_name = "ENV")]
        env: Option<Name>,
        /// Only this service
        #[arg(long)]
        service: Option<Name>,
        /// Only this release
        #[arg(long)]
        release: Option<Name>,
        /// Only this feature
        #[arg(long)]
        feature: Option<FeatureKey>,
        /// What is stopped: deploy, release or both
        #[arg(long, default_value = "both", value_parser = word::<Plane>)]
        plane: Plane,
        /// Who is stopped: automation, people or both
        #[arg(long, default_value = "both", value_parser = word::<Stops>)]
        stops: Stops,
        /// When it ends by itself: an instant, or a length of time from now
        #[arg(long, value_name = "TIME", value_parser = moment)]
        expires: Option<At>,
    },
    /// List the holds that stand
    List,
    /// Lift a hold
    Lift {
        /// Its number
        #[arg(value_parser = number)]
        hold: u64,
    },
}

fn moment(text: &str) -> Result<At, String> {
    text.parse::<Span>().map(|span| now() + span).or_else(|_| text.parse::<At>()).map_err(|e| e.to_string())
}

impl Hold {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Set { env, service, release, feature, plane, stops, expires } => {
                let reason = context.global.reason.clone().ok_or_else(|| Failure::usage("say why, with --reason").hint("whoever is stopped reads it"))?;
                let scope = Scope { environment: env, service, release, feature };
                context
                    .act(call::set_hold(&SetHold { scope, plane, stops, reason, expires }), |page, hold| {
                        page.line(
                            Paint::Plain,
                            format!("hold #{} on {} stands{}", hold.number, show::scope(&hold.scope), hold.expires.map(|at| format!(" until {}", instant(at))).unwrap_or_default()),
                        );
                    })
                    .await
            }
            Self::List => {
                context
                    .list(call::holds(), None, |page, items: &[views::Hold]| {
                        let rows = items.iter().map(|h| {
                            let until = h.expires.map_or_else(|| "it is lifted".to_owned(), instant);
                            vec![
                                cell(format!("#{}", h.number)),
                                cell(show::scope(&h.scope)),
                                cell(show::word(&h.plane)),
                                cell(show::word(&h.stops)),
                                cell(&h.reason),
                                cell(&h.owner),
                                cell(until),
                            ]
                        });
                        page.table(&["HOLD", "ON", "PLANE", "STOPS", "WHY", "BY", "UNTIL"], rows.collect(), "nothing is held");
                    })
                    .await
            }
            Self::Lift { hold } => context.done(call::lift_hold(hold, &Nothing {}), format!("hold #{hold} is lifted")).await,
        }
    }
}
