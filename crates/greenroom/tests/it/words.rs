//! What the command line says, and what it does not do unasked, with a server behind it.

use std::path::Path;
use std::process::Output;

use crate::program::{Program, greenroom, text};

const ENVIRONMENTS: &str = "apiVersion: greenroom/v1
kind: Environment
metadata: { name: test }
spec: { purpose: test, policies: [careful], targets: [{ name: t, driver: command, address: a }] }
---
apiVersion: greenroom/v1
kind: Policy
metadata: { name: careful }
spec: { rules: [{ decision: { role: approver } }] }
---
apiVersion: greenroom/v1
kind: Feature
metadata: { name: search }
spec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }
";
const SERVICE: &str = "apiVersion: greenroom/v1
kind: Service
metadata: { name: web }
spec: { components: [app], recipes: { command: { apply: [\"false\"], observe: [\"false\"] } } }
";

/// A server with an admin who may do everything, and a directory with manifests applied as set `here`.
struct House {
    dir: tempfile::TempDir,
    server: Program,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let server = Program::start(&dir.path().join("home"), &["serve", "--data", &data, "--listen", "127.0.0.1:0"], 1);
        let house = Self { dir, server };
        let first = house.server.said.split_whitespace().find(|word| word.starts_with("gr_first_")).expect("a token").to_owned();
        house.done(&["login", "--server", &format!("http://{}", house.server.address), "--name", "ada", "--first-token", &first]);
        house.done(&["preset", "solo"]);
        house.done(&["person", "roles", "ada", "admin", "engineer", "deployer", "release-manager"]);
        house.write("environments.yaml", ENVIRONMENTS);
        house.write("service.yaml", SERVICE);
        house.done(&["apply", "--set", "here", "-f", &house.at("environments.yaml"), "-f", &house.at("service.yaml")]);
        house
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        greenroom(&self.dir.path().join("home"), args).output().expect("the binary runs")
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    }

    #[track_caller]
    fn refused(&self, args: &[&str], exit: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output));
        text(&output)
    }
}

#[test]
fn nothing_is_removed_unasked() {
    let house = House::new();
    let (service, empty) = (house.at("service.yaml"), house.at("empty.yaml"));
    house.write("empty.yaml", "# nothing yet\n");
    let some = house.refused(&["apply", "--set", "here", "--prune", "-f", &service], 2);
    for word in ["it removes ", "environment/test", "feature/search", "policy/careful", ", and there is no terminal to ask on", "--yes"] {
        assert!(some.contains(word), "{some}");
    }
    let json = house.refused(&["apply", "--set", "here", "--prune", "-f", &service, "--json"], 2);
    assert!(json.contains("environment/test"), "{json}");
    let all = house.refused(&["apply", "--set", "here", "--prune", "-f", &empty], 2);
    assert!(all.contains("is empty: it holds no manifest") && all.contains("it removes everything that set here holds: "), "{all}");
    let none = house.refused(&["apply", "--set", "here", "-f", &empty], 2);
    assert!(none.contains("there are no manifests"), "{none}");
    let shown = house.done(&["apply", "--set", "here", "--prune", "-f", &empty, "--dry-run"]);
    assert!(shown.contains("note: it removes everything that set here holds"), "{shown}");
    assert!(house.done(&["service", "list"]).contains("web"), "it is still there");
    house.done(&["apply", "--set", "here", "--prune", "-f", &service, "-f", &house.at("environments.yaml")]);
    house.done(&["apply", "--set", "here", "--prune", "-f", &empty, "--yes"]);
    assert!(house.done(&["service", "list"]).contains("no services"));
    let person = house.refused(&["person", "remove", "ada"], 2);
    assert!(person.contains("it removes ada and all their tokens, and there is no terminal"), "{person}");
}

#[test]
fn a_dry_run_says_what_it_would_wait_for() {
    let house = House::new();
    house.write("app", "#!/bin/sh\n");
    house.done(&["build", "register", "web", "1.0.0", "--artifact", &format!("app={}", house.at("app")), "--reads", "search"]);
    let would = house.done(&["deploy", "web@1.0.0", "--to", "test", "--dry-run"]);
    assert!(would.contains("this would stand in the log:\n  + asked for promote of web@1.0.0 to test (#1)"), "{would}");
    assert!(
        would.contains("and then it would wait") && would.contains("1 more go by approver is missing") && would.contains("greenroom decide deployment 1 go --as approver"),
        "{would}"
    );
    // what was forgotten at registration is no reason to go round in circles
    let again = |version: &str| house.refused(&["build", "register", "web", version, "--artifact", &format!("app={}", house.at("app"))], 5);
    assert!(again("1.0.0").contains("build the artifact anew") && again("1.0.1").contains("build the artifact anew"), "{}\n{}", again("1.0.0"), again("1.0.1"));
}

#[test]
fn what_cannot_be_read_is_shown_where_it_stands() {
    let house = House::new();
    house.write("rules.yaml", "- name: gold\n  when: [{ attribute: plan, op: in, values: [gold] }]\n  them: { variant: \"on\" }\n");
    let rules = house.at("rules.yaml");
    let misspelt = house.refused(&["feature", "baseline", "search", "--env", "test", "--rules", &rules], 2);
    assert!(misspelt.contains(&format!("--> {rules}:3:3")) && misspelt.contains("did you mean `then`?"), "{misspelt}");
    house.write("rules.yaml", "- name: gold\n  then: { variant: \"on\" }\n- name: gold\n  then: { variant: \"off\" }\n");
    let twice = house.refused(&["feature", "baseline", "search", "--env", "test", "--rules", &rules], 2);
    assert!(twice.contains(&format!("--> {rules}:3:9")) && twice.contains("two rules are called `gold`"), "{twice}");
    house.write("rules.yaml", "name: gold\n");
    let no_list = house.refused(&["feature", "baseline", "search", "--env", "test", "--rules", &rules], 2);
    assert!(no_list.contains("expected a list"), "{no_list}");
    house.write("unleash.json", "[");
    let import = house.refused(&["import", "unleash", &house.at("unleash.json"), "--env", "test"], 2);
    assert!(import.contains(&format!("in {}", house.at("unleash.json"))), "{import}");
    house.write(
        "taken.yaml",
        "apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: another }\nspec: { purpose: test, targets: [{ name: t, driver: command, address: ./a }] }\n",
    );
    let taken = house.refused(&["apply", "--set", "other", "-f", &house.at("taken.yaml")], 2);
    assert!(taken.contains(&format!("--> {}:4:", house.at("taken.yaml"))) && taken.contains("`another/t` has the same address as `test/t`"), "{taken}");
}

#[test]
fn passwords_for_others_come_from_a_variable_of_their_own() {
    let house = House::new();
    let home = house.dir.path().join("home");
    let missing = house.refused(&["person", "add", "eva", "--password"], 2);
    assert!(missing.contains("GREENROOM_NEW_PASSWORD"), "{missing}");
    let added = greenroom(&home, &["person", "add", "eva", "--password"]).env("GREENROOM_NEW_PASSWORD", "battery staple").output().unwrap();
    assert!(added.status.success(), "{}", text(&added));
    let login = |password: &str| {
        greenroom(Path::new(&house.at("eva")), &["login", "--name", "eva", "--server", &format!("http://{}", house.server.address)])
            .env("GREENROOM_PASSWORD", password)
            .output()
            .unwrap()
    };
    assert!(login("battery staple").status.success());
    assert_eq!(login("correct horse").status.code(), Some(8), "ada's own is nobody else's");
    let pat = house.done(&["token", "create", "pat"]);
    assert!(pat.contains("gr_pat_") && house.done(&["token", "list"]).lines().any(|line| line.contains(" pat ") && line.contains(" ada ")));
}

#[test]
fn a_backup_is_taken_beside_a_server_and_serves_in_its_place() {
    let mut house = House::new();
    let (data, copy) = (house.at("data"), house.at("copy"));
    let said = house.done(&["ledger", "backup", &copy, "--data", &data]);
    assert!(said.contains("✔ copied to") && said.contains("head"), "{said}");
    let there = house.refused(&["ledger", "backup", &copy, "--data", &data], 1);
    assert!(there.contains("exists already"), "{there}");
    house.server.kill();
    house.server = Program::start(&house.dir.path().join("home"), &["serve", "--data", &copy, "--listen", &house.server.address.clone()], 0);
    assert!(house.done(&["service", "list"]).contains("web"), "who was signed in still is");
    assert!(house.done(&["ledger", "verify"]).contains("are as they were written"));
}
