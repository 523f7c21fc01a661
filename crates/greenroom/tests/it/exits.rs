//! Exit codes and words where no server answers.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Some public key.
const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

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
    home.expect(&["status", "--server", "http://127.0.0.1:9"], 9, &["error: cannot reach http://127.0.0.1:9", "  → is it running?"]);
    home.expect(&["deploy", "a@1", "--to", "test", "--server", "http://127.0.0.1:9"], 9, &["cannot reach"]);
}

#[test]
fn a_file_that_is_no_text_is_2_before_anybody_is_asked() {
    let home = Home::new("garbled");
    let file = home.0.join("garbled.yaml");
    std::fs::write(&file, b"apiVersion: greenroom/v1\nkind: Cohort\nmetadata: { name: caf\xe9 }\n").expect("a file for the test");
    let says = ["garbled.yaml` is not UTF-8 text, from line 3 on", "→ save it as UTF-8"];
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
    home.expect(&["release", "start", "spring", "--stage", "two"], 2, &["write a whole number from 1 on"]);
    home.expect(&["log", "-n", "abc"], 2, &["write a whole number, as 30"]);
    home.expect(&["build", "list", "-n", "0"], 2, &["write a whole number from 1 on"]);
    home.expect(&["feature", "usage", "--days", "x"], 2, &["write a whole number from 1 on"]);
    home.expect(&["demo", "--port", "x"], 2, &["write a port"]);
    home.expect(&["token", "revoke", "tok_x"], 2, &["not the whole id of a token", "greenroom token list"]);
    home.expect(&["rollout", "abandon", "rol_x"], 2, &["not the whole id of a rollout"]);
}

#[test]
fn environments_are_named_as_one_comes_to_think_of_it() {
    let home = Home::new("aliases");
    for option in ["--to", "--env"] {
        home.expect(&["deploy", "a@1", option, "test", "--server", "http://127.0.0.1:9"], 9, &["cannot reach"]);
        home.expect(&["rollback", "a", option, "test", "--server", "http://127.0.0.1:9"], 9, &["cannot reach"]);
        home.expect(&["deployment", "list", option, "test", "--server", "http://127.0.0.1:9"], 9, &["cannot reach"]);
    }
}

/// Nobody is asked for a token that could not be kept: port 9 would be 9.
#[test]
fn a_sign_in_that_cannot_be_kept_is_not_asked_for() {
    let home = Home::new("unwritable");
    std::fs::write(home.0.join("file"), "").expect("a file");
    let below = Home(home.0.join("file/below"));
    let login = ["login", "--name", "ada", "--server", "http://127.0.0.1:9"];
    below.expect(&login, 2, &["cannot be kept in `", "file/below`", "GREENROOM_CONFIG_DIR"]);
}

#[test]
fn what_is_no_greenroom_server_is_9() {
    use std::io::{Read as _, Write as _};
    let home = Home::new("stranger");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\n<html");
        }
    });
    home.expect(&["status", "--server", &server], 9, &["answers, but not as Greenroom does (status 200): it is no JSON", "→ is it a Greenroom server"]);
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let home = Home::new("start");
    let at = |name: &str| home.0.join(name).display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    home.expect(&["serve", "--data", &at("new"), "--listen", &address], 1, &["cannot be listened on", "→ stop what listens there"]);
    assert!(!home.0.join("new").exists());
    std::fs::write(home.0.join("file"), "").expect("a file");
    home.expect(&["serve", "--data", &at("file")], 2, &["file` is not a directory", "--data"]);
    home.expect(&["serve", "--data", &at("new"), "--config", &at("missing.toml")], 2, &["missing.toml` cannot be read", "→ name a file with --config"]);
    std::fs::write(home.0.join("odd.toml"), "[log]\nfilter = \"info,greenroom_server=loud\"\n").expect("a file");
    home.expect(&["serve", "--data", &at("new"), "--config", &at("odd.toml")], 2, &["`greenroom_server=loud` is no directive", "odd.toml`", "info,greenroom_server=debug"]);
}

/// Colours are for people.
#[test]
fn a_relay_logs_plainly_into_a_pipe() {
    let home = Home::new("plain");
    let mut relay = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["relay", "--upstream", "http://127.0.0.1:9", "--upstream-token", "x", "--public-key", KEY, "--listen", "127.0.0.1:0", "--data"])
        .arg(home.0.join("relay"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(relay.stderr.take().expect("piped")), &mut line).expect("it logs");
    let _ = relay.kill();
    let _ = relay.wait();
    assert!(!line.is_empty() && !line.contains('\u{1b}'), "{line}");
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
    let script = String::from_utf8_lossy(&script.stdout);
    assert!(script.contains("greenroom") && script.contains("rollback"));
    assert!(!script.contains("proxy"), "what only programs start is not offered");
}
