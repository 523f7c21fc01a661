//! Checks that ran elsewhere, and results.

use std::collections::BTreeMap;
use std::path::PathBuf;

use greenroom_api::client::call;
use greenroom_api::requests::{Evidence, RecordCheck};
use greenroom_api::views;
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::id::{Digest, Name, RolloutId};

use super::apply::read;
use super::word;
use crate::context::Context;
use crate::error::Failure;
use crate::show;

#[derive(Debug, clap::Subcommand)]
pub enum Check {
    /// Record the result of a check that ran elsewhere
    Record(Record),
    /// List the latest result of each check
    List {
        /// Only in this environment
        #[arg(long, value_name = "ENV")]
        env: Option<Name>,
        /// Only of this service
        #[arg(long)]
        service: Option<Name>,
    },
}

#[derive(Debug, clap::Args)]
pub struct Record {
    /// Service that was checked
    service: Name,
    /// Name of the check, as the service's manifest has it
    check: Name,
    /// pass, fail, inconclusive or error
    #[arg(value_parser = word::<Outcome>)]
    outcome: Outcome,
    /// Environment it ran in
    #[arg(long, value_name = "ENV")]
    env: Name,
    /// What was seen, in one line
    #[arg(long, default_value = "")]
    summary: String,
    /// A build that ran together with it while it was checked [default: what is observed there now]
    #[arg(long = "with", value_name = "SERVICE=DIGEST", value_parser = observed)]
    set: Vec<(Name, Digest)>,
    /// Rollout that it verifies
    #[arg(long)]
    rollout: Option<RolloutId>,
    /// Requirement that it confirms; may be given several times
    #[arg(long, value_name = "ID")]
    requirement: Vec<String>,
    /// A file to keep as evidence, with its kind: junit=report.xml
    #[arg(long, value_name = "KIND=FILE", value_parser = file)]
    evidence: Vec<(String, PathBuf)>,
}

fn observed(text: &str) -> Result<(Name, Digest), String> {
    let (service, digest) = text.split_once('=').ok_or("write it as SERVICE=sha256:…")?;
    Ok((service.parse().map_err(|e| format!("{e}"))?, digest.parse().map_err(|e| format!("{e}"))?))
}

fn file(text: &str) -> Result<(String, PathBuf), String> {
    let (kind, path) = text.split_once('=').ok_or("write it as KIND=FILE")?;
    Ok((kind.to_owned(), path.into()))
}

impl Check {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Record(record) => record.run(context).await,
            Self::List { env, service } => {
                let call = call::checks().maybe("environment", env).maybe("service", service);
                context.list(call, None, |page, items: &[views::Check]| show::checks(page, &items.iter().collect::<Vec<_>>())).await
            }
        }
    }
}

impl Record {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let evidence = self.evidence.into_iter().map(|(kind, path)| Ok(Evidence { kind, text: read(&path)? })).collect::<Result<Vec<_>, Failure>>()?;
        let body = RecordCheck {
            environment: self.env,
            service: self.service,
            check: self.check,
            outcome: self.outcome,
            summary: self.summary,
            set: self.set.into_iter().collect::<BTreeMap<_, _>>(),
            rollout: self.rollout,
            requirements: self.requirement,
            evidence,
        };
        context.act(call::record_check(&body), |page, check| show::checks(page, &[check])).await
    }
}
