//! Where the workspace lies and how cargo and git are called in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The directory that holds the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The cargo that started us, so that one toolchain does everything.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // what `cargo run` set for us describes xtask, and would reach build scripts and tests
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(root());
    command
}

pub fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(root());
    command
}

/// Files of the project, within the checkout: committed or about to be. In an unpacked archive, which git does not know,
/// all but what is built.
pub fn files() -> Result<Vec<String>> {
    let mut paths: Vec<String> = if git().args(["rev-parse", "--git-dir"]).output().is_ok_and(|done| done.status.success()) {
        let listed = output(git().args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        listed.split_terminator('\0').map(ToOwned::to_owned).collect()
    } else {
        let mut found = Vec::new();
        walk(root(), &mut found)?;
        found
    };
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

fn walk(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && !["target", "node_modules", "dist"].iter().any(|built| entry.file_name() == *built) {
            walk(&path, found)?;
        } else if kind.is_file() {
            found.extend(path.strip_prefix(root())?.to_str().map(ToOwned::to_owned));
        }
    }
    Ok(())
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        let plain = !arg.is_empty() && arg.chars().all(|c| c.is_alphanumeric() || "-_=./:@^,+".contains(c));
        text.push(' ');
        text.push_str(&if plain { arg.into_owned() } else { format!("'{arg}'") });
    }
    text
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let what = shown(command);
    let done = command.output().with_context(|| format!("`{what}` does not start"))?;
    if !done.status.success() {
        bail!("`{what}` ends with {}\n{}", done.status, String::from_utf8_lossy(&done.stderr).trim_end());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// Packages, their dependencies and the resolved graph, as `cargo metadata` gives them.
pub fn metadata() -> Result<Value> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--locked"])).context("if Cargo.lock is out of date: `cargo check --workspace`, and commit it")?;
    Ok(serde_json::from_str(&text)?)
}

/// Where cargo builds.
pub fn target_directory() -> Result<PathBuf> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--locked", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let path = metadata["target_directory"].as_str().context("`cargo metadata` names no target directory")?;
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_with_and_without_git() {
        let (listed, mut walked) = (files().unwrap(), Vec::new());
        walk(root(), &mut walked).unwrap();
        for found in [listed, walked] {
            assert!(found.iter().any(|path| path == "xtask/src/workspace.rs"));
        }
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["nextest", "run", "-E", "test(/kill/)"]);
        assert_eq!(shown(&command), "cargo nextest run -E 'test(/kill/)'");
    }
}
