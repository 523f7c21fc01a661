//! The longer proofs, too long for every change: run before a version, or by night.
//!
//! Which tests are which is said by the names of modules: `kill_matrix` ends the real program at every failpoint and
//! looks at what it finds again; every `proptest!` takes the number of its cases from the environment.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use crate::bench;
use crate::machine::{self, Load};
use crate::report::{Report, without_colour};
use crate::step::{self, Ended, Outcome, Step, seconds};
use crate::tools::NEXTEST;
use crate::workspace::{cargo, shown, target_directory};

const CASES: &str = "20000";
const KILL_MATRIX: &str = "test(/(^|::)kill_matrix(::|$)/)";
/// The crates whose rules are stated as properties; the other tests of these crates are quick.
const PROPERTIES: &str = "package(greenroom-exposure) + package(greenroom-domain) + package(greenroom-ledger)";

pub fn run(rounds: u32) -> Result<bool> {
    NEXTEST.ensure()?;
    let (report, before) = (Report::new("reliability")?, Load::now());
    // what each step counted, in their order
    let counted = RefCell::new(Vec::new());
    let proof = |mut command: Command| {
        // first the place, so that a proof that does not even start keeps its row
        counted.borrow_mut().push((shown(&command), String::new()));
        let (outcome, line) = tests(&mut command)?;
        if let Some(last) = counted.borrow_mut().last_mut() {
            last.1 = line;
        }
        Ok(outcome)
    };
    let mut steps = Vec::new();
    for round in 1..=rounds {
        steps.push(Step::new(format!("kill matrix, round {round} of {rounds}"), || proof(nextest(KILL_MATRIX))));
    }
    steps.push(Step::new(format!("properties, {CASES} cases each"), || {
        let mut command = nextest(PROPERTIES);
        command.env("PROPTEST_CASES", CASES);
        proof(command)
    }));
    steps.push(Step::new("benchmarks", || {
        counted.borrow_mut().push(("cargo xtask bench".to_owned(), "see docs/benchmarks".to_owned()));
        bench::outcome(&[])
    }));
    let ended = step::run_all(steps);
    let mut text = format!("# Longer proofs of {}\n\n| | |\n|---|---|\n| Commit | {} |\n", report.date, report.commit);
    let _ = writeln!(text, "{}| Noise of others | {} |\n", machine::description(&target_directory()?), before.until(Load::now()));
    text.push_str(&table(&ended, &counted.borrow()));
    println!("{}\nwrote {}", step::summary(&ended), report.write(&text)?.display());
    Ok(step::all_passed(&ended))
}

/// The profile gives long tests their time; the whole workspace is selected so that nothing is compiled anew.
fn nextest(tests: &str) -> Command {
    let mut command = cargo();
    command.args(["nextest", "run", "--release", "--locked", "--workspace", "--profile", "full", "-E", tests]);
    command
}

/// The outcome, and the line in which nextest counts.
fn tests(command: &mut Command) -> Result<(Outcome, String)> {
    const NO_TESTS_RUN: i32 = 4;
    let (mut outcome, code, _, errors) = step::recorded(command)?;
    if code == Some(NO_TESTS_RUN) {
        outcome = Outcome::Failed("no test has such a name: nothing was proven".to_owned());
    }
    Ok((outcome, counted(&errors)))
}

fn counted(errors: &str) -> String {
    let plain = without_colour(errors);
    plain.lines().rev().find_map(|line| line.trim_start().strip_prefix("Summary ")).map_or_else(|| "nothing counted".to_owned(), |line| line.trim().to_owned())
}

fn table(ended: &[Ended], counted: &[(String, String)]) -> String {
    let mut text = String::from("| Proof | Outcome | Time | Counted | Command |\n|---|---|---|---|---|\n");
    for (index, Ended { name, outcome, took }) in ended.iter().enumerate() {
        let outcome = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(why) => format!("**failed**: {}", cell(why)),
            Outcome::Skipped(why) => format!("skipped: {}", cell(why)),
        };
        let (command, line) = counted.get(index).map_or(("", ""), |(command, line)| (command, line));
        let _ = writeln!(text, "| {name} | {outcome} | {} | {} | `{}` |", seconds(*took), cell(line), cell(command));
    }
    text
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_count_is_found_in_what_nextest_says() {
        let said = "    PASS [  0.01s] a b\n\u{1b}[1m------\u{1b}[0m\n     \u{1b}[32mSummary\u{1b}[0m [   0.5s] 3 tests run: 3 passed, 10 skipped\n";
        assert_eq!(counted(said), "[   0.5s] 3 tests run: 3 passed, 10 skipped");
        assert_eq!(counted("error: no tests to run\n"), "nothing counted");
    }

    #[test]
    fn a_table_keeps_its_columns() {
        let ended = [Ended { name: "kill".to_owned(), outcome: Outcome::Failed("a|b\nc".to_owned()), took: Duration::from_secs(61) }];
        let text = table(&ended, &[("x 'y|z'".to_owned(), "1 test".to_owned())]);
        assert!(text.ends_with("| kill | **failed**: a\\|b | 1:01 min | 1 test | `x 'y\\|z'` |\n"), "{text}");
    }
}
