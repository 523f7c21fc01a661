//! The help of every command, locked: a change of the command line shows in review.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn help(path: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom")).args(path).arg("--help").env_remove("COLUMNS").stdin(Stdio::null()).output().expect("the binary runs");
    assert!(output.status.success(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("help is text")
}

/// Names of the commands below one, as its help lists them.
fn below(text: &str) -> Vec<String> {
    let commands = text.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.trim().is_empty());
    commands.filter(|l| l.starts_with("  ") && !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(str::to_owned).collect()
}

/// Every command that has none below it, sorted.
pub fn leaves() -> Vec<String> {
    let mut leaves = Vec::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let below = below(&help(&path.iter().map(String::as_str).collect::<Vec<_>>()));
        if below.is_empty() {
            leaves.push(path.join(" "));
        }
        left.extend(below.into_iter().map(|name| path.iter().cloned().chain([name]).collect()));
    }
    leaves.sort();
    leaves
}

fn all(path: &mut Vec<String>, into: &mut String) {
    let mut text = help(&path.iter().map(String::as_str).collect::<Vec<_>>());
    if !path.is_empty() {
        text = without_global_options(&text);
    }
    let _ = writeln!(into, "$ greenroom {}--help\n{}\n", path.iter().map(|p| format!("{p} ")).collect::<String>(), text.trim_end());
    for name in below(&text) {
        path.push(name);
        all(path, into);
        path.pop();
    }
}

/// They are the same everywhere: once is enough.
fn without_global_options(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside = *line == "Global options:" || inside && (line.is_empty() || line.starts_with(' '));
        !inside
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// Set UPDATE=1 to accept what changed.
#[test]
fn help_is_as_reviewed() {
    let mut now = String::new();
    all(&mut Vec::new(), &mut now);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &now).expect("the snapshot can be written");
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = now.lines().zip(reviewed.lines()).find(|(a, b)| a != b);
    assert!(now == reviewed, "the help changed, first here: {differs:?}; look at it, then run with UPDATE=1");
}
