//! Benchmarks: builds once, runs each program of the list alone, and writes what they print beside the machine, the
//! versions, the load and the noise of the moment.
//!
//! A benchmark is a program of the workspace that prints its result, a Markdown table if it can, and ends with zero. What
//! compiles other people's engines is a workspace of its own, so that only those who measure compile them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::machine::{self, Load, Noise};
use crate::report::{Report, as_markdown};
use crate::step::{self, Outcome, Step, seconds};
use crate::workspace::{cargo, root, shown, target_directory};

struct Bench {
    name: &'static str,
    title: &'static str,
    /// The target that cargo builds it from: `bench` or `example` of a package, or `bin` of a workspace of its own.
    kind: &'static str,
    package: &'static str,
    target: &'static str,
    args: &'static [&'static str],
}

/// The folder of a workspace of its own.
const PEERS: &str = "crates/exposure/benches/peers";

/// In the order in which they run. A name chooses also those which begin with it and a dash.
const BENCHES: &[Bench] = &[
    Bench { name: "exposure", title: "Exposure: one answer, one compile, one change", kind: "bench", package: "greenroom-exposure", target: "exposure", args: &[] },
    Bench { name: "exposure-peers", title: "Exposure: beside its peers and its floor", kind: "bin", package: PEERS, target: "peers", args: &[] },
    Bench { name: "ledger", title: "Ledger: append, replay, verify", kind: "example", package: "greenroom-ledger", target: "append", args: &[] },
    Bench { name: "delivery", title: "Delivery: answers and streams over HTTP beside their floors", kind: "bench", package: "greenroom-delivery", target: "delivery", args: &[] },
    Bench { name: "sdk", title: "SDK: through OpenFeature, beside the same with a map", kind: "bench", package: "greenroom-sdk", target: "sdk", args: &[] },
    Bench { name: "server", title: "Server: commands, board, answers and start-up over HTTP", kind: "bench", package: "greenroom-server", target: "server", args: &[] },
];

/// A program that cargo built: (kind, package, target) and where it lies.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    kind: String,
    manifest: String,
    target: String,
    path: PathBuf,
}

pub fn run(names: &[&str]) -> Result<bool> {
    let ended = step::run_all(vec![Step::new("bench", || outcome(names))]);
    println!("{}", step::summary(&ended));
    Ok(step::all_passed(&ended))
}

/// Builds, runs those named (all, if none is), writes the report.
pub fn outcome(names: &[&str]) -> Result<Outcome> {
    let chosen = chosen(names)?;
    let programs = match build(&chosen)? {
        Ok(programs) => programs,
        Err(failed) => return Ok(failed),
    };
    let (report, target) = (Report::new("benchmarks")?, target_directory()?);
    let edge = if chosen.iter().any(|bench| bench.name == "delivery") { edge(&target)? } else { None };
    let (before, noise) = (Load::now(), Noise::measure(&target));
    let (mut sections, mut failed) = (String::new(), Vec::new());
    for bench in chosen {
        let (text, passed) = measure(bench, &programs, edge.as_deref())?;
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
    Ok(BENCHES.iter().filter(|bench| names.is_empty() || names.iter().any(|name| bench.is_meant_by(name))).collect())
}

/// The very build that the tests use: other packages or features would compile the world once more. Then the workspaces of
/// those chosen that have their own. Gives the programs, or how building them failed.
fn build(chosen: &[&Bench]) -> Result<Result<Vec<Program>, Outcome>> {
    let mut ours = cargo();
    ours.args(["build", "--release", "--locked", "--workspace", "--all-targets"]);
    let mut commands = vec![ours];
    for bench in chosen.iter().filter(|bench| bench.kind == "bin") {
        let mut own = cargo();
        own.args(["build", "--release", "--locked", "--manifest-path"]).arg(root().join(bench.package).join("Cargo.toml"));
        own.arg("--target-dir").arg(target_directory()?.join(bench.name));
        commands.push(own);
    }
    let mut programs = Vec::new();
    for command in commands {
        match built(command)? {
            Ok(more) => programs.extend(more),
            Err(failed) => return Ok(Err(failed)),
        }
    }
    Ok(Ok(programs))
}

fn built(mut command: Command) -> Result<Result<Vec<Program>, Outcome>> {
    command.arg("--message-format=json-render-diagnostics");
    let what = shown(&command);
    println!("$ {what}");
    let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| format!("`{what}` does not start"))?;
    if !done.status.success() {
        return Ok(Err(Outcome::Failed(format!("`{what}` ends with {}", done.status))));
    }
    Ok(Ok(programs(&String::from_utf8_lossy(&done.stdout))))
}

/// The programs in what cargo says of a build, a line of JSON for each.
fn programs(messages: &str) -> Vec<Program> {
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|message| message["reason"] == "compiler-artifact");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    built
        .filter_map(|message| {
            let target = &message["target"];
            Some(Program {
                kind: text(&target["kind"][0])?,
                manifest: text(&message["manifest_path"])?,
                target: text(&target["name"])?,
                path: text(&message["executable"])?.into(),
            })
        })
        .collect()
}

impl Bench {
    fn program<'a>(&self, programs: &'a [Program]) -> Option<&'a Program> {
        // crates lie in folders named as they are, without what all their names begin with
        let manifest = format!("/{}/Cargo.toml", self.package.trim_start_matches("greenroom-"));
        programs.iter().find(|program| program.kind == self.kind && program.target == self.target && program.manifest.ends_with(&manifest))
    }

    fn is_meant_by(&self, name: &str) -> bool {
        self.name == name || self.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    }

    /// As a person would run it alone.
    fn shown(&self) -> String {
        match self.kind {
            "bin" => format!("cargo run --release --locked --manifest-path {}/Cargo.toml", self.package),
            "bench" => format!("cargo bench --package {} --bench {}", self.package, self.target),
            _ => format!("cargo run --release --package {} --example {}", self.package, self.target),
        }
    }
}

/// Unleash Edge, the peer of the data plane: where `UNLEASH_EDGE` says, or installed beside our own builds. It is larger than all
/// of ours: the first time takes a quarter of an hour. `None` if that fails; the report then says that it was not measured.
fn edge(target: &Path) -> Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os("UNLEASH_EDGE") {
        return Ok(Some(given.into()));
    }
    let folder = target.join("peers");
    let mut install = cargo();
    install.args(["install", "--locked", "--no-default-features", "--version", "=20.1.0", "unleash-edge", "--root"]).arg(&folder);
    install.env_remove("CARGO_TARGET_DIR").current_dir(std::env::temp_dir());
    let installed = step::command(&mut install)?;
    Ok((installed == Outcome::Passed).then(|| folder.join("bin/unleash-edge")))
}

/// The section of one benchmark, and whether it ended well.
fn measure(bench: &Bench, programs: &[Program], edge: Option<&Path>) -> Result<(String, bool)> {
    println!("\n{}", bench.title);
    let program = bench.program(programs).with_context(|| format!("cargo built no {} `{}` of {}", bench.kind, bench.target, bench.package))?;
    let mut command = Command::new(&program.path);
    command.args(bench.args).current_dir(root());
    command.envs(edge.map(|edge| ("UNLEASH_EDGE", edge)));
    let (before, began) = (Load::now(), Instant::now());
    let (outcome, _, printed, errors) = step::recorded(&mut command)?;
    let took = began.elapsed();
    let mut text = format!("\n## {}\n\n`{}`, {}, {}\n\n", bench.title, bench.shown(), seconds(took), before.until(Load::now()));
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
        assert_eq!(chosen(&["exposure"]).unwrap().len(), 2);
        assert!(chosen(&["lodger"]).err().unwrap().to_string().contains("they are exposure, exposure-peers, ledger"));
    }

    #[test]
    fn programs_are_found_in_what_cargo_says() {
        let message = |kind: &str, name: &str, executable: &str| {
            format!(r#"{{"reason":"compiler-artifact","manifest_path":"/x/crates/server/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"executable":{executable}}}"#)
        };
        let said = [message("lib", "server", "null"), message("test", "server", r#""/t/deps/it-1""#), message("bench", "server", r#""/t/deps/server-2""#), "{".to_owned()];
        let all = programs(&said.join("\n"));
        let server = BENCHES.iter().find(|bench| bench.name == "server").unwrap();
        assert_eq!(server.program(&all).unwrap().path, PathBuf::from("/t/deps/server-2"));
        assert_eq!(BENCHES[0].program(&all), None);
    }

    #[test]
    fn every_benchmark_is_a_target_of_its_package() {
        for bench in BENCHES {
            if bench.kind == "bin" {
                assert!(root().join(bench.package).join("src/main.rs").exists(), "{}", bench.name);
                continue;
            }
            let folder = format!("crates/{}", bench.package.trim_start_matches("greenroom-"));
            let file = if bench.kind == "bench" { "benches" } else { "examples" };
            let forms = [format!("{}.rs", bench.target), format!("{}/main.rs", bench.target)];
            assert!(forms.iter().any(|form| root().join(format!("{folder}/{file}/{form}")).exists()), "{}", bench.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, bench) in BENCHES.iter().enumerate() {
            assert!(BENCHES[..index].iter().all(|other| other.name != bench.name), "{}", bench.name);
        }
    }
}
