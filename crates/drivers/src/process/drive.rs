//! One step at a time: under the lock, gather the facts, ask [`next`] and carry out its answer. What needs waiting is
//! handed back to the caller, who holds no lock while waiting.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use greenroom_domain::id::{Name, OperationId};
use greenroom_domain::time::Span;
use rustix::process::Signal;

use super::facts::{self, is_alive, keeper, leads_to, led_to, life_of, marked_processes, unreadable, uptime};
use super::job::{Job, command_of, mark, marked};
use super::port;
use super::record::{Pages, Phase, Record};
use super::step::{Action, Facts, Life, Probed, next};
use crate::program::{Children, Inherit, Program};
use crate::proxy::{self, Routes};
use crate::table::{self, Identity, Members};
use crate::{Desired, DriverError, Hook, now};

/// What the steps of all placements share.
pub(crate) struct Shared {
    pub hook: Hook,
    pub children: Children,
}

/// An operation with what it takes to start it; a cancellation has no such thing.
pub(crate) struct Work {
    pub job: Job,
    pub desired: Option<Desired>,
}

/// What the caller does before the next step.
#[derive(Debug)]
pub(crate) enum Turn {
    Again,
    /// Look again shortly.
    Pause,
    /// Ask the probe, look again shortly.
    Probe {
        process: Identity,
        listen: SocketAddr,
    },
    /// Lead `stable` to `listen` and report back.
    Switch {
        stable: Option<SocketAddr>,
        listen: SocketAddr,
    },
    /// As `Switch`, for what was there before; with `None` the address leads nowhere.
    Restore {
        keeper: Option<Box<Record>>,
    },
    Rest,
}

impl Shared {
    /// Lets the operation in, or refuses it. What an overtaken operation had started is recorded as superseded.
    pub(crate) fn claim(&self, work: &Work) -> Result<(), DriverError> {
        let (job, Some(desired)) = (&work.job, &work.desired) else { return Ok(()) };
        let _lock = job.book.lock()?;
        let routes = Routes::read(&job.address)?;
        let mut pages = job.book.read()?.unwrap_or_default();
        check_fence(&pages, desired)?;
        // What was taken back stays so and does not come between those that came later.
        if pages.current.wanted != Some(job.op) && pages.records.get(&job.op).is_some_and(|r| r.verdict.is_some()) {
            return Err(overtaken(&pages, desired));
        }
        facts::adopt(job, &mut pages, &routes)?;
        if pages.current.serving.is_none() {
            let led_to = led_to(&pages, &routes)?.or_else(|| pages.records.values().find(|r| r.stable.is_none() && r.lived));
            pages.current.serving = led_to.filter(|r| r.lived).map(|r| r.op);
        }
        pages.current.fence = desired.fence;
        let before = pages.current.wanted.replace(job.op).filter(|op| *op != job.op);
        if let Some(overtaken) = before.and_then(|op| pages.records.get_mut(&op))
            && overtaken.verdict.is_none()
            && overtaken.phase == Phase::Starting
            && !overtaken.lived
        {
            if overtaken.stable.is_some() && leads_to(&routes, overtaken.stable, overtaken) {
                overtaken.phase = Phase::Serving;
                pages.current.serving = Some(overtaken.op);
            } else {
                overtaken.verdict = Some(format!("superseded by {}", job.op));
            }
            job.book.write(overtaken)?;
        }
        Ok(job.book.write_current(&pages.current)?)
    }

    /// Refuses what is overtaken without leaving a trace.
    pub(crate) fn may_enter(&self, desired: &Desired, job: &Job) -> Result<(), DriverError> {
        job.book.read()?.map_or(Ok(()), |pages| check_fence(&pages, desired))
    }

    pub(crate) fn step(&self, work: &Work, artifacts: &BTreeMap<Name, PathBuf>, probed: &Probed) -> Result<Turn, DriverError> {
        let job = &work.job;
        let _lock = job.book.lock()?;
        let Some(mut pages) = job.book.read()? else { return Ok(Turn::Rest) };
        if pages.current.wanted != Some(job.op) {
            return match &work.desired {
                Some(desired) => Err(overtaken(&pages, desired)),
                None => Ok(Turn::Rest),
            };
        }
        let routes = Routes::read(&job.address)?;
        let mine = pages.records.get(&job.op).cloned();
        let action = next(&self.facts(job, &pages, mine.as_ref(), &routes, probed)?, job.limits());
        tracing::debug!(placement = %job.key, op = %job.op, ?action, "step");
        match (action, mine) {
            (Action::Rest, _) => Ok(Turn::Rest),
            (Action::Start, mine) => self.start(work, artifacts, &pages, mine, false),
            (Action::Restart, mine) => self.start(work, artifacts, &pages, mine, true),
            (Action::Stop(ops), _) => self.stop(job, &mut pages, &ops),
            (Action::Restore, _) => {
                let keeper = keeper(&pages, job.op)?.cloned().map(Box::new);
                tracing::info!(placement = %job.key, op = %job.op, to = keeper.as_ref().map(|k| k.op.to_string()), "the stable address is led back");
                Ok(Turn::Restore { keeper })
            }
            // Without a record there is nothing but starting or resting.
            (_, None) => Ok(Turn::Rest),
            (Action::Wait, Some(mine)) => Ok(mine.process.map_or(Turn::Pause, |process| Turn::Probe { process, listen: mine.listen })),
            (Action::Switch, Some(mine)) => {
                (self.hook)("before_switch");
                Ok(Turn::Switch { stable: job.stable, listen: mine.listen })
            }
            (Action::Prove, Some(mine)) => {
                job.book.write(&Record { phase: Phase::Proved, ..mine })?;
                Ok(Turn::Again)
            }
            (Action::Condemn(why), Some(mine)) => {
                tracing::info!(placement = %job.key, op = %job.op, "taking back");
                job.book.write(&Record { verdict: Some(why.clone()), failure: Some(why), ..mine })?;
                Ok(Turn::Again)
            }
            (Action::GiveUp(why), Some(mine)) => {
                tracing::warn!(placement = %job.key, op = %job.op, "cannot be restarted");
                // It never became ready again; the next try starts afresh.
                if let Some(process) = &mine.process {
                    table::signal(process, Signal::KILL).map_err(unreadable)?;
                }
                job.book.write(&Record { phase: Phase::Done, failure: Some(why), ..mine })?;
                Ok(Turn::Rest)
            }
            (Action::Finish, Some(mine)) => {
                self.sweep(job, |op| op != job.op)?;
                let done = Record { phase: Phase::Done, lived: true, failure: None, ..mine };
                job.book.write(&done)?;
                job.book.prune(&pages, |r| matches!(is_alive(r), Ok(false)))?;
                Ok(Turn::Again)
            }
        }
    }

    /// The routes lead to the operation's process: note it, unless someone else came between.
    pub(crate) fn switched(&self, work: &Work) -> Result<(), DriverError> {
        (self.hook)("after_switch");
        let job = &work.job;
        let _lock = job.book.lock()?;
        let Some(mut pages) = job.book.read()? else { return Ok(()) };
        if pages.current.wanted != Some(job.op) {
            return Ok(());
        }
        if let Some(mine) = pages.records.get_mut(&job.op) {
            mine.phase = mine.phase.max(Phase::Serving);
            job.book.write(mine)?;
        }
        pages.current.serving = Some(job.op);
        Ok(job.book.write_current(&pages.current)?)
    }

    /// The stable address could not be led to the operation's process.
    pub(crate) fn not_switched(&self, work: &Work, why: String) -> Result<(), DriverError> {
        let job = &work.job;
        let _lock = job.book.lock()?;
        if let Some(mut pages) = job.book.read()?
            && let Some(mine) = pages.records.get_mut(&job.op)
        {
            mine.failure = Some(why.clone());
            if !mine.lived {
                (mine.verdict, mine.blameless) = (Some(why), true);
            }
            job.book.write(mine)?;
        }
        Ok(())
    }

    /// The routes lead to what was there before, which gets a full measure of time again should it be stopped later.
    pub(crate) fn restored(&self, work: &Work, keeper: Option<&Record>) -> Result<(), DriverError> {
        let job = &work.job;
        let _lock = job.book.lock()?;
        let Some(mut pages) = job.book.read()? else { return Ok(()) };
        pages.current.serving = keeper.map(|k| k.op);
        if let Some(keeper) = keeper.and_then(|k| pages.records.get_mut(&k.op)) {
            (keeper.retired, keeper.terminated) = (None, None);
            job.book.write(keeper)?;
        }
        Ok(job.book.write_current(&pages.current)?)
    }

    fn facts<'a>(&self, job: &Job, pages: &Pages, mine: Option<&'a Record>, routes: &Routes, probed: &Probed) -> Result<Facts<'a>, DriverError> {
        let (mut others, mut condemned) = (Vec::new(), Vec::new());
        for record in pages.records.values().filter(|r| r.op != job.op) {
            if is_alive(record)? {
                others.push(record.op);
                if record.verdict.is_some() && !(record.stable.is_some() && leads_to(routes, record.stable, record)) {
                    condemned.push(record.op);
                }
            }
        }
        let keeper = keeper(pages, job.op)?;
        let to_keeper = keeper.is_none_or(|k| leads_to(routes, k.stable, k));
        let to_mine = mine.is_some_and(|m| leads_to(routes, job.stable, m));
        let restored = match mine {
            Some(mine) if mine.verdict.is_some() => {
                let away = keeper.is_some() || job.stable.is_none() || !to_mine;
                to_keeper && away && pages.current.serving == keeper.map(|k| k.op)
            }
            _ => to_keeper || to_mine,
        };
        Ok(Facts {
            record: mine,
            life: mine.map_or(Ok(Life::Absent), |m| life_of(m, job, &self.children))?,
            probed: probed.clone(),
            cancelled: job.book.is_cancelled(job.op),
            elapsed: match mine {
                Some(mine) if mine.boot == table::boot_id().map_err(unreadable)? => Span((uptime()?.0 - mine.began.0).max(0)),
                _ => Span(0),
            },
            routed: to_mine,
            restored,
            others,
            condemned,
        })
    }

    /// Starts the process: first the record of the intention, then the process, then its identity. Whoever is cut off
    /// between the last two is found by the marks in its environment.
    fn start(&self, work: &Work, artifacts: &BTreeMap<Name, PathBuf>, pages: &Pages, before: Option<Record>, restart: bool) -> Result<Turn, DriverError> {
        let (job, Some(desired)) = (&work.job, &work.desired) else { return Ok(Turn::Rest) };
        let listen = port::free(&job.address, pages)?;
        let (argv, environment) = command_of(desired, &job.recipe, artifacts, listen)?;
        let mut record = Record {
            op: job.op,
            fence: desired.fence,
            label: desired.label.clone(),
            build: desired.digest.clone(),
            config: desired.config.clone(),
            listen,
            stable: job.stable,
            argv,
            log: job.book.log_of(job.op),
            drain: job.recipe.drain,
            phase: Phase::Starting,
            began: uptime()?,
            boot: table::boot_id().map_err(unreadable)?,
            process: None,
            started: None,
            starts: before.as_ref().map_or(0, |b| b.starts) + 1,
            restarts: before.as_ref().map_or(0, |b| b.restarts) + u32::from(restart),
            lived: restart || before.as_ref().is_some_and(|b| b.lived),
            verdict: None,
            blameless: false,
            failure: before.and_then(|b| b.failure),
            retired: None,
            terminated: None,
        };
        job.book.write(&record)?;
        let environment = marked(environment, job, &record);
        let program = Program { argv: &record.argv, inherit: Inherit::Basics, environment: &environment, dir: &job.address, log: &record.log };
        match self.children.start(&program) {
            Ok(identity) => {
                (self.hook)("after_start");
                record.process = Some(identity);
                record.started = Some(now());
                job.book.write(&record)?;
                Ok(Turn::Again)
            }
            Err(e) => {
                let why = format!("cannot start `{}`: {e}", record.argv.first().map_or("", String::as_str));
                tracing::warn!(placement = %job.key, op = %job.op, why, "a process was not started");
                record.failure = Some(why.clone());
                if record.lived {
                    record.phase = Phase::Done;
                } else {
                    (record.verdict, record.blameless) = (Some(why), true);
                }
                job.book.write(&record)?;
                Ok(if record.lived { Turn::Rest } else { Turn::Again })
            }
        }
    }

    fn stop(&self, job: &Job, pages: &mut Pages, ops: &[OperationId]) -> Result<Turn, DriverError> {
        for op in ops {
            let Some(record) = pages.records.get_mut(op) else { continue };
            let Some(process) = record.process.clone() else { continue };
            let up = uptime()?;
            let since = |mark: Option<Span>| Span(up.0 - mark.unwrap_or(up).0);
            if record.retired.is_none() {
                if record.op != job.op {
                    (self.hook)("before_stop_old");
                }
                record.retired = Some(up);
                job.book.write(record)?;
            }
            if record.terminated.is_none() {
                // What the proxy still has under way there may end first: not every program drains by itself.
                if since(record.retired).0 < record.drain.0 / 2 && proxy::in_flight(&job.address, record.listen) > 0 {
                    continue;
                }
                record.terminated = Some(up);
                job.book.write(record)?;
                table::signal(&process, Signal::TERM).map_err(unreadable)?;
            } else if since(record.terminated) >= record.drain {
                table::signal(&process, Signal::KILL).map_err(unreadable)?;
                self.sweep(job, |member| member == *op)?;
            }
        }
        Ok(Turn::Pause)
    }

    /// After the last step: whether the operation serves. Addresses that the service had before lead nowhere now; what a
    /// process left behind that was taken back is killed.
    pub(crate) fn tidy(&self, work: &Work) -> Result<bool, DriverError> {
        let job = &work.job;
        let _lock = job.book.lock()?;
        let Some(pages) = job.book.read()? else { return Ok(false) };
        let Some(mine) = pages.records.get(&job.op).filter(|_| pages.current.wanted == Some(job.op)) else { return Ok(false) };
        if mine.verdict.is_some() {
            self.sweep(job, |op| op == job.op)?;
            return Ok(false);
        }
        let had: Vec<_> = pages.records.values().filter_map(|r| r.stable).filter(|s| job.stable != Some(*s)).collect();
        if mine.phase == Phase::Done && is_alive(mine)? && !had.is_empty() {
            let own: Vec<_> = pages.records.values().map(|r| r.listen).collect();
            proxy::edit_routes(&job.address, |routes| routes.retain(|stable, listen| !(had.contains(stable) && own.contains(listen))))?;
        }
        Ok(pages.current.serving == Some(job.op))
    }

    /// Kills what is left of a placement's process groups once their leaders are gone.
    pub(crate) fn sweep(&self, job: &Job, of: impl Fn(OperationId) -> bool) -> Result<(), DriverError> {
        for found in marked_processes(job, Members::All)? {
            if found.environment.get(mark::OP).and_then(|op| op.parse().ok()).is_some_and(&of) {
                table::signal(&found.identity, Signal::KILL).map_err(unreadable)?;
            }
        }
        Ok(())
    }
}

fn check_fence(pages: &Pages, desired: &Desired) -> Result<(), DriverError> {
    let current = &pages.current;
    let older_attempt = current.wanted.is_some_and(|held| held.rollout == desired.op.rollout && held.attempt > desired.op.attempt);
    if desired.fence < current.fence || (desired.fence == current.fence && older_attempt) {
        return Err(overtaken(pages, desired));
    }
    Ok(())
}

fn overtaken(pages: &Pages, desired: &Desired) -> DriverError {
    match pages.current.wanted {
        Some(held) if desired.fence >= pages.current.fence => DriverError::Overtaken { offered: desired.op, held },
        _ => DriverError::Fenced { offered: desired.fence, held: pages.current.fence },
    }
}
