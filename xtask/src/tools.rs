//! The programs the steps need: found, else installed, else named.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::step;
use crate::workspace::cargo;

/// A program and how one comes by it.
pub struct Tool {
    pub name: &'static str,
    /// Succeeds when the tool is there.
    probe: &'static [&'static str],
    from: From,
}

enum From {
    /// A package of Debian and its kin.
    Apt(&'static str),
    /// A crate that is a program: what stands behind `cargo install --locked`.
    Cargo(&'static [&'static str]),
    Rustup(&'static str),
}

pub const GIT: Tool = Tool { name: "git", probe: &["git", "--version"], from: From::Apt("git") };
/// SQLite is compiled from C.
pub const CC: Tool = Tool { name: "a C compiler", probe: &["cc", "--version"], from: From::Apt("build-essential") };
/// Client libraries want 18 or newer.
pub const NODE: Tool = Tool { name: "node", probe: &["node", "--eval", "process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)"], from: From::Apt("nodejs") };
pub const NPM: Tool = Tool { name: "npm", probe: &["npm", "--version"], from: From::Apt("npm") };
/// Debian keeps apart what makes a virtual environment with pip in it.
pub const VENV: Tool = Tool { name: "python3 with venv", probe: &["python3", "-c", "import venv, ensurepip"], from: From::Apt("python3-venv") };
pub const RUSTFMT: Tool = Tool { name: "rustfmt", probe: &["cargo", "fmt", "--version"], from: From::Rustup("rustfmt") };
pub const CLIPPY: Tool = Tool { name: "clippy", probe: &["cargo", "clippy", "--version"], from: From::Rustup("clippy") };
/// A debug build: it only starts other programs, and an optimised one takes minutes to compile.
pub const NEXTEST: Tool =
    Tool { name: "cargo-nextest", probe: &["cargo", "nextest", "--version"], from: From::Cargo(&["cargo-nextest", "--version", "^0.9.100", "--debug", "--no-default-features"]) };
pub const DENY: Tool = Tool { name: "cargo-deny", probe: &["cargo", "deny", "--version"], from: From::Cargo(&["cargo-deny", "--version", "^0.20", "--debug"]) };

impl Tool {
    fn is_there(&self) -> bool {
        let [program, args @ ..] = self.probe else { return false };
        let mut command = if *program == "cargo" { cargo() } else { Command::new(program) };
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Makes sure that the tool is there; the error says what a person has to do.
    pub fn ensure(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        println!("{} is missing", self.name);
        let remedy = self.install()?;
        if !self.is_there() {
            bail!("{} is missing and could not be installed: {remedy}", self.name);
        }
        Ok(())
    }

    /// Tries; gives the remedy for a person should it not have helped.
    fn install(&self) -> Result<String> {
        match self.from {
            From::Apt(package) => {
                if let Some(apt) = Apt::find() {
                    apt.install(package)?;
                }
                Ok(format!("install the package `{package}`"))
            }
            From::Cargo(args) => {
                let mut command = cargo();
                // what they are compiled with must not depend on our profiles, nor fill our target directory
                command.args(["install", "--locked"]).args(args).env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR").current_dir(std::env::temp_dir());
                step::command(&mut command)?;
                Ok(format!("`cargo install --locked {}`", args.first().unwrap_or(&self.name)))
            }
            From::Rustup(component) => {
                // where there is no rustup, the probe that follows says so
                let _ = step::command(Command::new("rustup").args(["component", "add", component]));
                Ok(format!("`rustup component add {component}`"))
            }
        }
    }
}

/// How packages are installed here, if they can be.
struct Apt {
    sudo: bool,
}

impl Apt {
    fn find() -> Option<Self> {
        let succeeds = |program: &str, args: &[&str]| Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().is_ok_and(|done| done.status.success());
        if !succeeds("apt-get", &["--version"]) {
            return None;
        }
        let root = Command::new("id").arg("-u").output().is_ok_and(|done| done.stdout == b"0\n");
        match root {
            true => Some(Self { sudo: false }),
            // only a sudo that does not ask
            false => succeeds("sudo", &["-n", "true"]).then_some(Self { sudo: true }),
        }
    }

    fn install(&self, package: &str) -> Result<()> {
        step::command(self.apt_get().arg("update").arg("--quiet"))?;
        step::command(self.apt_get().args(["install", "--yes", "--quiet", "--no-install-recommends", package]))?;
        Ok(())
    }

    fn apt_get(&self) -> Command {
        let mut command = if self.sudo { Command::new("sudo") } else { Command::new("env") };
        command.args(if self.sudo { &["-n", "env"][..] } else { &[] }).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    }
}
