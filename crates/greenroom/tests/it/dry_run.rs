//! `--dry-run` changes nothing, whatever stands before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::help;
use crate::house::House;
use crate::program::{greenroom, text};

const RELEASE: &str = "apiVersion: greenroom/v1
kind: Release
metadata: { name: NAME }
spec: { environments: [test], features: [{ key: search, variant: \"on\", withdraw_safety: clean }], mode: manual, stages: [{ name: all, share: 100% }] }
";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Commands that have no preview, and say so.
const WITHOUT: [&str; 8] = ["demo", "evidence get", "ledger backup", "login", "logout", "relay lift", "relay off", "serve"];

/// What each command is tried with, in [`House::furnished`]. One that is new has to be put here.
fn examples(house: &House, token: &str) -> BTreeMap<&'static str, Vec<String>> {
    let at = |name: &str| house.at(name);
    let (app, service, plan, flags, nowhere) = (format!("app={}", at("app")), at("service.yaml"), at("another.yaml"), at("flags.json"), at("nowhere"));
    let rollout = "rol_019ac000-0000-7000-8000-000000000000";
    let examples: [(&'static str, &[&str]); 65] = [
        ("serve", &["--data", &nowhere, "--listen", "127.0.0.1:0"]),
        ("relay off", &["search", "--data", &nowhere, "--reason", "r"]),
        ("relay lift", &["search", "--data", &nowhere]),
        ("demo", &["--dir", &nowhere]),
        ("login", &["--name", "ada"]),
        ("logout", &[]),
        ("whoami", &[]),
        ("apply", &["--set", "here", "--prune", "-f", &service]),
        ("import unleash", &[&flags, "--env", "test"]),
        ("import flagd", &[&flags, "--env", "test"]),
        ("schema", &[]),
        ("deploy", &["web@1.0.0", "--to", "test"]),
        ("rollback", &["web", "--env", "test"]),
        ("status", &[]),
        ("dark", &[]),
        ("explain", &["search", "--env", "test"]),
        ("log", &[]),
        ("decide release", &["spring", "go", "--as", "release-manager"]),
        ("decide deployment", &["1", "no-go", "--as", "release-manager"]),
        ("build register", &["web", "2.0.0", "--artifact", &app]),
        ("build clear", &["web@1.0.0", "--note", "n"]),
        ("build list", &[]),
        ("build show", &["web@1.0.0"]),
        ("deployment list", &[]),
        ("deployment show", &["1"]),
        ("deployment cancel", &["1"]),
        ("rollout abandon", &[rollout]),
        ("placement adopt", &["web@1.0.0", "--env", "test", "--target", "t"]),
        ("check record", &["web", "smoke", "pass", "--env", "test"]),
        ("check list", &[]),
        ("evidence get", &[DIGEST, "--output", &nowhere]),
        ("environment list", &[]),
        ("service list", &[]),
        ("feature list", &[]),
        ("feature show", &["search"]),
        ("feature usage", &[]),
        ("feature kill", &["search", "--env", "test", "--reason", "r"]),
        ("feature restore", &["search", "--env", "test"]),
        ("feature baseline", &["search", "on", "--env", "test"]),
        ("attribute list", &[]),
        ("attribute show", &["plan"]),
        ("release plan", &["-f", &plan]),
        ("release list", &[]),
        ("release show", &["spring"]),
        ("release start", &["spring"]),
        ("release pause", &["spring"]),
        ("release resume", &["spring"]),
        ("release withdraw", &["spring"]),
        ("release close", &["spring"]),
        ("release cancel", &["spring"]),
        ("hold set", &["--reason", "r"]),
        ("hold list", &[]),
        ("hold lift", &["1"]),
        ("person add", &["eva"]),
        ("person list", &[]),
        ("person roles", &["bob", "viewer"]),
        ("person remove", &["bob"]),
        ("person password", &["bob"]),
        ("token create", &["ci"]),
        ("token list", &[]),
        ("token revoke", &[token]),
        ("preset", &["team"]),
        ("ledger verify", &[]),
        ("ledger backup", &[&nowhere, "--data", &nowhere]),
        ("erase", &["--person", "bob"]),
    ];
    let completion = ("completion", vec!["bash".to_owned()]);
    examples.into_iter().map(|(name, args)| (name, args.iter().map(|arg| (*arg).to_owned()).collect())).chain([completion]).collect()
}

impl House {
    /// With something of every kind, and the id of a token.
    fn furnished() -> (Self, String) {
        let house = Self::new();
        house.write("app", "#!/bin/sh\n");
        house.write("flags.json", r#"{"version": 2, "features": [], "flags": {}}"#);
        house.write("spring.yaml", &RELEASE.replace("NAME", "spring"));
        house.write("another.yaml", &RELEASE.replace("NAME", "another"));
        house.done(&["build", "register", "web", "1.0.0", "--artifact", &format!("app={}", house.at("app"))]);
        house.done(&["deploy", "web@1.0.0", "--to", "test"]);
        house.done(&["release", "plan", "-f", &house.at("spring.yaml")]);
        house.done(&["hold", "set", "--service", "web", "--reason", "r"]);
        house.done(&["person", "add", "bob"]);
        let made: Value = serde_json::from_str(&house.done(&["token", "create", "ci", "--json"])).expect("JSON");
        let token = made["token"]["id"].as_str().expect("an id").to_owned();
        (house, token)
    }

    fn events(&self) -> usize {
        let log: Value = serde_json::from_str(&self.done(&["log", "--actor", "ada", "-n", "1000", "--json"])).expect("JSON");
        log["items"].as_array().expect("a list").len()
    }
}

/// Every file below `dir` but those of the server, with what it holds.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| *path != dir.join("data"))),
            Err(_) => drop(found.insert(path.clone(), std::fs::read(&path).expect("a file"))),
        }
    }
    found
}

#[test]
fn a_dry_run_changes_nothing() {
    let (house, token) = House::furnished();
    let examples = examples(&house, &token);
    let all = help::leaves();
    assert_eq!(all.iter().map(String::as_str).collect::<Vec<_>>(), examples.keys().copied().collect::<Vec<_>>(), "every command, sorted");
    let (events, before) = (house.events(), files(house.dir.path()));
    assert!(events > 10);
    let home = house.dir.path().join("home");
    for (name, args) in examples {
        let words: Vec<&str> = name.split(' ').chain(args.iter().map(String::as_str)).chain(["--dry-run"]).collect();
        let output = greenroom(&home, &words).env("GREENROOM_NEW_PASSWORD", "battery staple").output().expect("the binary runs");
        let said = text(&output);
        if WITHOUT.contains(&name) {
            assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
            assert!(said.contains(" has no preview: leave --dry-run out"), "{words:?}: {said}");
        } else {
            // refused, or not there: that is a preview too
            assert!(matches!(output.status.code(), Some(0 | 3..=5)), "{words:?}: {said}");
        }
        assert_eq!(house.events(), events, "{words:?}: {said}");
        assert!(files(house.dir.path()) == before, "{words:?}: {said}");
    }
}
