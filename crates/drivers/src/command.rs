//! The command driver: the user's own program deploys, and another of theirs says what runs. The program is started
//! detached, with a shell around it that writes down its exit status, so that it neither dies with the control plane nor
//! ends unnoticed. A command cannot be undone from here: nothing is ever taken back.

mod record;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenroom_domain::deployment::placement::Observation;
use greenroom_domain::deployment::service::CommandRecipe;
use greenroom_domain::id::{OperationId, PlacementKey};
use greenroom_domain::time::Span;
use rustix::process::Signal;

use self::record::{Book, Pages, Record, words_of};
use crate::disk::{At as _, way_to};
use crate::process::mark;
use crate::program::{Children, Inherit, Program};
use crate::table::{self, Members};
use crate::{BoxFuture, Desired, Diff, Driver, DriverError, NoContact, Recipe, Seen, Where};

const TICK: Duration = Duration::from_millis(20);
/// From TERM to KILL for a command that is late, cancelled or overtaken.
const GRACE: Duration = Duration::from_secs(5);
/// Mark in the environment of a command: its log, which no other control plane's has.
const RECORD: &str = "GREENROOM_LOG";
/// `$1` is the file for the exit status, the rest the command.
const NOTE_EXIT: &str = r#"to=$1; shift; "$@"; code=$?; printf '%s' "$code" >"$to.new" && mv -f "$to.new" "$to"; exit "$code""#;

/// Runs the user's programs. What it remembers stands below `state`.
#[derive(Clone)]
pub struct CommandDriver {
    state: PathBuf,
    children: Children,
    /// Since when each placement has been seen as it is.
    steady: Arc<Mutex<HashMap<PlacementKey, (Observation, Instant)>>>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Running,
    Exited(i32),
    /// Stopped by us, and why.
    Stopped(String),
    /// Killed, or the machine was restarted, before it ended.
    Lost,
}

impl CommandDriver {
    /// `state`: a directory of its own, for logs and records.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), children: Children::default(), steady: Arc::default() }
    }

    fn root(&self) -> PathBuf {
        std::path::absolute(&self.state).unwrap_or_else(|_| self.state.clone())
    }

    fn book(&self, key: &PlacementKey) -> Book {
        Book::new(&self.root(), key)
    }

    /// Where a file of ours stands, for people.
    fn way(&self, path: &Path) -> String {
        way_to(path, &self.root())
    }

    async fn run(&self, desired: &Desired) -> Result<(), DriverError> {
        let recipe = recipe_of(&desired.recipe)?;
        let book = self.book(&desired.key);
        let overtaken = claim(&book, desired)?;
        if let Some(record) = overtaken {
            self.stop(&book, &record, &format!("superseded by {}", desired.op)).await?;
        }
        loop {
            let Some(record) = book.record(desired.op)? else {
                self.start(&book, desired, recipe, 1)?;
                continue;
            };
            if book.read()?.is_some_and(|p| p.current.wanted != Some(desired.op)) {
                return Err(DriverError::Fenced { offered: desired.fence, held: book.read()?.map_or(0, |p| p.current.fence) });
            }
            match end_of(&book, &record)? {
                End::Exited(0) => return Ok(book.reported(desired.op)?),
                End::Exited(code) => return Err(DriverError::Failed(exit_text(code, &self.way(&record.log)))),
                End::Stopped(why) => return Err(DriverError::Failed(why)),
                // Whoever can look may run it again; without a look, what it did is not known.
                End::Lost if recipe.observe.is_some() || record.process.is_none() => self.start(&book, desired, recipe, record.starts + 1)?,
                End::Lost => {
                    return Err(DriverError::Lost(format!("the command was killed before it ended, and nothing says what it did; its log stands in {}", self.way(&record.log))));
                }
                End::Running if record.stopped.is_some() => self.stop(&book, &record, "").await?,
                End::Running if late(&record, recipe.deadline)? => {
                    self.stop(&book, &record, &format!("did not end within {}", recipe.deadline)).await?;
                }
                End::Running if book.is_cancelled(desired.op) => self.stop(&book, &record, "cancelled").await?,
                End::Running => tokio::time::sleep(TICK).await,
            }
        }
    }

    fn start(&self, book: &Book, desired: &Desired, recipe: &CommandRecipe, starts: u32) -> Result<(), DriverError> {
        let _lock = book.lock()?;
        // Someone may have been faster, or may have started it and been killed before noting it.
        if book.record(desired.op)?.is_some_and(|r| r.starts >= starts) {
            return Ok(());
        }
        let mut record = Record::new(desired, book, starts, uptime()?, boot()?);
        let argv = words_of(&record).expand_argv(&recipe.apply)?;
        let exit = book.exit_file(&record);
        let _ = std::fs::remove_file(&exit);
        book.write(&record)?;
        let mut wrapped = vec!["/bin/sh".into(), "-c".into(), NOTE_EXIT.into(), "greenroom".into(), exit.display().to_string()];
        wrapped.extend(argv);
        let environment = environment_of(&record);
        let program = Program { argv: &wrapped, inherit: Inherit::NotOurs, environment: &environment, dir: book.dir(), log: &record.log };
        record.process = Some(self.children.start(&program).at("start the shell in", book.dir())?);
        Ok(book.write(&record)?)
    }

    /// The reason goes on record first, so that whoever sees it dead knows why; then TERM, a while, KILL.
    async fn stop(&self, book: &Book, record: &Record, why: &str) -> Result<(), DriverError> {
        note_stop(book, record.op, why)?;
        let patience = Instant::now() + GRACE;
        let mut signal = Signal::TERM;
        while let Some(process) = alive(record)? {
            table::signal(&process, signal).map_err(NoContact::new)?;
            let look_again = Instant::now() + if signal == Signal::TERM { GRACE } else { TICK };
            while Instant::now() < look_again && alive(record)?.is_some() {
                tokio::time::sleep(TICK).await;
            }
            if Instant::now() >= patience {
                signal = Signal::KILL;
            }
        }
        Ok(())
    }
}

fn note_stop(book: &Book, op: OperationId, why: &str) -> Result<(), DriverError> {
    let _lock = book.lock()?;
    match book.record(op)? {
        Some(record) if record.stopped.is_none() => Ok(book.write(&Record { stopped: Some(why.into()), ..record })?),
        _ => Ok(()),
    }
}

/// Lets the operation in, or refuses it; hands back the one it overtakes if that still runs.
fn claim(book: &Book, desired: &Desired) -> Result<Option<Record>, DriverError> {
    let _lock = book.lock()?;
    let mut pages = book.read()?.unwrap_or_default();
    let current = &mut pages.current;
    if desired.fence < current.fence {
        return Err(DriverError::Fenced { offered: desired.fence, held: current.fence });
    }
    if let Some(held) = current.wanted
        && (held.rollout == desired.op.rollout && held.attempt > desired.op.attempt && desired.fence == current.fence)
    {
        return Err(DriverError::Overtaken { offered: desired.op, held });
    }
    current.fence = desired.fence;
    let before = current.wanted.replace(desired.op).filter(|op| *op != desired.op);
    book.write_current(current)?;
    let before = before.and_then(|op| pages.records.remove(&op));
    Ok(match before {
        Some(record) if alive(&record)?.is_some() => Some(record),
        _ => None,
    })
}

fn end_of(book: &Book, record: &Record) -> Result<End, NoContact> {
    if let Some(code) = book.exit_code(record) {
        return Ok(End::Exited(code));
    }
    if alive(record)?.is_some() {
        return Ok(End::Running);
    }
    // It may have ended between the two looks.
    Ok(match (book.exit_code(record), &record.stopped) {
        (Some(code), _) => End::Exited(code),
        (None, Some(why)) => End::Stopped(why.clone()),
        (None, None) => End::Lost,
    })
}

/// The process of a record: the one noted, or else the one whose environment carries its marks.
fn alive(record: &Record) -> Result<Option<table::Identity>, NoContact> {
    let unreadable = |e| NoContact::new(format_args!("the process table cannot be read: {e}"));
    if let Some(process) = &record.process {
        return Ok(table::is_alive(process).map_err(unreadable)?.then(|| process.clone()));
    }
    let wanted = environment_of(record);
    let marks = [mark::OP, mark::START, RECORD];
    let found = table::search(Members::Leader, |env| marks.iter().all(|m| env.get(*m) == wanted.get(*m))).map_err(unreadable)?;
    Ok(found.into_iter().next().map(|f| f.identity))
}

fn environment_of(record: &Record) -> BTreeMap<String, String> {
    [
        (mark::OP, record.op.to_string()),
        (mark::START, record.starts.to_string()),
        (mark::FENCE, record.fence.to_string()),
        (mark::BUILD, record.label.to_string()),
        (mark::DIGEST, record.build.to_string()),
        (mark::CONFIG, record.config.to_string()),
        (mark::PLACEMENT, record.key.to_string()),
        (mark::ADDRESS, record.address.display().to_string()),
        (RECORD, record.log.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn uptime() -> Result<Span, NoContact> {
    let up = table::uptime().map_err(NoContact::new)?;
    Ok(Span(i64::try_from(up.as_micros()).unwrap_or(i64::MAX)))
}

fn boot() -> Result<String, NoContact> {
    table::boot_id().map_err(NoContact::new)
}

fn late(record: &Record, deadline: Span) -> Result<bool, NoContact> {
    Ok(record.boot != boot()? || uptime()?.0 - record.began.0 >= deadline.0)
}

fn exit_text(code: i32, log: &str) -> String {
    format!("exited with status {code}; its log stands in {log}")
}

fn recipe_of(recipe: &Recipe) -> Result<&CommandRecipe, DriverError> {
    match recipe {
        Recipe::Command(recipe) => Ok(recipe),
        Recipe::Process(_) => Err(DriverError::Recipe),
    }
}

impl Driver for CommandDriver {
    fn plan<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<Diff, NoContact>> {
        Box::pin(async move {
            let seen = self.observe(&desired.place()).await?;
            let mut diff = Diff::default();
            let serving: Vec<_> = seen.observation.serving.keys().map(ToString::to_string).collect();
            diff.line("digest", (!serving.is_empty()).then(|| serving.join(", ")), Some(&desired.digest));
            diff.line("configuration", seen.observation.config.as_ref(), Some(&desired.config));
            Ok(diff)
        })
    }

    fn apply<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(self.run(desired))
    }

    fn observe<'a>(&'a self, place: &'a Where) -> BoxFuture<'a, Result<Seen, NoContact>> {
        Box::pin(self.look(place))
    }

    fn cancel<'a>(&'a self, place: &'a Where, op: OperationId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let book = self.book(&place.key);
            book.mark_cancelled(op)?;
            match book.read()? {
                Some(Pages { current, mut records }) if current.wanted == Some(op) => match records.remove(&op) {
                    Some(record) if end_of(&book, &record)? == End::Running => self.stop(&book, &record, "cancelled").await,
                    _ => Ok(()),
                },
                _ => Ok(()),
            }
        })
    }
}
