//! What the command line says, and what it does not do unasked, with a server behind it.

use std::path::Path;

use crate::house::House;
use crate::program::{Program, greenroom, text};

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

#[test]
fn a_secret_is_shown_once() {
    let house = House::new();
    let create = ["token", "create", "ci", "--key", "k1"];
    let first = house.done(&create);
    assert!(first.contains("gr_ci_") && first.contains("keep it now"), "{first}");
    let again = house.refused(&create, 5);
    let id = again.split([' ', ',']).find(|word| word.starts_with("tok_")).expect("its id");
    assert!(again.contains("was created before") && again.contains(&format!("→ if it is lost: greenroom token revoke {id}")) && !again.contains("keep it now"), "{again}");
    assert!(house.refused(&["token", "create", "pat", "--key", "k1"], 5).contains("this --key was used for another request"));
    house.done(&["token", "revoke", id]);
}

/// In one form, wherever it comes from.
#[test]
fn what_is_not_there_is_looked_for_where_it_says() {
    let house = House::new();
    let cases: [(&[&str], &str); 6] = [
        (&["explain", "serch", "--env", "test"], "feature"),
        (&["explain", "search", "--env", "tset"], "environment"),
        (&["explain", "serch", "--env", "test", "--at", "2026-01-01T00:00:00Z"], "feature"),
        (&["attribute", "show", "plan"], "attribute"),
        (&["feature", "show", "serch"], "feature"),
        (&["deploy", "web@1.0.0", "--env", "tset"], "environment"),
    ];
    for (args, kind) in cases {
        let said = house.refused(args, 4);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with(&format!("error: there is no {kind} `"))), "{said}");
        assert_eq!(lines.last(), Some(&format!("  → see what there is: greenroom {kind} list").as_str()), "{said}");
        let mut json = args.to_vec();
        json.push("--json");
        let document: serde_json::Value = serde_json::from_str(&house.refused(&json, 4)).expect("JSON");
        assert_eq!((&document["code"], &document["status"], &document["exit"]), (&"not-found".into(), &404.into(), &4.into()));
        assert_eq!(document["hints"][0], format!("see what there is: greenroom {kind} list"));
    }
}

#[test]
fn a_log_of_nothing_says_nothing() {
    let house = House::new();
    assert_eq!(house.done(&["log", "-n", "0"]), "");
    assert!(house.done(&["log", "-n", "1"]).contains("web"));
}

/// What was asked for is done, and has its own exit code, also where nobody reads on.
#[test]
fn an_answer_that_cannot_be_written_is_an_error_unless_its_reader_is_gone() {
    let house = House::new();
    let home = house.dir.path().join("home");
    let run = |args: &[&str], out: std::process::Stdio| greenroom(&home, args).stdout(out).output().expect("the binary runs");
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let lost = run(&["service", "list"], full().into());
    assert_eq!(lost.status.code(), Some(1), "{}", text(&lost));
    assert!(text(&lost).contains("the answer cannot be written: No space left on device"), "{}", text(&lost));
    let gone = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    assert_eq!(run(&["service", "list"], gone().into()).status.code(), Some(0));
    assert_eq!(run(&["status", "--watch"], gone().into()).status.code(), Some(0), "it ends, for nobody looks");

    house.write("app", "#!/bin/sh\n");
    house.done(&["build", "register", "web", "1.0.0", "--artifact", &format!("app={}", house.at("app"))]);
    let waiting = ["deploy", "web@1.0.0", "--to", "test", "--wait", "--timeout", "1s"];
    assert_eq!(run(&waiting, gone().into()).status.code(), Some(6), "it waits for a decision");
}
