//! Gathering the facts of a placement: records, process table, routes.

use std::net::SocketAddr;

use greenroom_domain::id::OperationId;
use greenroom_domain::time::{At, Span};

use super::job::{Job, mark};
use super::record::{Book, Current, Pages, Phase, Record};
use super::step::Life;
use crate::disk::way_to;
use crate::program::Children;
use crate::proxy::Routes;
use crate::table::{self, Found, Members};
use crate::{DriverError, NoContact, now};

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unreadable(e: std::io::Error) -> NoContact {
    NoContact::new(format_args!("the process table cannot be read: {e}"))
}

pub(crate) fn uptime() -> Result<Span, NoContact> {
    let up = table::uptime().map_err(unreadable)?;
    Ok(Span(i64::try_from(up.as_micros()).unwrap_or(i64::MAX)))
}

/// What became of a record's process. A process of an earlier boot is gone, which is an observation and no fault of its
/// own.
pub(crate) fn life_of(record: &Record, job: &Job, children: &Children) -> Result<Life, NoContact> {
    let Some(process) = &record.process else { return Ok(Life::Absent) };
    if table::is_alive(process).map_err(unreadable)? {
        return Ok(Life::Alive);
    }
    if process.boot != table::boot_id().map_err(unreadable)? {
        return Ok(Life::Absent);
    }
    Ok(Life::Dead(format!("{}; its log stands in {}", children.end_of(process), way_to(&record.log, &job.address))))
}

pub(crate) fn is_alive(record: &Record) -> Result<bool, NoContact> {
    record.process.as_ref().map_or(Ok(false), |p| table::is_alive(p).map_err(unreadable))
}

/// Who serves unless the operation does: what served before, or else the youngest that was ever live.
pub(crate) fn keeper(pages: &Pages, op: OperationId) -> Result<Option<&Record>, NoContact> {
    let mut best: Option<&Record> = None;
    for record in pages.records.values() {
        if record.op == op || record.verdict.is_some() || record.phase < Phase::Serving || !is_alive(record)? {
            continue;
        }
        let rank = |r: &Record| (pages.current.serving == Some(r.op), r.lived, r.started);
        if best.is_none_or(|b| rank(record) > rank(b)) {
            best = Some(record);
        }
    }
    Ok(best)
}

/// Whether the stable address leads to `record`; true if it has none.
pub(crate) fn leads_to(routes: &Routes, stable: Option<SocketAddr>, record: &Record) -> bool {
    stable.is_none_or(|stable| routes.routes.get(&stable) == Some(&record.listen))
}

/// Whom the service's stable address leads to: the living one, should a dead one be remembered under the same port.
pub(crate) fn led_to<'a>(pages: &'a Pages, routes: &Routes) -> Result<Option<&'a Record>, NoContact> {
    let mut found = None;
    for record in pages.records.values().filter(|r| r.stable.is_some() && leads_to(routes, r.stable, r)) {
        if found.is_none() || is_alive(record)? {
            found = Some(record);
        }
    }
    Ok(found)
}

/// Processes of the placement, found by their marks.
pub(crate) fn marked_processes(job: &Job, members: Members) -> Result<Vec<Found>, NoContact> {
    let (placement, address) = (job.key.to_string(), job.address.display().to_string());
    table::search(members, |env| env.get(mark::PLACEMENT) == Some(&placement) && env.get(mark::ADDRESS) == Some(&address)).map_err(unreadable)
}

/// Brings the records in line with processes that they do not know: started just before a crash, or left over from a
/// directory that was lost. An earlier start of an operation that has a later one is killed.
pub(crate) fn adopt(job: &Job, pages: &mut Pages, routes: &Routes) -> Result<(), DriverError> {
    for found in marked_processes(job, Members::Leader)? {
        let Some(stray) = record_of(&found, job, routes) else { continue };
        match pages.records.get_mut(&stray.op) {
            Some(known) if known.process.is_none() && known.starts == stray.starts => {
                known.process = stray.process;
                known.started = stray.started;
                job.book.write(known)?;
            }
            Some(known) if stray.starts < known.starts => table::signal(&found.identity, rustix::process::Signal::KILL).map_err(unreadable)?,
            Some(_) => {}
            None => {
                job.book.write(&stray)?;
                pages.records.insert(stray.op, stray);
            }
        }
    }
    Ok(())
}

/// A record made from what the environment of a process says.
pub(crate) fn record_of(found: &Found, job: &Job, routes: &Routes) -> Option<Record> {
    let env = |name: &str| found.environment.get(name);
    let op: OperationId = env(mark::OP)?.parse().ok()?;
    let listen: SocketAddr = env(mark::LISTEN)?.parse().ok()?;
    let served = job.stable.is_none_or(|stable| routes.routes.get(&stable) == Some(&listen));
    let lived = served && op != job.op;
    Some(Record {
        op,
        fence: env(mark::FENCE)?.parse().ok()?,
        label: env(mark::BUILD)?.parse().ok()?,
        build: env(mark::DIGEST)?.parse().ok()?,
        config: env(mark::CONFIG)?.parse().ok()?,
        listen,
        stable: job.stable,
        argv: Vec::new(),
        log: job.book.log_of(op),
        drain: job.recipe.drain,
        phase: if lived { Phase::Done } else { Phase::Starting },
        began: uptime().ok()?,
        boot: found.identity.boot.clone(),
        process: Some(found.identity.clone()),
        started: Some(started_at(found.identity.start)),
        starts: env(mark::START)?.parse().ok()?,
        restarts: 0,
        lived,
        verdict: None,
        blameless: false,
        failure: None,
        retired: None,
        terminated: None,
    })
}

/// Ticks after boot as an instant. Linux counts 100 of them a second on every architecture that we run on.
fn started_at(ticks: u64) -> At {
    let since_boot = Span::millis(i64::try_from(ticks).unwrap_or(0).saturating_mul(10));
    let up = uptime().unwrap_or_default();
    now() - Span(up.0.saturating_sub(since_boot.0).max(0))
}

/// What is on disk, or, where that was lost, in the process table.
pub(crate) fn pages(job: &Job, routes: &Routes) -> Result<Option<Pages>, DriverError> {
    if let Some(pages) = Book::read(&job.book)? {
        return Ok(Some(pages));
    }
    let strays = marked_processes(job, Members::Leader)?;
    let records: std::collections::BTreeMap<_, _> = strays.iter().filter_map(|f| record_of(f, job, routes)).map(|r| (r.op, r)).collect();
    if records.is_empty() {
        return Ok(None);
    }
    let serving = records.values().find(|r| r.lived).map(|r| r.op);
    Ok(Some(Pages { current: Current { fence: 0, wanted: None, serving }, records }))
}
