use serde_json::{Value, json};

use super::*;
use crate::Model;

fn snapshot(features: &Value) -> Snapshot {
    let model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": 7,
        "attributes": {"seats": "number"},
        "cohorts": {
            "segment-7": {"version": 1, "any_of": [[{"attribute": "email", "op": "ends_with", "values": ["@us.example"]}]]},
            "staff": {"version": 1, "any_of": [[{"attribute": "role", "op": "in", "values": ["staff"]}], [{"attribute": "team", "op": "present"}]]},
        },
        "features": features,
    }))
    .unwrap();
    Snapshot::compile(&model).0
}

fn boolean(parts: &Value) -> Value {
    let mut feature = json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off"});
    feature.as_object_mut().unwrap().append(&mut parts.as_object().unwrap().clone());
    feature
}

fn rule(when: &Value, variant: &str) -> Value {
    json!({"name": "r", "when": when, "then": {"variant": variant}})
}

fn toggle(snapshot: &Snapshot, key: &str) -> Value {
    let features = features(snapshot, Level::Patterns).features;
    serde_json::to_value(features.into_iter().find(|toggle| toggle.name == key).unwrap()).unwrap()
}

#[test]
fn levels_are_read_from_the_header() {
    let read = [None, Some(""), Some("4.1.9"), Some("4.2.0"), Some("5.0.2"), Some("5.2.0"), Some("6.0.0"), Some("6.1.0"), Some("10"), Some("v7")].map(Level::of);
    let expected = [Level::Bare, Level::Bare, Level::Bare, Level::Segments, Level::Segments, Level::Variants, Level::Variants, Level::Patterns, Level::Patterns, Level::Bare];
    assert_eq!(read, expected);
}

#[test]
fn what_may_not_be_shown_is_disabled() {
    let on = json!([rule(&json!([]), "on")]);
    let snapshot = snapshot(&json!({
        "killed": boolean(&json!({"killed": {"blocked_by": "hold"}, "baseline": on})),
        "invalid": boolean(&json!({"baseline": [rule(&json!([{"cohort": "gone"}]), "on")]})),
        "blocked": boolean(&json!({"claims": [{"name": "autumn", "then": {"variant": "on"}, "blocked": "need"}], "baseline": on})),
        "orphan": boolean(&json!({"baseline": on, "prerequisites": [{"feature": "gone", "variants": ["on"]}]})),
        "open": boolean(&json!({"baseline": on})),
    }));
    for key in ["killed", "invalid", "blocked", "orphan"] {
        assert_eq!(toggle(&snapshot, key), json!({"name": key, "enabled": false, "strategies": []}), "{key}");
    }
    assert_eq!(toggle(&snapshot, "open"), json!({"name": "open", "enabled": true, "strategies": [{"name": "default", "parameters": {}, "constraints": []}]}));
}

#[test]
fn a_rule_that_ends_in_off_is_left_out_of_what_follows() {
    let snapshot = snapshot(&json!({"f": boolean(&json!({"baseline": [
        rule(&json!([{"attribute": "plan", "op": "in", "values": ["free"]}, {"attribute": "country", "op": "in", "values": ["SE"]}]), "off"),
        rule(&json!([{"attribute": "plan", "op": "in", "values": ["free", "gold"]}]), "on"),
    ]}))}));
    let constraint = |name: &str, operator: &str, values: &Value| json!({"contextName": name, "operator": operator, "values": values, "inverted": false, "caseInsensitive": false});
    let asked = constraint("plan", "IN", &json!(["free", "gold"]));
    let strategy = |other: Value| json!({"name": "default", "parameters": {}, "constraints": [asked, other]});
    let expected = json!([strategy(constraint("plan", "NOT_IN", &json!(["free"]))), strategy(constraint("country", "NOT_IN", &json!(["SE"])))]);
    assert_eq!(toggle(&snapshot, "f")["strategies"], expected);
}

#[test]
fn cohorts_are_segments_or_stand_inside() {
    let snapshot = snapshot(&json!({
        "one": boolean(&json!({"baseline": [rule(&json!([{"cohort": "segment-7"}]), "on")]})),
        "two": boolean(&json!({"baseline": [rule(&json!([{"cohort": "staff"}]), "on")]})),
    }));
    let features = |level| serde_json::to_value(features(&snapshot, level)).unwrap();
    let all = features(Level::Segments);
    assert_eq!(all["features"][0]["strategies"][0]["segments"], json!([7]));
    assert_eq!(all["segments"][0]["id"], 7);
    assert_eq!(all["segments"][0]["constraints"][0]["operator"], "STR_ENDS_WITH");
    // a group of one constraint is a segment; that an attribute is there is a share of all its values
    let two = &all["features"][1]["strategies"];
    assert_eq!(two[0]["segments"][0], all["segments"][1]["id"]);
    assert_eq!(two[1], json!({"name": "flexibleRollout", "parameters": {"groupId": "two", "rollout": "100", "stickiness": "team"}, "constraints": []}));
    let bare = features(Level::Bare);
    assert_eq!((bare["segments"].clone(), bare["features"][0]["name"].clone()), (json!([]), json!("two")));
    assert_eq!(bare["features"][0]["strategies"][0]["constraints"][0]["contextName"], "role");
}

#[test]
fn dependencies_are_brought_to_one_step() {
    let needs = |feature: &str, variants: &[&str], when: &Value| boolean(&json!({"baseline": [rule(when, "on")], "prerequisites": [{"feature": feature, "variants": variants}]}));
    let gold = json!([{"attribute": "plan", "op": "in", "values": ["gold"]}]);
    let snapshot = snapshot(&json!({
        "root": boolean(&json!({"baseline": [rule(&gold, "on")]})),
        "open": needs("root", &["on"], &json!([])),
        "over-open": needs("open", &["on"], &gold),
        "closed": needs("root", &["on"], &gold),
        "over-closed": needs("closed", &["on"], &gold),
        "without": needs("root", &["off"], &gold),
        "either": needs("root", &["off", "on"], &gold),
    }));
    assert_eq!(toggle(&snapshot, "over-open")["dependencies"], json!([{"feature": "root", "enabled": true}]));
    assert_eq!(toggle(&snapshot, "without")["dependencies"], json!([{"feature": "root", "enabled": false}]));
    assert_eq!(toggle(&snapshot, "either").get("dependencies"), None);
    let capability = capability(&snapshot, "over-closed").unwrap();
    assert_eq!((capability.evaluated, capability.because), (Evaluated::Remotely, vec!["it needs `closed`, which needs others itself: no SDK of Unleash follows that".to_owned()]));
}

#[test]
fn what_would_differ_is_left_out_and_says_why() {
    let of = |when: &Value| boolean(&json!({"baseline": [rule(&json!([when]), "on")]}));
    for (when, because) in [
        (json!({"share": {"salt": "s", "share": 50_000}}), "divides by `m3-100k/1`"),
        (json!({"share": {"salt": "s\"", "share": 50_000, "algorithm": "unleash/1"}}), "quote or a backslash"),
        (json!({"share": {"salt": "s", "share": 50_000, "algorithm": "unleash/1", "attribute": "userId"}}), "no attribute `userId`"),
        (json!({"attribute": "beta", "op": "in", "values": [true]}), "each in its own way"),
        (json!({"attribute": "plan", "op": "in", "values": ["GOLD"], "ignore_case": true}), "ignore case"),
        (json!({"attribute": "plan", "op": "in", "values": [" gold"]}), "blanks"),
        (json!({"attribute": "plan", "op": "contains", "values": ["gr\u{fc}n"], "ignore_case": true}), "beyond ASCII"),
        (json!({"attribute": "seats", "op": "in", "values": [7]}), ""),
        (json!({"attribute": "age", "op": "not_in", "values": [7]}), "declare `age` as a number"),
        (json!({"attribute": "since", "op": "after", "values": ["2026-01-01T00:00:00Z"]}), "`currentTime` alone"),
        (json!({"attribute": "currentTime", "op": "after", "values": ["2026-01-01T00:00:00.1Z"]}), "not every SDK reads this date"),
        (json!({"attribute": "plan", "op": "regex", "values": ["\\d"]}), "libraries differ"),
        (json!({"attribute": "ip", "op": "cidr", "values": ["::ffff:10.0.0.0/104"]}), "written as IPv6"),
        (json!({"attribute": "applicationHostname", "op": "starts_with", "values": ["web"]}), "known to the SDK alone"),
    ] {
        let snapshot = snapshot(&json!({"f": of(&when)}));
        let capability = capability(&snapshot, "f").unwrap();
        assert_eq!(capability.evaluated == Evaluated::Locally, because.is_empty(), "{when}: {capability:?}");
        assert!(capability.because.iter().any(|said| said.contains(because)) || because.is_empty(), "{when}: {capability:?}");
        assert_eq!(features(&snapshot, Level::Patterns).features.is_empty(), !because.is_empty());
    }
    let shares = |first: &Value, second: &Value| snapshot(&json!({"f": boolean(&json!({"baseline": [first, second]}))}));
    let share = json!([{"share": {"salt": "s", "share": 50_000, "algorithm": "unleash/1"}}]);
    let off_first = shares(&rule(&share, "off"), &rule(&json!([]), "on"));
    assert!(capability(&off_first, "f").unwrap().because[0].contains("cannot leave a share out"));
    let off_last = shares(&rule(&json!([{"attribute": "plan", "op": "in", "values": ["gold"]}]), "on"), &rule(&share, "off"));
    assert_eq!(capability(&off_last, "f").unwrap().evaluated, Evaluated::Locally);
    let many = json!((0..80).map(|n| rule(&json!([{"attribute": "n", "op": "in", "values": [n.to_string()]}]), "on")).collect::<Vec<_>>());
    assert!(capability(&snapshot(&json!({"f": boolean(&json!({"baseline": many}))})), "f").unwrap().because[0].contains("more than 64"));
}

/// A typed value crosses; what stands for off does not, and the report says so.
#[test]
fn values_are_payloads() {
    let snapshot = snapshot(&json!({"f": {"type": "float", "variants": {"high": 10, "off": 0.5}, "off": "off", "default": "high"}}));
    let variants = json!([{"name": "high", "weight": 1000, "payload": {"type": "number", "value": "10.0"}, "stickiness": "default"}]);
    assert_eq!(toggle(&snapshot, "f")["strategies"][0]["variants"], variants);
    let capability = capability(&snapshot, "f").unwrap();
    assert_eq!(capability.because.len(), 2);
    assert!(capability.because[0].starts_with("`off` does not cross this wire"), "{capability:?}");
    assert_eq!(capability.because[1], "SDKs below client specification 5.1 are not handed it");
}
