//! The story of the README through the real binary, its command line and HTTP. Each step checks what it shows, so a
//! failure names the step.

use std::path::Path;
use std::process::Command;

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
