//! What runs, as the user's `observe` program says; or, without one, as the last command that ended well would have it,
//! which is a report and no observation.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::deployment::service::CommandRecipe;
use greenroom_domain::id::{Digest, OperationId};
use greenroom_domain::time::Span;
use serde::Deserialize;

use super::record::{Book, Pages, Record, words_of};
use super::{CommandDriver, End, end_of, environment_of, exit_text, recipe_of};
use crate::disk::{beside, create_dir};
use crate::program::{Inherit, Program, describe};
use crate::template::Words;
use crate::{Instance, NoContact, Seen, Where, now};

/// How long `observe` may take, unless the recipe's deadline is shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an `observe` program prints.
#[derive(Debug, Deserialize)]
struct Report {
    /// Serving instances by build.
    serving: BTreeMap<Digest, u32>,
    #[serde(default)]
    op: Option<OperationId>,
    #[serde(default)]
    config: Option<Digest>,
    /// Healthy, if something serves, unless it says otherwise.
    #[serde(default)]
    health: Option<Health>,
}

impl CommandDriver {
    pub(super) async fn look(&self, place: &Where) -> Result<Seen, NoContact> {
        let recipe = recipe_of(&place.recipe).map_err(NoContact::new)?;
        let book = self.book(&place.key);
        let pages = book.read().map_err(NoContact::new)?.unwrap_or_default();
        let wanted = pages.current.wanted.and_then(|op| pages.records.get(&op));
        let end = wanted.map(|r| end_of(&book, r)).transpose()?;
        let observation = match &recipe.observe {
            Some(argv) => self.ask(place, recipe, argv, &book, wanted).await?,
            None => reported(&pages, end.as_ref()),
        };
        let steady = self.steady_for(place, &observation) >= recipe.min_stable.as_std();
        let failure = match (&end, wanted) {
            (Some(End::Exited(code)), Some(record)) if *code != 0 => Some(exit_text(*code, &self.way(&record.log))),
            (Some(End::Stopped(why)), _) => Some(why.clone()),
            (Some(End::Lost), _) => Some("the command was killed before it ended".into()),
            _ => None,
        };
        let ended_well = end == Some(End::Exited(0));
        // A report needs no time to prove itself: nobody looks.
        let settled = ended_well
            && observation.health == Health::Healthy
            && match observation.basis {
                Basis::Reported => true,
                Basis::Observed => steady && wanted.is_some_and(|r| is_what(&observation, r)),
            };
        let ready = observation.health == Health::Healthy;
        let one = |digest: &Digest| Instance { pid: None, started: None, ready, restarts: 0, digest: Some(digest.clone()), op: observation.op };
        Ok(Seen {
            at: now(),
            instances: observation.serving.iter().flat_map(|(digest, n)| (0..(*n).min(1_000)).map(|_| one(digest))).collect(),
            old_instances: Vec::new(),
            underway: match end {
                Some(End::Running) => pages.current.wanted,
                None => pages.current.wanted,
                Some(_) => None,
            },
            failure,
            unreachable: None,
            taken_back: None,
            blameless: false,
            settled,
            observation,
        })
    }

    async fn ask(&self, place: &Where, recipe: &CommandRecipe, argv: &[String], book: &Book, wanted: Option<&Record>) -> Result<Observation, NoContact> {
        let words = wanted.map_or_else(|| words_without(place), words_of);
        let argv = words.expand_argv(argv).map_err(NoContact::new)?;
        create_dir(book.dir()).map_err(NoContact::new)?;
        let output = Output::new(book);
        let environment = wanted.map(environment_of).unwrap_or_default();
        // What it prints is one file and what it complains about is in there too: a report is its last line.
        let program = Program { argv: &argv, inherit: Inherit::NotOurs, environment: &environment, dir: book.dir(), log: &output.path };
        let patience = recipe.deadline.as_std().min(PATIENCE);
        let ended = program.run(patience).await.map_err(|e| NoContact::new(format_args!("cannot run the observe command: {e}")))?;
        let Some(status) = ended else {
            let patience = Span(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
            return Err(NoContact::new(format_args!("the observe command did not end within {patience}")));
        };
        if !status.success() {
            return Err(NoContact::new(format_args!("the observe command {}; what it said stands in {}", describe(status), self.way(&output.keep()))));
        }
        let text = fs::read_to_string(&output.path).map_err(NoContact::new)?;
        let Some(report) = parse(&text) else {
            return Err(NoContact::new(format_args!("the observe command gave no report that is understood; what it said stands in {}", self.way(&output.keep()))));
        };
        let serves = report.serving.values().any(|n| *n > 0);
        Ok(Observation {
            serving: report.serving.into_iter().filter(|(_, n)| *n > 0).collect(),
            config: report.config,
            op: report.op,
            health: report.health.unwrap_or(if serves { Health::Healthy } else { Health::Down }),
            basis: Basis::Observed,
        })
    }

    fn steady_for(&self, place: &Where, observation: &Observation) -> Duration {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        match steady.get(&place.key) {
            Some((same, since)) if same == observation => since.elapsed(),
            _ => {
                steady.insert(place.key.clone(), (observation.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// The whole output as JSON, or else its last line.
fn parse(text: &str) -> Option<Report> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(text.lines().rfind(|l| !l.trim().is_empty())?).ok())
}

/// Whether exactly the operation's build serves. A report that names no operation is matched by build alone.
fn is_what(observation: &Observation, record: &Record) -> bool {
    observation.build() == Some(&record.build) && observation.op.is_none_or(|op| op == record.op)
}

fn reported(pages: &Pages, end: Option<&End>) -> Observation {
    let wanted = pages.current.wanted.filter(|_| end == Some(&End::Exited(0)));
    let record = wanted.or(pages.current.reported).and_then(|op| pages.records.get(&op));
    Observation {
        serving: record.map(|r| (r.build.clone(), 1)).into_iter().collect(),
        config: record.map(|r| r.config.clone()),
        op: record.map(|r| r.op),
        health: match (end, record) {
            (Some(End::Running), _) => Health::Progressing,
            (_, Some(_)) => Health::Healthy,
            (_, None) => Health::Down,
        },
        basis: Basis::Reported,
    }
}

/// Before anything was deployed there is no build to speak of.
fn words_without(place: &Where) -> Words {
    let endpoints = place.endpoint.map(|at| (place.key.service.clone(), at)).into_iter().collect();
    Words::new(endpoints).with("environment", &place.key.environment).with("target", &place.key.target).with("service", &place.key.service).with("address", place.address.display())
}

struct Output {
    path: PathBuf,
}

impl Output {
    fn new(book: &Book) -> Self {
        Self { path: beside(&book.dir().join("observe")) }
    }

    /// Where the output stays until the next one that is not understood.
    fn keep(&self) -> PathBuf {
        let kept = self.path.with_file_name("observe.log");
        // Were it not to, there would be no file where one is named, which harms nobody.
        let _ = fs::rename(&self.path, &kept);
        kept
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
