//! What those are told who are not shown a feature.

use greenroom_domain::command::Command;
use greenroom_domain::reach::{Needed, hidden_since, needed, reaches_users};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::CourseKind;
use greenroom_exposure::Pairs;
use serde_json::json;

use crate::world::*;

/// Release, what blocks, and OpenFeature's reason, for the first user who is not served `checkout`.
fn told(w: &World) -> (Option<String>, Option<String>, &'static str) {
    let snapshot = w.snapshot(PRODUCTION);
    (0..1000)
        .find_map(|i| {
            let user = format!("user-{i}");
            let caller = Pairs { targeting_key: Some(&user), attributes: &[] };
            let answer = snapshot.evaluate("checkout", &caller).unwrap();
            (answer.variant() == "off").then(|| (answer.release().map(str::to_owned), answer.blocked_by().map(str::to_owned), answer.reason().as_str()))
        })
        .expect("someone is not served")
}

fn by(release: &str, blocked_by: &str, reason: &'static str) -> (Option<String>, Option<String>, &'static str) {
    (Some(release.to_owned()), Some(blocked_by.to_owned()), reason)
}

fn start(name: &str) -> Command {
    World::start_command(name)
}

#[test]
fn outside_an_open_audience_the_claim_is_named_and_nothing_is_disabled() {
    let mut w = World::shop();
    assert_eq!(told(&w), (None, Some("not-released".to_owned()), "DISABLED"));
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    assert_eq!(told(&w), by("summer", "not-started", "DISABLED"));
    w.ok(&start("summer"));
    assert_eq!(told(&w), by("summer", "not-in-audience", "DEFAULT"));
    w.ok(&Command::PauseRelease { name: n("summer"), environment: None, note: String::new() });
    assert_eq!(told(&w), by("summer", "not-in-audience", "DEFAULT"), "paused, it serves whom it served");
    // a later plan takes nothing from what is served now
    w.plan("autumn", summer());
    assert_eq!(told(&w), by("summer", "not-in-audience", "DEFAULT"));
}

#[test]
fn what_was_withdrawn_does_not_hide_what_serves() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    for name in ["summer", "summer-2"] {
        w.plan(name, summer());
        w.ok(&start(name));
        if name == "summer" {
            w.evaluators = false;
            w.withdraw(name);
            assert_eq!(told(&w), by("summer", "withdrawing", "DISABLED"));
            w.evaluators = true;
            w.settle();
            assert_eq!(told(&w), by("summer", "withdrawn", "DISABLED"));
        }
    }
    assert_eq!((w.kind("summer"), w.kind("summer-2")), (CourseKind::Withdrawn, CourseKind::Exposing));
    assert_eq!(told(&w), by("summer-2", "not-in-audience", "DEFAULT"));
}

#[test]
fn what_was_taken_off_comes_before_what_is_only_planned() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    w.ok(&start("summer"));
    w.drift(&place(PRODUCTION, "p1", "web"), &World::build_spec("web@1.0.0", &json!({})).digest());
    w.pass(secs(31));
    assert_eq!(told(&w), by("summer", "need-unmet", "DISABLED"));
    w.plan("draft", json!({"features": [{"key": "checkout", "variant": "on"}], "stages": []}));
    w.plan("later", summer());
    let mut armed = summer();
    armed["mode"] = json!("on_deploy");
    w.plan("armed", armed);
    w.plan("last", summer());
    assert_eq!(told(&w), by("summer", "need-unmet", "DISABLED"));
    w.withdraw("summer");
    assert_eq!(told(&w), by("armed", "armed", "DISABLED"));
    w.ok(&Command::CancelRelease { name: n("armed") });
    assert_eq!(told(&w), by("last", "not-started", "DISABLED"), "of two alike the newer");
    for name in ["later", "last"] {
        w.ok(&Command::CancelRelease { name: n(name) });
    }
    assert_eq!(told(&w), by("summer", "withdrawn", "DISABLED"), "rather than a draft");
}

#[test]
fn what_is_killed_names_what_it_silenced() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    for name in ["summer", "summer-2"] {
        w.plan(name, summer());
        w.ok(&start(name));
    }
    w.ok(&Command::KillFeature { feature: key("checkout"), environment: n(PRODUCTION), reason: "smells".to_owned() });
    assert_eq!(told(&w), by("summer, summer-2", "killed", "DISABLED"));
}

#[test]
fn forgetting_whom_a_cohort_listed_is_a_change_of_what_is_served() {
    let mut w = World::shop();
    w.apply(vec![manifest("cohort", "friends", json!({"users": ["ida"]}))]);
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "friends", "cohort": "friends", "share": "100%"}]}));
    w.ok(&start("summer"));
    assert_eq!(w.served("checkout", "ida"), "on");
    let list = w.state.cohorts[&n("friends")].users.clone().unwrap();
    w.ok(&Command::Erase { sealed: vec![list.clone()] });
    w.texts.remove(&list.0);
    assert_eq!(w.served("checkout", "ida"), "off");
    assert_eq!(w.state.revision(&n(PRODUCTION)), w.ledger.iter().find(|r| r.event.kind() == "erased").unwrap().seq);
}

#[test]
fn the_name_of_someone_who_is_here_is_not_erased() {
    let mut w = World::empty();
    let host = greenroom_domain::actor::Actor::System(greenroom_domain::actor::Part::Host);
    w.attempt_as(host, &Command::AddPerson { name: "eve".to_owned(), roles: Vec::new() }).unwrap();
    let eve = w.state.persons.values().next().unwrap().clone();
    let erase = Command::Erase { sealed: vec![eve.name.clone()] };
    assert_eq!(w.refused(&erase), [ReasonCode::StillReferenced]);
    w.ok(&Command::RemovePerson { id: eve.id });
    w.ok(&erase);
}

#[test]
fn a_feature_is_dark_since_its_first_build_or_since_it_was_taken_away() {
    let mut w = World::shop();
    let reads = json!({"reads": {"checkout": "boolean"}});
    let ship = |w: &mut World, build: &str| {
        w.register_with(build, &reads);
        w.deploy(build, "staging");
        w.deploy(build, PRODUCTION);
    };
    ship(&mut w, "web@1.1.0");
    let since = |w: &World| w.state.placements[&place(PRODUCTION, "p1", "web")].reads_since.get(&key("checkout")).copied();
    let first = since(&w).unwrap();
    w.pass(MINUTE);
    ship(&mut w, "web@1.2.0");
    assert_eq!(since(&w), Some(first), "the next build changes nothing");
    w.plan("summer", summer());
    w.ok(&start("summer"));
    w.pass(MINUTE);
    let hidden = |w: &World| hidden_since(&w.state, &n(PRODUCTION), &w.state.features[&key("checkout")]);
    assert_eq!(hidden(&w), None);
    let taken = w.now;
    w.withdraw("summer");
    w.pass(MINUTE);
    assert!(hidden(&w).is_some_and(|at| at >= taken && at < w.now));
    w.ship("web@1.3.0");
    assert_eq!(since(&w), None, "that one does not read it");
}

/// A feature that needs another.
fn needing(name: &str, prerequisites: &serde_json::Value) -> greenroom_domain::command::Manifest {
    manifest("feature", name, json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "prerequisites": prerequisites}))
}

#[test]
fn what_needs_a_dark_feature_is_dark() {
    let mut w = World::shop();
    w.apply(vec![needing("gift", &json!({"checkout": ["on"]})), needing("card", &json!({"gift": ["on"]})), needing("instead", &json!({"checkout": ["off"]}))]);
    let release = |w: &mut World, name: &str, feature: &str, stages: serde_json::Value| {
        w.plan(name, json!({"features": [{"key": feature, "variant": "on"}], "stages": stages}));
        w.ok(&start(name));
    };
    let all = || json!([{"name": "all", "share": "100%"}]);
    for feature in ["gift", "card", "instead"] {
        release(&mut w, feature, feature, all());
    }
    let reaches = |w: &World| ["checkout", "gift", "card", "instead"].map(|f| reaches_users(&w.state, &n(PRODUCTION), &w.state.features[f]));
    let needs = |w: &World| ["gift", "card", "instead"].map(|f| needed(&w.state, &n(PRODUCTION), &w.state.features[f]));
    assert_eq!((reaches(&w), needs(&w)), ([false, false, false, true], [Needed::Nobody, Needed::Nobody, Needed::Everyone]));
    let stages = json!([{"name": "staff", "cohort": "staff", "share": "100%"}, {"name": "some", "share": "30%"}, {"name": "all", "share": "100%"}]);
    release(&mut w, "checkouts", "checkout", stages);
    assert_eq!(reaches(&w), [false, false, false, true], "staff alone is nobody");
    w.ok(&start("checkouts"));
    assert_eq!((reaches(&w), needs(&w)), ([true; 4], [Needed::Some; 3]));
    w.ok(&start("checkouts"));
    assert_eq!((reaches(&w), needs(&w)), ([true, true, true, false], [Needed::Everyone, Needed::Everyone, Needed::Nobody]));
    w.ok(&Command::KillFeature { feature: key("gift"), environment: n(PRODUCTION), reason: "smoke".to_owned() });
    assert_eq!(reaches(&w), [true, false, false, false]);
}
