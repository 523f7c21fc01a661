//! Everything CI runs.
//!
//! One profile for all of it, `release`: the world is compiled once, and what is tested is what people run. Clippy
//! checks in the same profile because it then shares build scripts, their output and macros with the build.

use std::fs;

use anyhow::{Result, bail};

use crate::clients;
use crate::step::{self, Outcome, Step};
use crate::tidy;
use crate::tools::{CC, CLIPPY, DENY, GIT, NEXTEST, NODE, NPM, RUSTFMT, Tool, VENV};
use crate::workspace::{cargo, files, root};

struct Check {
    name: &'static str,
    needs: &'static [&'static Tool],
    run: fn() -> Result<Outcome>,
}

const CHECKS: &[Check] = &[
    Check { name: "tools", needs: &[&GIT, &CC, &RUSTFMT, &CLIPPY, &NEXTEST], run: fetch },
    Check { name: "fmt", needs: &[&RUSTFMT], run: || cargo_step(&["fmt", "--all", "--check"]) },
    Check { name: "tidy", needs: &[&GIT], run: tidy },
    Check {
        name: "clippy",
        needs: &[&CC, &CLIPPY],
        run: || cargo_step(&["clippy", "--release", "--locked", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"]),
    },
    Check { name: "nextest", needs: &[&CC, &NEXTEST, &NPM], run: || cargo_step(&["nextest", "run", "--release", "--locked", "--workspace"]) },
    Check { name: "clients", needs: &[&CC, &NODE, &NPM, &VENV], run: clients::run },
    Check { name: "doc", needs: &[&CC], run: doc },
    Check { name: "deny", needs: &[], run: deny },
];

pub fn run(only: Option<&str>) -> Result<bool> {
    let chosen: Vec<&Check> = CHECKS.iter().filter(|check| only.is_none_or(|name| name == check.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("`{}` is not a step: they are {}", only.unwrap_or_default(), names.join(", "));
    }
    let steps = chosen.into_iter().map(|check| Step::new(check.name, || with_tools(check))).collect();
    let ended = step::run_all(steps);
    println!("{}", step::summary(&ended));
    Ok(step::all_passed(&ended))
}

/// All that is missing is named at once.
fn with_tools(check: &Check) -> Result<Outcome> {
    let missing: Vec<String> = check.needs.iter().filter_map(|tool| tool.ensure().err()).map(|error| format!("{error:#}")).collect();
    if missing.is_empty() { (check.run)() } else { Ok(Outcome::Failed(missing.join("; "))) }
}

fn cargo_step(args: &[&str]) -> Result<Outcome> {
    step::command(cargo().args(args))
}

/// From here on the network is not needed.
fn fetch() -> Result<Outcome> {
    cargo_step(&["fetch", "--locked"])
}

fn tidy() -> Result<Outcome> {
    Ok(if tidy::run()? { Outcome::Passed } else { Outcome::Failed("the findings stand above".to_owned()) })
}

/// Compiling the examples in documentation costs a link each: only where there are any.
fn doc() -> Result<Outcome> {
    let sources = files()?.into_iter().filter(|path| path.starts_with("crates/") && path.ends_with(".rs"));
    // a file that is deleted and not yet committed is still listed
    let any = sources.into_iter().any(|path| fs::read_to_string(root().join(path)).is_ok_and(|text| has_example(&text)));
    if any {
        return cargo_step(&["test", "--doc", "--release", "--locked", "--workspace"]);
    }
    println!("no documentation holds an example to compile");
    Ok(Outcome::Passed)
}

/// A fenced block in a doc comment that rustdoc would compile.
fn has_example(source: &str) -> bool {
    let mut open = false;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            open = false;
            continue;
        };
        let Some(info) = doc.trim().strip_prefix("```") else { continue };
        if !open && info.split([',', ' ']).all(|word| ["", "rust", "no_run", "should_panic", "compile_fail"].contains(&word) || word.starts_with("edition")) {
            return true;
        }
        open = !open;
    }
    false
}

/// cargo-deny is installed only if the network allows: tidy checks the bans that matter most without it.
fn deny() -> Result<Outcome> {
    if let Err(error) = DENY.ensure() {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    cargo_step(&["deny", "--offline", "--locked", "check", "licenses", "bans", "sources"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_compiled_examples_count() {
        assert!(has_example("/// ```\n/// let x = 1;\n/// ```\n"));
        assert!(has_example("    //! ```rust,no_run\n"));
        assert!(!has_example("/// ```text\n/// a picture\n/// ```\nfn f() {}\n"));
        assert!(!has_example("/// ```json\n/// {}\n/// ```\n/// and more\n"));
        assert!(!has_example("let s = \"```\";\n"));
    }

    #[test]
    fn step_names_are_unique_and_in_the_help() {
        for (index, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..index].iter().all(|other| other.name != check.name));
            assert!(crate::HELP.contains(check.name), "{}", check.name);
        }
    }
}
