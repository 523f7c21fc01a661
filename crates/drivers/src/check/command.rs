//! A program of the user's: its exit status decides, or the JUnit file that it was asked to write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use greenroom_domain::deployment::check::{CheckSpec, CommandCheck, Outcome};

use super::junit::Counts;
use super::{CheckContext, Found, JUNIT, TEXT};
use crate::disk::tail;
use crate::program::{Inherit, Program, describe};

const OUTPUT_KEPT: u64 = 64 << 10;
/// As large as an evidence blob may be.
const JUNIT_LIMIT: u64 = 16 << 20;

pub(super) async fn run(spec: &CheckSpec, check: &CommandCheck, ctx: &CheckContext) -> Found {
    let work = match Work::new(&ctx.work, spec.name.as_str()) {
        Ok(work) => work,
        Err(e) => return Found::error(format!("cannot make a directory in `{}`: {e}", ctx.work.display())),
    };
    let words = ctx.words().with("work", work.dir.display());
    let expanded = words.expand_argv(&check.argv).and_then(|argv| Ok((argv, check.junit.as_ref().map(|j| words.expand(j)).transpose()?)));
    let (argv, junit) = match expanded {
        Ok(expanded) => expanded,
        Err(e) => return Found::error(e.to_string()),
    };
    let mut environment = std::collections::BTreeMap::from([
        ("GREENROOM_BUILD".to_owned(), ctx.label.to_string()),
        ("GREENROOM_DIGEST".to_owned(), ctx.digest.to_string()),
        ("GREENROOM_CHECK".to_owned(), spec.name.to_string()),
    ]);
    if let Some(op) = ctx.op {
        environment.insert("GREENROOM_OP".to_owned(), op.to_string());
    }
    let log = work.dir.join(".output");
    let program = Program { argv: &argv, inherit: Inherit::NotOurs, environment: &environment, dir: &work.dir, log: &log };
    let ended = program.run(spec.timeout.as_std()).await;
    let junit = junit.map(|path| work.dir.join(path));
    let mut found = match &ended {
        Err(e) => Found::error(format!("cannot run `{}`: {e}", argv.first().map_or("", String::as_str))),
        Ok(None) => Found::error(format!("did not end within {}", spec.timeout)),
        Ok(Some(status)) => {
            // A runner that was killed or gave up may have left a file that looks good.
            let understood = matches!(status.code(), Some(0 | 1));
            match (&junit, status.code()) {
                // What it said is evidence, which is kept and erased apart from the ledger.
                _ if !understood => Found::error(describe(*status)),
                (Some(path), _) => match read_junit(path) {
                    Ok(counts) => Found::new(counts.outcome(), counts.to_string()),
                    Err(why) => Found::error(format!("{why}; the program {}", describe(*status))),
                },
                (None, Some(0)) => Found::new(Outcome::Pass, describe(*status)),
                (None, _) => Found::new(Outcome::Fail, describe(*status)),
            }
        }
    };
    if let Some(bytes) = junit.and_then(|path| fs::read(path).ok()).filter(|b| b.len() as u64 <= JUNIT_LIMIT) {
        found.evidence.push((JUNIT, bytes));
    }
    if let Ok(output) = tail(&log, OUTPUT_KEPT)
        && !output.is_empty()
    {
        found.evidence.push((TEXT, output));
    }
    found
}

fn read_junit(path: &Path) -> Result<Counts, String> {
    let size = fs::metadata(path).map_err(|e| format!("no JUnit file `{}`: {e}", path.display()))?.len();
    if size > JUNIT_LIMIT {
        return Err(format!("the JUnit file is larger than {} MiB", JUNIT_LIMIT >> 20));
    }
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read the JUnit file: {e}"))?;
    Counts::parse(&text).map_err(|e| format!("cannot understand the JUnit file: {e}"))
}

/// A fresh directory, removed when the check is over.
struct Work {
    dir: PathBuf,
}

impl Work {
    fn new(parent: &Path, name: &str) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(parent)?;
        let parent = std::path::absolute(parent)?;
        let dir = parent.join(format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        // Left over from an earlier process that had our number and was killed.
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir(&dir)?;
        Ok(Self { dir })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), error = %e, "cannot remove a check's directory");
        }
    }
}
