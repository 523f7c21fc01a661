//! Before and after: ports that are free, a directory that is empty, and nothing left that runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use greenroom_drivers::proxy;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::ENVIRONMENTS;

/// What was asked to end may take this long.
pub const GRACE: Duration = Duration::from_secs(5);

/// Asks a process to end.
pub fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Runs, and is not dead and waiting for its parent to notice.
pub fn alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Ends what runs programs from below `dir`, and the proxies, and waits until they are gone.
pub async fn stop_all(dir: &Path) -> Result<()> {
    // as the system names what runs
    let dir = fs::canonicalize(dir)?;
    let started = Instant::now();
    loop {
        let running = running(&dir);
        if running.is_empty() {
            break;
        }
        // who does not listen is not waited for
        let signal = if started.elapsed() < GRACE { Signal::TERM } else { Signal::KILL };
        for pid in running {
            let _ = kill_process(pid, signal);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for environment in ENVIRONMENTS {
        proxy::stop(&dir.join("data/run").join(environment)).await.with_context(|| format!("the proxy of {environment} could not be stopped"))?;
    }
    Ok(())
}

/// Processes that run a program from below `dir`: services, and checks under way.
fn running(dir: &Path) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = all.filter(|process| fs::read_link(process.path().join("exe")).is_ok_and(|program| program.starts_with(dir)));
    ours.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
}

/// Ports of the shop's services, as [`super::stage::Stage::endpoint`] has them.
pub fn service_ports(first: u16) -> impl Iterator<Item = u16> {
    (1..=5).flat_map(move |row| (1..=2).map(move |column| first.saturating_add(row * 10 + column)))
}

/// Nobody listens there.
pub fn port(port: u16) -> Result<()> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("something listens on 127.0.0.1:{port} already, perhaps another demo or what one left behind: stop it, or choose other ports with --port")
        }
        Err(error) => Err(error).with_context(|| format!("127.0.0.1:{port} cannot be listened on: choose other ports with --port")),
    }
}

/// An empty directory, of ours if there was one before.
pub async fn dir(dir: &Path) -> Result<()> {
    let mark = dir.join(".greenroom-demo");
    if dir.exists() {
        let ours = mark.exists() || fs::read_dir(dir)?.next().is_none();
        ensure!(ours, "`{}` holds something else than a demo: choose another with --dir", dir.display());
        stop_all(dir).await?;
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    fs::write(mark, "")?;
    Ok(())
}
