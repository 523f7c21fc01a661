//! Definitions of other products, taken over.

use std::path::{Path, PathBuf};

use greenroom_api::client::call;
use greenroom_api::requests::{self, Product};
use greenroom_api::views;
use greenroom_domain::id::Name;

use super::apply::{changes, read};
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, cell};
use crate::show::many;

#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// From Unleash: the body of /api/client/features, or an export of one environment
    Unleash(Source),
    /// From flagd: a file of flag definitions
    Flagd(Source),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What our rules cannot say is left out and listed with its reason. Show it first with --dry-run. Production takes no import: what is shown there is a release."
)]
pub struct Source {
    /// JSON file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Environment, not production, that is to serve what the file serves
    #[arg(long, alias = "to", value_name = "ENV")]
    env: Name,
    /// Set of manifests that features and cohorts are to belong to [default: the product's name]
    #[arg(long, value_name = "NAME")]
    set: Option<Name>,
}

impl Import {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let (from, source) = match self {
            Self::Unleash(source) => (Product::Unleash, source),
            Self::Flagd(source) => (Product::Flagd, source),
        };
        let request = requests::Import { from, environment: source.env, set: source.set, text: read(&source.file)? };
        let call = call::import(&request);
        let call = if context.global.dry_run { call.dry_run() } else { call };
        let came = context.client.send(&call).await.map_err(|error| in_file(error.into(), &source.file))?;
        context.present(&came, |page, came| show(page, came, context.global.dry_run));
        Ok(())
    }
}

/// The server knows the text, and not the file it is from.
fn in_file(mut failure: Failure, file: &Path) -> Failure {
    if failure.more.detail == "in the request, text" {
        failure.more.detail = format!("in {}", file.display());
        if let Some(problem) = &mut failure.more.problem {
            problem.detail.clone_from(&failure.more.detail);
        }
    }
    failure
}

fn show(page: &mut Page, came: &views::Import, planned: bool) {
    changes(page, &came.changes, planned);
    if !came.refused.is_empty() {
        page.blank();
        let rows = came.refused.iter().map(|r| vec![cell(&r.feature).paint(Paint::Bad), cell(&r.because)]);
        page.table(&["NOT TAKEN OVER", "BECAUSE"], rows.collect(), "");
    }
    if !came.notes.is_empty() {
        page.blank();
        came.notes.iter().for_each(|note| page.line(Paint::Warn, format!("note: {note}")));
    }
    page.blank();
    let changed = came.serves.iter().filter(|s| s.changed).count();
    let done = if planned { "would be imported" } else { "imported" };
    page.line(
        Paint::Plain,
        format!(
            "{done} into {}: {}, {changed} of them serving something new, as set {}; {} not taken over",
            came.environment,
            many(came.serves.len(), "feature"),
            came.set,
            came.refused.len()
        ),
    );
}
