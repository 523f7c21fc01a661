//! Features: looking, and the switches that are no release.

use std::collections::BTreeMap;
use std::path::PathBuf;

use greenroom_api::client::call;
use greenroom_api::{manifest, requests, views};
use greenroom_domain::id::{FeatureKey, Name, VariantName};
use greenroom_domain::release::feature::BaselineRule;

use super::apply::read;
use super::some;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, cell, instant};
use crate::show::{list, word};
use crate::wait::{self, Standing};

#[derive(Debug, clap::Subcommand)]
pub enum Feature {
    /// List features and how they stand
    List,
    /// Show one feature
    Show {
        /// Its key
        key: FeatureKey,
    },
    /// Show how much features are evaluated, by which builds, and which nobody asks for any more
    Usage {
        /// Key of one feature [default: all]
        key: Option<FeatureKey>,
        /// Days to look back, today included
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = some::<u32>)]
        days: u32,
        /// Only those that nobody evaluated in these days
        #[arg(long, conflicts_with = "key")]
        stale: bool,
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
    /// Set what is served in an environment that is not production: rules, and the variant for everyone else
    #[command(
        after_help = "FILE is a list, in JSON or YAML, whose first matching rule decides:\n  - name: gold\n    when: [{ attribute: plan, op: in, values: [gold] }]\n    then: { variant: \"on\" }\n  - name: half of the rest\n    then: { split: { salt: s, weights: [[\"on\", 50], [\"off\", 50]] } }\nAn empty list takes the rules away. What closed releases left stays, and comes first."
    )]
    Baseline {
        /// Its key
        key: FeatureKey,
        /// Variant for whom no rule matches [default: as it is]
        #[arg(required_unless_present = "rules")]
        variant: Option<VariantName>,
        /// Environment
        #[arg(long, value_name = "ENV")]
        env: Name,
        /// Rules, instead of those that stand
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
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
            Self::Usage { key: Some(key), days, .. } => context.show(call::feature_usage(&key).query("days", days), used).await,
            Self::Usage { key: None, days, stale } => context.list(call::usage().query("days", days).query("stale", stale), None, all_used).await,
            Self::Kill { key, env } => {
                let reason = context
                    .global
                    .reason
                    .clone()
                    .ok_or_else(|| Failure::usage("say why, with --reason").hint("it stands in the ledger, and in front of whoever wants to lift it"))?;
                let body = requests::KillFeature { environment: env.clone(), reason };
                let Some(feature) = context.order(call::kill_feature(&key, &body)).await? else { return Ok(()) };
                wait::shown(context, &call::feature(&key), feature, |f| settled(f, &env), show).await
            }
            Self::Restore { key, env } => context.act(call::restore_feature(&key, &requests::RestoreFeature { environment: env }), show).await,
            Self::Baseline { key, variant, env, rules } => {
                let Some(file) = rules else { return context.act(call::set_baseline(&key, &requests::SetBaseline { environment: env, rules: None, variant }), show).await };
                let (name, text) = (file.display().to_string(), read(&file)?);
                // JSON is YAML too
                let rules: Vec<BaselineRule> =
                    manifest::parse_part(&name, &text).map_err(|problem| Failure::from(problem).hint("greenroom feature baseline --help shows a list of rules"))?;
                let set = context.act(call::set_baseline(&key, &requests::SetBaseline { environment: env, rules: Some(rules), variant }), show).await;
                set.map_err(|failure| failure.located(|reason| manifest::locate_part(&name, &text, "rules", reason)))
            }
        }
    }
}

fn short(inside: &views::FeatureIn) -> String {
    match (inside.kill.is_some(), inside.serves.is_empty()) {
        (true, _) => "killed".to_owned(),
        (false, true) => inside.default.to_string(),
        (false, false) => {
            let first = inside.serves.first().map_or("", String::as_str);
            let more = if inside.serves.len() > 1 { format!(" and {} more", inside.serves.len() - 1) } else { String::new() };
            // nobody else is left then
            let rest = if first.ends_with(" to everyone") { String::new() } else { format!(", else {}", inside.default) };
            format!("{first}{more}{rest}")
        }
    }
}

fn show(page: &mut Page, feature: &views::Feature) {
    page.pieces(&[(Paint::Strong, feature.key.as_str()), (Paint::Plain, &feature.title.as_ref().map(|t| format!("  {t}")).unwrap_or_default())]);
    page.fields(&[
        ("type", word(&feature.spec.r#type)),
        ("variants", list(feature.spec.variants.iter().map(|(name, value)| format!("{name} = {value}")))),
        ("off", feature.spec.off.to_string()),
        ("needs", list(feature.spec.prerequisites.iter().map(|(key, variants)| format!("{key} = {}", variants.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(" or "))))),
        ("owner", feature.spec.owner.clone().unwrap_or_default()),
    ]);
    page.blank();
    let rows = feature.environments.iter().map(|e| {
        let forced = e.forced_off.iter().map(|f| format!("off at relay {} until {}: {}", f.relay, instant(f.until), f.reason));
        let serves: Vec<String> = e.serves.iter().cloned().chain(forced).collect();
        match &e.kill {
            Some(kill) => vec![cell(&e.environment), cell(killed(kill)).paint(Paint::Bad), cell("")],
            None => vec![cell(&e.environment), cell(serves.join("\n")), cell(&e.default)],
        }
    });
    page.table(&["ENVIRONMENT", "SERVES", "EVERYONE ELSE"], rows.collect(), "no environments");
    protocols(page, feature);
}

/// By whom, since when, why, and who has taken it up.
fn killed(kill: &views::Kill) -> String {
    let mut lines = vec!["killed: off for everyone".to_owned(), format!("by {} at {}: {}", kill.by, instant(kill.at), kill.reason)];
    lines.extend(kill.withdrawal.as_ref().map(taken_up));
    lines.join("\n")
}

fn taken_up(w: &views::Withdrawal) -> String {
    let counted = match w.in_contact {
        0 => "no evaluator in contact".to_owned(),
        n => format!("{} of {n} evaluators acknowledged", w.acknowledged),
    };
    let laggards = if w.laggards.is_empty() { String::new() } else { format!("; not yet: {}", list(&w.laggards)) };
    match w.effective {
        Some(at) => format!("effective at {}: {counted}", instant(at)),
        None if w.state == "partial" => format!("partial, still open: {counted}{laggards}"),
        None => format!("withdrawing until {}: {counted}{laggards}", instant(w.deadline)),
    }
}

/// Whether whoever evaluates has taken a kill up.
fn settled(feature: &views::Feature, environment: &Name) -> Standing {
    let kill = feature.environments.iter().filter(|e| e.environment == *environment).find_map(|e| e.kill.as_ref());
    match kill.and_then(|kill| kill.withdrawal.as_ref()) {
        Some(w) if w.effective.is_none() => Standing::Going(format!("{} in {environment}: {}", feature.key, taken_up(w))),
        _ => Standing::Done,
    }
}

fn all_used(page: &mut Page, all: &[views::FeatureUsage]) {
    let rows = all.iter().map(|u| {
        let last = u.last.as_ref().map_or_else(|| cell("nobody").paint(Paint::Warn), cell);
        vec![cell(&u.feature).paint(Paint::Strong), cell(u.evaluations), last, cell(readers(u))]
    });
    page.table(&["FEATURE", "EVALUATIONS", "LAST", "READ BY, AND LIVE"], rows.collect(), "no features");
}

fn used(page: &mut Page, usage: &views::FeatureUsage) {
    let last = usage.last.as_deref().unwrap_or("not in these days");
    page.fields(&[("feature", usage.feature.to_string()), ("evaluations", usage.evaluations.to_string()), ("last", last.to_owned()), ("read by", readers(usage))]);
    page.blank();
    let rows = usage.by.iter().map(|by| vec![cell(&by.environment), cell(&by.variant), cell(by.build.as_deref().unwrap_or("not said")), cell(by.evaluations), cell(&by.last)]);
    page.table(&["ENVIRONMENT", "VARIANT", "BUILD", "EVALUATIONS", "LAST"], rows.collect(), "nobody evaluated it");
}

fn readers(usage: &views::FeatureUsage) -> String {
    list(usage.read_by.iter().map(|r| format!("{} in {}", r.build, r.environment)))
}

/// What each protocol makes of it, environments with the same answer together.
fn protocols(page: &mut Page, feature: &views::Feature) {
    let mut all: BTreeMap<(&str, &str, &[String]), Vec<&str>> = BTreeMap::new();
    for inside in &feature.environments {
        for c in &inside.protocols {
            all.entry((&c.protocol, &c.evaluated, &c.because)).or_default().push(inside.environment.as_str());
        }
    }
    if all.is_empty() {
        return;
    }
    page.blank();
    let rows = all.into_iter().map(|((protocol, evaluated, because), environments)| {
        let everywhere = environments.len() == feature.environments.len();
        vec![cell(protocol).paint(Paint::Strong), cell(evaluated), cell(if everywhere { "everywhere".to_owned() } else { list(environments) }), cell(because.join("\n"))]
    });
    page.table(&["PROTOCOL", "EVALUATED", "IN", "BECAUSE"], rows.collect(), "");
}
