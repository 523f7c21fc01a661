//! Released client libraries against our data plane, each in its own language.
//!
//! A suite is a folder `clients/PROTOCOL/NAME` with a `package.json`, a `requirements.txt` or a `Cargo.toml`; its programs are
//! `*.test.mjs`, `*_test.py` or `src/main.rs`. The tree is copied below the target directory and packages are installed there, so that
//! the checkout stays as it is. Every program gets a data plane of its own, started from `clients/PROTOCOL/model.json`
//! and described to it by the environment variables `PLANE` and `PLANE_MODEL`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::step::{self, Outcome};
use crate::workspace::{cargo, files, root, target_directory};

/// Seconds that a program may take; the longest uses half a minute of processor time.
const PATIENCE: &str = "900";

/// One client library, or several that can be installed together.
struct Suite {
    /// `PROTOCOL/NAME`.
    name: String,
    language: Language,
    /// File names of its programs.
    programs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    JavaScript,
    Python,
    Rust,
}

impl Language {
    const ALL: [Self; 3] = [Self::JavaScript, Self::Python, Self::Rust];

    const fn packages(self) -> &'static str {
        match self {
            Self::JavaScript => "package.json",
            Self::Python => "requirements.txt",
            Self::Rust => "Cargo.toml",
        }
    }

    /// The file that fixes every version.
    const fn lock(self) -> &'static str {
        match self {
            Self::JavaScript => "package-lock.json",
            Self::Python => "requirements.txt",
            Self::Rust => "Cargo.lock",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::JavaScript => ".test.mjs",
            Self::Python => "_test.py",
            Self::Rust => "src/main.rs",
        }
    }

    /// Whether a file of this name, within the suite, is one of its programs.
    fn runs(self, name: &str) -> bool {
        match self {
            Self::JavaScript | Self::Python => name.ends_with(self.ending()) && !name.contains('/'),
            Self::Rust => name == self.ending(),
        }
    }
}

/// Runs all suites, also after one has failed, and says how each program ended.
pub fn run() -> Result<Outcome> {
    let suites = suites(&files()?)?;
    // the features of the whole workspace, so that nothing is compiled anew
    let built = step::command(cargo().args(["build", "--release", "--locked", "--workspace", "--bin", "greenroom", "--example", "plane"]))?;
    if built != Outcome::Passed {
        return Ok(built);
    }
    let target = target_directory()?;
    let copy = target.join("clients");
    let mut verdicts = Vec::new();
    for suite in &suites {
        let folder = prepared(suite, &copy)?;
        for program in &suite.programs {
            println!("\n{} {program}", suite.name);
            let outcome = tried(suite.language, program, &folder, &copy, &target).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
            verdicts.push((format!("{} {program}", suite.name), outcome));
        }
    }
    println!();
    let mut failed = Vec::new();
    for (name, outcome) in verdicts {
        println!("{:>8}  {name}", if outcome == Outcome::Passed { "passed" } else { "FAILED" });
        if let Outcome::Failed(why) | Outcome::Skipped(why) = outcome {
            failed.push(format!("{name}: {why}"));
        }
    }
    Ok(if failed.is_empty() { Outcome::Passed } else { Outcome::Failed(failed.join("; ")) })
}

/// A folder below `clients` that no suite takes up would be tests that never run.
fn suites(files: &[String]) -> Result<Vec<Suite>> {
    let mut suites: Vec<Suite> = Vec::new();
    for language in Language::ALL {
        for folder in files.iter().filter_map(|path| path.strip_prefix("clients/")?.strip_suffix(language.packages())?.strip_suffix('/')) {
            let prefix = format!("clients/{folder}/");
            let inside = || files.iter().filter_map(|path| path.strip_prefix(&prefix));
            let programs: Vec<String> = inside().filter(|name| language.runs(name)).map(ToOwned::to_owned).collect();
            if programs.is_empty() || !inside().any(|name| name == language.lock()) {
                bail!("`{prefix}` needs a `{}` and at least one `*{}`", language.lock(), language.ending());
            }
            suites.push(Suite { name: folder.to_owned(), language, programs });
        }
    }
    let lost = files.iter().find(|path| {
        let ours = |suite: &Suite| path.starts_with(&format!("clients/{}/", suite.name));
        path.starts_with("clients/") && Language::ALL.iter().any(|language| path.ends_with(language.ending())) && !suites.iter().any(ours)
    });
    if let Some(path) = lost {
        bail!("`{path}` belongs to no suite: a suite has a `package.json`, a `requirements.txt` or a `Cargo.toml`");
    }
    if suites.is_empty() {
        bail!("there are no suites below `clients`");
    }
    suites.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(suites)
}

/// Brings the copy up to date and installs what the suite's lock file says, if that has changed.
fn prepared(suite: &Suite, copy: &Path) -> Result<PathBuf> {
    for path in files()?.iter().filter_map(|path| path.strip_prefix("clients/")) {
        let to = copy.join(path);
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        fs::copy(root().join("clients").join(path), &to).with_context(|| format!("`clients/{path}` cannot be copied"))?;
    }
    let folder = copy.join(&suite.name);
    let (lock, installed) = (fs::read(folder.join(suite.language.lock()))?, folder.join(".installed"));
    // cargo knows better than its lock file what is to be done anew
    if suite.language != Language::Rust && fs::read(&installed).is_ok_and(|before| before == lock) {
        return Ok(folder);
    }
    match suite.language {
        Language::JavaScript => must(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?,
        Language::Python => {
            must(Command::new("python3").args(["-m", "venv", "--clear", ".venv"]).current_dir(&folder))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"];
            must(Command::new(folder.join(".venv/bin/python")).args(pip).current_dir(&folder))?;
        }
        Language::Rust => must(cargo().args(["build", "--locked", "--target-dir", "target"]).current_dir(&folder))?,
    }
    fs::write(installed, lock)?;
    Ok(folder)
}

fn must(command: &mut Command) -> Result<()> {
    match step::command(command)? {
        Outcome::Passed => Ok(()),
        Outcome::Failed(why) | Outcome::Skipped(why) => bail!(why),
    }
}

/// One program against a data plane of its own. `target`: where it was built, and the whole program beside it.
fn tried(language: Language, program: &str, folder: &Path, copy: &Path, target: &Path) -> Result<Outcome> {
    let model = folder.parent().unwrap_or(folder).join("model.json");
    let plane = Plane::start(&target.join("release/examples/plane"), &model)?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", PATIENCE]).current_dir(folder);
    match language {
        Language::JavaScript => command.args(["node", program]),
        Language::Python => command.arg(folder.join(".venv/bin/python")).arg(program),
        Language::Rust => command.arg(folder.join("target/debug/suite")),
    };
    // what the programs share stands at the root of the tree
    command.env("PLANE", &plane.described).env("PLANE_MODEL", &model).env("GREENROOM", target.join("release/greenroom")).env("PYTHONPATH", copy);
    step::command(&mut command)
}

/// A running data plane; it ends with this value, and with us should we be killed.
struct Plane {
    process: Child,
    described: String,
}

impl Plane {
    fn start(program: &Path, model: &Path) -> Result<Self> {
        let mut process = Command::new(program).arg(model).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the data plane does not start")?;
        let mut described = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut described)?;
        }
        let plane = Self { process, described };
        if plane.described.is_empty() {
            bail!("the data plane ended before it was up");
        }
        Ok(plane)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Result<Vec<Suite>> {
        suites(&files.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn suites_are_found_and_nothing_is_lost() {
        let python = ["clients/ofrep/python/a_test.py", "clients/ofrep/python/requirements.txt"];
        let node = ["clients/ofrep/node/a.test.mjs", "clients/ofrep/node/b.test.mjs", "clients/ofrep/node/package.json", "clients/ofrep/node/package-lock.json"];
        let rust = ["clients/ofrep/rust/Cargo.lock", "clients/ofrep/rust/Cargo.toml", "clients/ofrep/rust/src/main.rs"];
        let suites = found(&[&python[..], &node[..], &rust[..], &["clients/plane.mjs", "web/package.json"][..]].concat()).unwrap();
        let named: Vec<(&str, usize)> = suites.iter().map(|suite| (suite.name.as_str(), suite.programs.len())).collect();
        assert_eq!(named, [("ofrep/node", 2), ("ofrep/python", 1), ("ofrep/rust", 1)]);
        for wrong in [&node[..3], &python[1..], &rust[..2], &rust[1..], &[python[0], node[0], node[2], node[3]], &[]] {
            assert!(found(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_documentation_shows_what_the_suites_run() {
        let text = fs::read_to_string(root().join("docs/clients.md")).unwrap();
        let shown: Vec<(&str, &str)> = text
            .split("from `clients/")
            .skip(1)
            .filter_map(|rest| {
                let (path, rest) = rest.split_once("`:")?;
                Some((path, rest.split_once("```")?.1.split_once('\n')?.1.split_once("```")?.0))
            })
            .collect();
        assert_eq!(shown.len(), 7);
        for (path, code) in shown {
            assert_eq!(fs::read_to_string(root().join("clients").join(path)).unwrap(), code, "{path}");
        }
    }

    #[test]
    fn the_suites_of_this_checkout_are_whole() {
        assert!(suites(&files().unwrap()).unwrap().iter().any(|suite| suite.language == Language::JavaScript));
    }
}
