//! The program as an operator has it: what another product served is taken over, a relay serves it on while the control
//! plane is away, and what is forced off there is shown when it is back.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use greenroom_exposure::wire::follow::STREAM;
use serde_json::{Value, json};

use crate::program::{Program, greenroom, text};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of nobody in particular.
const KEY: &str = "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=";

impl Program {
    /// What the holder of `token` is answered about a feature.
    fn evaluate(&self, token: &str, feature: &str, context: &Value) -> Option<Value> {
        let body = json!({"context": context}).to_string();
        let mut socket = TcpStream::connect(&self.address).ok()?;
        let head =
            format!("POST /ofrep/v1/evaluate/flags/{feature} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::yield_now();
    }
}

/// How often it is said that a token is refused.
fn refusals(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).expect("a log");
    let said = log.lines().filter(|line| line.contains("the upstream refuses this token"));
    said.inspect(|line| assert!(line.contains("greenroom token create relay --env ENV"), "{line}")).count()
}

#[test]
fn a_token_that_the_upstream_refuses_is_warned_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let (asked, asks) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for socket in upstream.incoming() {
            let (mut socket, mut heard) = (socket.unwrap(), Vec::new());
            while !heard.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                let read = socket.read(&mut piece).unwrap_or_default();
                if read == 0 {
                    break;
                }
                heard.extend_from_slice(&piece[..read]);
            }
            let _ = socket.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if heard.starts_with(format!("GET {STREAM} ").as_bytes()) && asked.send(()).is_err() {
                return;
            }
        }
    });
    let (log, data) = (dir.path().join("log"), dir.path().join("relay").display().to_string());
    let args = ["relay", "--upstream", &url, "--upstream-token", "gr_relay_wrong", "--public-key", KEY, "--data", &data, "--listen", "127.0.0.1:0"];
    let _relay = Program::logging(dir.path(), &args, 0, std::fs::File::create(&log).unwrap());
    // before it asks a third time it has said what came of the second
    for _ in 0..3 {
        asks.recv_timeout(PATIENCE).expect("it asks again");
    }
    assert_eq!(refusals(&log), 1);
    assert!(std::fs::read_to_string(&log).unwrap().contains(&url));
}

const MANIFESTS: &str = "apiVersion: greenroom/v1
kind: Environment
metadata: { name: test }
spec: { purpose: test, targets: [{ name: t, driver: command, address: a }] }
---
apiVersion: greenroom/v1
kind: Environment
metadata: { name: production }
spec: { purpose: production, targets: [{ name: p, driver: command, address: b }] }
";

#[test]
fn a_relay_serves_what_was_imported_while_the_control_plane_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let home = dir.path().join("home");
    let run = |args: &[&str]| greenroom(&home, args).output().expect("the binary runs");
    let done = |args: &[&str]| {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let secret = |args: &[&str]| -> Value { serde_json::from_str(&done(args)).expect("JSON") };

    let mut server = Program::start(&home, &["serve", "--data", &at("data"), "--listen", "127.0.0.1:0"], 1);
    let first = server.said.split_whitespace().find(|word| word.starts_with("gr_first_")).expect("a token").to_owned();
    done(&["login", "--server", &format!("http://{}", server.address), "--name", "ada", "--first-token", &first]);
    done(&["preset", "solo"]);
    done(&["person", "roles", "ada", "admin", "engineer", "release-manager"]);
    std::fs::write(dir.path().join("here.yaml"), MANIFESTS).unwrap();
    done(&["apply", "--set", "here", "-f", &at("here.yaml"), "--yes"]);

    let gold = json!([{"name": "default", "constraints": [{"contextName": "plan", "operator": "IN", "values": ["gold"]}]}]);
    let features = json!([{"name": "search", "enabled": true, "strategies": gold}, {"name": "odd", "enabled": true, "strategies": [{"name": "our-own"}]}]);
    std::fs::write(dir.path().join("unleash.json"), json!({"version": 2, "features": features}).to_string()).unwrap();
    let refused = run(&["import", "unleash", &at("unleash.json"), "--env", "production"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(text(&refused).contains("exposure there is a release"), "{}", text(&refused));
    let came = done(&["import", "unleash", &at("unleash.json"), "--env", "test"]);
    assert!(came.contains("imported into test: 1 feature, 1 of them serving something new, as set unleash; 1 not taken over") && came.contains("odd"), "{came}");

    let relay = secret(&["token", "create", "relay", "--env", "test", "--json"]);
    let sdk = secret(&["token", "create", "sdk", "--env", "test", "--json"]);
    let (key, sdk) = (relay["public_key"].as_str().expect("a key"), sdk["secret"].as_str().expect("a secret"));
    let upstream = format!("http://{}", server.address);
    let args =
        ["relay", "--upstream", &upstream, "--upstream-token", relay["secret"].as_str().expect("a secret"), "--public-key", key, "--data", &at("relay"), "--listen", "127.0.0.1:0"];
    let near = Program::start(&home, &args, 0);
    let shown = |plan: &str| near.evaluate(sdk, "search", &json!({"targetingKey": "u", "plan": plan})).map(|answer| answer["value"].clone());
    until("the first answer", || shown("gold") == Some(json!(true)));
    assert_eq!(shown("silver"), Some(json!(false)));

    // an application's token follows, but nobody is told whom to let in for it
    let log = dir.path().join("log");
    let foreign = ["relay", "--upstream", &upstream, "--upstream-token", sdk, "--public-key", key, "--data", &at("foreign"), "--listen", "127.0.0.1:0"];
    let foreign = Program::logging(&home, &foreign, 0, std::fs::File::create(&log).unwrap());
    until("the warning", || refusals(&log) == 1);
    drop(foreign);

    server.kill();
    assert_eq!(shown("gold"), Some(json!(true)), "the control plane is away");
    assert_eq!(run(&["relay", "off", "search", "--data", &at("relay")]).status.code(), Some(2), "nobody said why");
    done(&["relay", "off", "search", "--data", &at("relay"), "--reason", "incident 7"]);
    until("what was forced off", || shown("gold") == Some(json!(false)));

    let _server = Program::start(&home, &["serve", "--data", &at("data"), "--listen", &server.address], 0);
    let forced = || secret(&["feature", "show", "search", "--json"])["environments"].as_array().into_iter().flatten().find_map(|e| e["forced_off"].as_array()?.first().cloned());
    until("the report", || forced().is_some_and(|forced| forced["reason"] == "incident 7"));
    done(&["relay", "lift", "search", "--data", &at("relay")]);
    until("the decided answer", || shown("gold") == Some(json!(true)));
}
