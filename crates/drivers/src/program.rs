//! Programs: those that outlive us, started and watched, and those whose end is waited for.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::table::{self, Identity};

/// How often a program is tried to be started that is still open for writing, and the pause between.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Tries again while the program is still open for writing. An artifact that was written a moment ago is so in every child
/// that was forked meanwhile by another thread, until that child has come to its own program.
fn unless_busy<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..BUSY_TRIES {
        match start() {
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(BUSY_PAUSE),
            other => return other,
        }
    }
    start()
}

const BASIC: [&str; 9] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE"];

/// What a program gets of the control plane's own environment, which may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherit {
    /// Where programs and the user's files are, language and time zone: for services.
    Basics,
    /// Everything but our own settings: for programs that reach for the infrastructure with the user's credentials.
    NotOurs,
}

impl Inherit {
    fn variables(self) -> Vec<(OsString, OsString)> {
        let passes = |name: &OsString| match (self, name.to_str()) {
            (Self::Basics, name) => name.is_some_and(|n| BASIC.contains(&n)),
            (Self::NotOurs, name) => !name.is_some_and(|n| n.starts_with("GREENROOM_")),
        };
        std::env::vars_os().filter(|(name, _)| passes(name)).collect()
    }
}

/// How the processes ended that were started by this control plane; those of an earlier one are not ours to wait for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Children {
    ends: Arc<Mutex<HashMap<Identity, Option<ExitStatus>>>>,
}

/// What to start.
pub(crate) struct Program<'a> {
    pub argv: &'a [String],
    pub inherit: Inherit,
    pub environment: &'a BTreeMap<String, String>,
    pub dir: &'a Path,
    pub log: &'a Path,
}

impl Program<'_> {
    fn spawn(&self) -> io::Result<Child> {
        let (name, rest) = self.argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
        let log: File = OpenOptions::new().create(true).append(true).open(self.log)?;
        Command::new(name)
            .args(rest)
            .env_clear()
            .envs(self.inherit.variables())
            .envs(self.environment)
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
    }

    /// Runs to the end, or kills its whole group when `patience` is over (`None`) or the future is dropped.
    pub(crate) async fn run(&self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let mut child = self.spawn()?;
        let mut group = KillOnDrop(child.id().map(table::identify_any).transpose()?.flatten());
        let ended = tokio::time::timeout(patience, child.wait()).await;
        match ended {
            Ok(status) => {
                // The leader is gone and with it the right to signal its group: what it left running is its own affair.
                group.0 = None;
                status.map(Some)
            }
            Err(_) => {
                drop(group);
                child.wait().await?;
                Ok(None)
            }
        }
    }
}

struct KillOnDrop(Option<Identity>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(leader) = &self.0
            && let Err(e) = table::signal(leader, Signal::KILL)
        {
            tracing::warn!(pid = leader.pid, error = %e, "cannot kill");
        }
    }
}

impl Children {
    /// Starts a process in a group of its own, so that what ends the control plane or its terminal does not reach it.
    /// Needs a runtime, which waits for the process so that it does not stay a zombie.
    pub(crate) fn start(&self, program: &Program<'_>) -> io::Result<Identity> {
        let mut child = unless_busy(|| program.spawn())?;
        let pid = child.id().ok_or_else(|| io::Error::other("ended at once"))?;
        // It cannot have been waited for yet, so the number is still its own, be it a zombie's.
        let identity = table::identify_any(pid)?.ok_or_else(|| io::Error::other("ended at once"))?;
        self.note(&identity, None);
        let (children, key) = (self.clone(), identity.clone());
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                children.note(&key, Some(status));
            }
        });
        Ok(identity)
    }

    fn note(&self, identity: &Identity, status: Option<ExitStatus>) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() > 1_000 {
            ends.retain(|_, status| status.is_none());
        }
        ends.insert(identity.clone(), status);
    }

    /// How a dead process ended, in words. Blocks the thread for the moment between its death and our hearing of it.
    pub(crate) fn end_of(&self, identity: &Identity) -> String {
        let patience = Instant::now() + Duration::from_millis(500);
        loop {
            let end = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(identity).copied();
            match end {
                None => return "exited".into(),
                Some(Some(status)) => return describe(status),
                Some(None) if Instant::now() > patience => return "exited".into(),
                Some(None) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

/// `exited with status 3`, `was killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_open_for_writing_is_started_once_it_is_not() {
        let dir = std::env::temp_dir().join(format!("greenroom-busy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let program = dir.join("true");
        std::fs::copy("/bin/true", &program).unwrap();
        let mut open = Some(OpenOptions::new().append(true).open(&program).unwrap());
        let mut tries = 0;
        let status = unless_busy(|| {
            tries += 1;
            if tries == 3 {
                open = None;
            }
            std::process::Command::new(&program).status()
        });
        assert!(status.unwrap().success());
        assert_eq!(tries, 3);
        std::fs::remove_dir_all(&dir).unwrap();
        let gone = unless_busy(|| std::process::Command::new(&program).status());
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::NotFound, "anything else is said at once");
    }
}
