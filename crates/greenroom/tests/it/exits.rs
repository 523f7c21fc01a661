//! Exit codes and words where no server answers.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory of its own, so that nobody's credentials are touched.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("greenroom-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the test");
        Self(dir)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        for name in ["GREENROOM_SERVER", "GREENROOM_TOKEN", "GREENROOM_PASSWORD"] {
            command.env_remove(name);
        }
        command.args(args).env("GREENROOM_CONFIG_DIR", &self.0).stdin(Stdio::null()).output().expect("the binary runs")
    }

    #[track_caller]
    fn expect(&self, args: &[&str], exit: i32, words: &[&str]) {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn nobody_there_is_9_with_a_hint() {
    let home = Home::new("unreachable");
    home.expect(&["status", "--server", "http://127.0.0.1:9"], 9, &["error: cannot reach http://127.0.0.1:9", "hint: is it running?"]);
    home.expect(&["deploy", "a@1", "--to", "test", "--server", "http://127.0.0.1:9"], 9, &["cannot reach"]);
}

#[test]
fn a_file_that_is_no_text_is_2_before_anybody_is_asked() {
    let home = Home::new("garbled");
    let file = home.0.join("garbled.yaml");
    std::fs::write(&file, b"apiVersion: greenroom/v1\nkind: Cohort\nmetadata: { name: caf\xe9 }\n").expect("a file for the test");
    let says = ["garbled.yaml` is not UTF-8 text, from line 3 on", "hint: save it as UTF-8"];
    let file = file.display().to_string();
    home.expect(&["apply", "-f", &file, "--yes", "--server", "http://127.0.0.1:9"], 2, &says);
    home.expect(&["release", "plan", "-f", &file, "--server", "http://127.0.0.1:9"], 2, &says);
}

#[test]
fn wrong_use_is_2() {
    let home = Home::new("usage");
    home.expect(&["status", "--server", "nonsense"], 2, &["`nonsense` is no server's address", "https://HOST or http://HOST:PORT"]);
    home.expect(&["deploy", "--to", "x"], 2, &["BUILD"]);
    home.expect(&["deploy", "catalog", "--to", "x"], 2, &["service@version"]);
    home.expect(&["hold", "set"], 2, &["say why, with --reason"]);
    home.expect(&["hold", "set", "--plane", "x", "--reason", "y"], 2, &["deploy"]);
    home.expect(&["apply", "-f", "/nowhere/at/all"], 2, &["there is no file or directory `/nowhere/at/all`"]);
    home.expect(&["erase"], 2, &["--person"]);
}

#[test]
fn a_broken_plan_is_shown_where_it_is_broken() {
    let home = Home::new("plan");
    let file = home.0.join("r.yaml");
    std::fs::write(&file, "apiVersion: greenroom/v1\nkind: Release\nmetadata: { name: a }\nspec:\n  stages:\n    - { name: ten, shar: 10% }\n").expect("a file");
    let path = file.display().to_string();
    home.expect(&["release", "plan", "-f", &path], 2, &["error: unknown field `shar`", &format!("--> {path}:6:20"), "^^^^ unknown field", "did you mean `share`?"]);
}

#[test]
fn the_schema_and_completions_need_nobody() {
    let home = Home::new("schema");
    let schema = home.run(&["schema"]);
    assert!(schema.status.success() && String::from_utf8_lossy(&schema.stdout).contains("EnvironmentSpec"));
    let script = home.run(&["completion", "bash"]);
    assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains("greenroom"));
}
