//! Features: looking, and the switches that are no release.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_api::views;
use greenroom_domain::id::{FeatureKey, Name};

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, cell};
use crate::show::{list, word};

#[derive(Debug, clap::Subcommand)]
pub enum Feature {
    /// List features and how they stand
    List,
    /// Show one feature
    Show {
        /// Its key
        key: FeatureKey,
    },
    /// Take a feature from everyone in an environment, at once; needs --reason
    Kill {
        /// Its key
        key: FeatureKey,
        /// Environment
        #[arg(long, value_name = "ENV")]
        env: Name,
    },
    /// Lift a kill; the decisions of the releases it silenced must stand
    Restore {
        /// Its key
        key: FeatureKey,
        /// Environment
        #[arg(long, value_name = "ENV")]
        env: Name,
    },
    /// Set what everyone gets in an environment that is not production
    Baseline {
        /// Its key
        key: FeatureKey,
        /// Variant to serve
        variant: Name,
        /// Environment
        #[arg(long, value_name = "ENV")]
        env: Name,
    },
}

impl Feature {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => {
                context
                    .list(call::features(), None, |page, items: &[views::Feature]| {
                        let rows = items.iter().map(|f| {
                            let stands = list(f.environments.iter().map(|e| format!("{}: {}", e.environment, short(e))));
                            vec![cell(&f.key).paint(Paint::Strong), cell(f.spec.r#type), cell(list(f.spec.variants.keys())), cell(stands)]
                        });
                        page.table(&["FEATURE", "TYPE", "VARIANTS", "SERVES"], rows.collect(), "no features");
                    })
                    .await
            }
            Self::Show { key } => context.show(call::feature(&key), show).await,
            Self::Kill { key, env } => {
                let reason = context
                    .global
                    .reason
                    .clone()
                    .ok_or_else(|| Failure::usage("say why, with --reason").hint("it stands in the ledger, and in front of whoever wants to lift it"))?;
                context.act(call::kill_feature(&key, &requests::KillFeature { environment: env, reason }), show).await
            }
            Self::Restore { key, env } => context.act(call::restore_feature(&key, &requests::RestoreFeature { environment: env }), show).await,
            Self::Baseline { key, variant, env } => context.act(call::set_baseline(&key, &requests::SetBaseline { environment: env, variant }), show).await,
        }
    }
}

fn short(inside: &views::FeatureIn) -> String {
    match (inside.killed, inside.serves.is_empty()) {
        (true, _) => "killed".to_owned(),
        (false, true) => inside.default.to_string(),
        (false, false) => format!("{} and {} more", inside.default, inside.serves.len()),
    }
}

fn show(page: &mut Page, feature: &views::Feature) {
    page.pieces(&[(Paint::Strong, feature.key.as_str()), (Paint::Plain, &feature.title.as_ref().map(|t| format!("  {t}")).unwrap_or_default())]);
    page.fields(&[
        ("type", word(&feature.spec.r#type)),
        ("variants", list(feature.spec.variants.iter().map(|(name, value)| format!("{name} = {value}")))),
        ("off", feature.spec.off.to_string()),
        ("owner", feature.spec.owner.clone().unwrap_or_default()),
    ]);
    page.blank();
    let rows = feature.environments.iter().map(|e| {
        let serves = if e.killed { cell("killed: off for everyone").paint(Paint::Bad) } else { cell(e.serves.join("\n")) };
        vec![cell(&e.environment), serves, cell(if e.killed { String::new() } else { e.default.to_string() })]
    });
    page.table(&["ENVIRONMENT", "SERVES", "EVERYONE ELSE"], rows.collect(), "no environments");
}
