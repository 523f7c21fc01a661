//! The chores of Greenroom: what CI runs, what keeps the layout from rotting, the longer proofs, the benchmarks.
//!
//! It must stay small: it is compiled before anything else, and nothing of Greenroom is linked into it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that reports")]

mod bench;
mod clients;
mod full;
mod machine;
mod picture;
mod report;
mod step;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  test [--only STEP]     everything CI runs, in order; STEP is one of tools fmt tidy clippy nextest clients doc deny
  tidy                   the invariants of the layout, read from the manifests and the sources
  full [--rounds N]      the longer proofs: kill matrix (N times, default 5), properties, benchmarks; writes docs/reliability/
  bench [NAME…]          the benchmarks, all or those named; writes docs/benchmarks/
  picture                draws docs/demo.svg from the recording docs/demo.txt
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything held; an error means that the question could not be asked.
fn run(words: &[&str]) -> Result<bool> {
    match words {
        ["test"] => test::run(None),
        ["test", "--only", step] => test::run(Some(step)),
        ["tidy"] => tidy::run(),
        ["full"] => full::run(5),
        ["full", "--rounds", rounds] => match rounds.parse() {
            Ok(rounds @ 1..) => full::run(rounds),
            _ => bail!("`{rounds}` is not a number of rounds, 1 or more"),
        },
        ["bench", names @ ..] => bench::run(names),
        ["picture"] => picture::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        _ => bail!("`{}` is not a chore of mine\n\n{HELP}", words.join(" ")),
    }
}
