//! Checks: asks a running service, or runs the user's program, and says what came of it. *Bad*, *cannot be judged* and
//! *could not be asked* stay three different things.

mod command;
mod http;
pub mod junit;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use greenroom_domain::deployment::check::{CheckRun, CheckSpec, Outcome};
use greenroom_domain::id::{BuildLabel, Digest, Name, OperationId};
use greenroom_domain::time::{At, Span};

use crate::now;
use crate::template::Words;

/// Media types of what is kept as evidence.
pub const JUNIT: &str = "application/junit+xml";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Where a check runs and what it looks at.
#[derive(Debug, Clone)]
pub struct CheckContext {
    pub environment: Name,
    pub service: Name,
    /// The build that serves there.
    pub label: BuildLabel,
    pub digest: Digest,
    pub op: Option<OperationId>,
    /// Stable addresses of the environment's services.
    pub endpoints: BTreeMap<Name, SocketAddr>,
    /// What `{COMPONENT}` stands for: where that artifact is.
    pub artifacts: BTreeMap<Name, String>,
    pub control: String,
    /// A fresh directory is made in it for each run, and removed.
    pub work: PathBuf,
}

/// What came of a check.
#[derive(Debug, Clone)]
pub struct Ran {
    pub outcome: Outcome,
    /// One line for people.
    pub summary: String,
    /// Media type and content.
    pub evidence: Vec<(&'static str, Vec<u8>)>,
    pub started: At,
    pub took: Span,
}

/// What one kind of check found.
struct Found {
    outcome: Outcome,
    summary: String,
    evidence: Vec<(&'static str, Vec<u8>)>,
}

impl Found {
    fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self { outcome, summary: summary.into(), evidence: Vec::new() }
    }

    fn error(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Error, summary)
    }
}

/// Runs `spec`. Never fails: what could not be asked is [`Outcome::Error`]. Dropping the future ends the program.
pub async fn run(spec: &CheckSpec, ctx: &CheckContext) -> Ran {
    let (started, clock) = (now(), std::time::Instant::now());
    let found = match &spec.run {
        CheckRun::Http(check) => http::run(check, spec.timeout, ctx).await,
        CheckRun::Command(check) => command::run(spec, check, ctx).await,
    };
    let took = Span(i64::try_from(clock.elapsed().as_micros()).unwrap_or(i64::MAX));
    let summary = found.summary.lines().next().unwrap_or_default().chars().take(300).collect();
    tracing::info!(check.name = %spec.name, env.name = %ctx.environment, outcome = %found.outcome, %took, "check ran");
    Ran { outcome: found.outcome, summary, evidence: found.evidence, started, took }
}

impl CheckContext {
    fn words(&self) -> Words {
        let mut words = Words::new(self.endpoints.clone());
        for (component, place) in &self.artifacts {
            words = words.with(component.as_str(), place);
        }
        let words = words.with("environment", &self.environment).with("version", &self.label.version).with("control", &self.control);
        match self.op {
            Some(op) => words.with("op", op),
            None => words,
        }
    }
}
