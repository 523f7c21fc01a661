//! Benchmarks: builds once, runs each program of the list alone, and writes what they print beside the machine, the
//! versions, the load and the noise of the moment.
//!
//! A benchmark is a program of the workspace that prints its result, a Markdown table if it can, and ends with zero.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::machine::{self, Load, Noise};
use crate::report::{Report, as_markdown};
use crate::step::{self, Outcome, Step, seconds};
use crate::workspace::{cargo, root, shown, target_directory};

struct Bench {
    name: &'static str,
    title: &'static str,
    /// Below the directory of the release build: `greenroom`, `examples/append`.
    program: &'static str,
    args: &'static [&'static str],
}

/// In the order in which they run.
const BENCHES: &[Bench] = &[Bench { name: "ledger", title: "Ledger: append, replay, verify", program: "examples/append", args: &[] }];

pub fn run(names: &[&str]) -> Result<bool> {
    let ended = step::run_all(vec![Step::new("bench", || outcome(names))]);
    println!("{}", step::summary(&ended));
    Ok(step::all_passed(&ended))
}

/// Builds, runs those named (all, if none is), writes the report.
pub fn outcome(names: &[&str]) -> Result<Outcome> {
    let chosen = chosen(names)?;
    let built = build()?;
    if built != Outcome::Passed {
        return Ok(built);
    }
    let (report, target) = (Report::new("benchmarks")?, target_directory()?);
    let (before, noise) = (Load::now(), Noise::measure(&target));
    let (mut sections, mut failed) = (String::new(), Vec::new());
    for bench in chosen {
        let (text, passed) = measure(bench, &target.join("release"))?;
        sections.push_str(&text);
        if !passed {
            failed.push(bench.name);
        }
    }
    let text = format!(
        "# Benchmarks of {}\n\n| | |\n|---|---|\n| Commit | {} |\n{}| Noise of others | {} |\n{}\n{}",
        report.date,
        report.commit,
        machine::description(&target),
        before.until(Load::now()),
        noise.rows(),
        sections.trim_end_matches('\n')
    );
    let path = report.write(&format!("{text}\n"))?;
    println!("wrote {}", path.display());
    Ok(if failed.is_empty() { Outcome::Passed } else { Outcome::Failed(format!("{} did not end well", failed.join(", "))) })
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Bench>> {
    if let Some(name) = names.iter().find(|name| BENCHES.iter().all(|bench| bench.name != **name)) {
        let all: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!("`{name}` is not a benchmark: they are {}", all.join(", "));
    }
    Ok(BENCHES.iter().filter(|bench| names.is_empty() || names.contains(&bench.name)).collect())
}

/// The very build that the tests use: other packages or features would compile the world once more.
pub fn build() -> Result<Outcome> {
    step::command(cargo().args(["build", "--release", "--locked", "--workspace", "--all-targets"]))
}

/// The section of one benchmark, and whether it ended well.
fn measure(bench: &Bench, built: &Path) -> Result<(String, bool)> {
    println!("\n{}", bench.title);
    let mut command = Command::new(built.join(bench.program));
    command.args(bench.args).current_dir(root());
    let (before, began) = (Load::now(), Instant::now());
    let (outcome, _, printed, errors) = step::recorded(&mut command)?;
    let took = began.elapsed();
    let mut text = format!("\n## {}\n\n`{}`, {}, {}\n\n", bench.title, shown(&command), seconds(took), before.until(Load::now()));
    text.push_str(&as_markdown(&printed));
    if let Outcome::Failed(why) = &outcome {
        let _ = write!(text, "\n**Failed**: {why}\n\n{}", as_markdown(&errors));
    }
    Ok((text, outcome == Outcome::Passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run_unless_some_are_named() {
        assert_eq!(chosen(&[]).unwrap().len(), BENCHES.len());
        assert_eq!(chosen(&["ledger"]).unwrap().len(), 1);
        assert!(chosen(&["lodger"]).err().unwrap().to_string().contains("they are ledger"));
    }

    #[test]
    fn names_are_unique() {
        for (index, bench) in BENCHES.iter().enumerate() {
            assert!(BENCHES[..index].iter().all(|other| other.name != bench.name), "{}", bench.name);
        }
    }
}
