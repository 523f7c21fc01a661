//! The story of the README through the real binary, its command line and HTTP. Each step checks what it shows, so a
//! failure names the step.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the demo to its end and shows what it printed if it failed.
pub fn play(name: &str, port: &str, more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["demo", "--fast", "--once", "--prebuilt", "--port", port, "--dir"])
        .arg(dir.path().join("demo"))
        .args(more)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap();
    let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(dir.path().join("demo/server.log")).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(40).collect();
    assert!(output.status.success(), "{name} did not go as told:\n{text}\nthe server's last words:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_build_travels_dark_to_production_and_then_is_released() {
    play("the story", "17800", &[]);
}

/// Ended from outside in the middle, the demo takes with it all it started: services and proxies are processes of their own.
#[test]
fn a_demo_that_is_ended_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let home = std::fs::canonicalize(dir.path()).unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["demo", "--fast", "--prebuilt", "--port", "18800", "--dir"])
        .arg(dir.path().join("demo"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("is live in integration")), "it never came that far");
    assert_ne!(running(&home), Vec::<String>::new(), "something runs by now");
    rustix::process::kill_process(rustix::process::Pid::from_child(&demo), rustix::process::Signal::HUP).unwrap();
    lines.for_each(drop);
    let said = demo.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && words.contains("stopped by SIGHUP"), "{words}");
    assert_eq!(running(&home), Vec::<String>::new());
}

/// Command lines of all processes that have to do with `dir`.
fn running(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let lines = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok().zip(std::fs::read_link(process.path().join("exe")).ok()));
    lines.filter(|(line, program)| line.contains(&dir) || program.starts_with(&dir)).map(|(line, _)| line.replace('\0', " ")).collect()
}

#[test]
fn a_demo_says_what_is_in_its_way() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["demo", "--prebuilt", "--port", &taken.local_addr().unwrap().port().to_string(), "--dir"])
        .arg(dir.path().join("demo"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("something listens on 127.0.0.1:") && said.contains("--port"), "{said}");
}
