use super::*;
use crate::Model;

fn snapshot(features: &Value) -> Snapshot {
    let model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": 7,
        "attributes": {"plan": "string"},
        "cohorts": {"staff": {"version": 1, "any_of": [[{"attribute": "email", "op": "ends_with", "values": ["@us.example"]}], [{"attribute": "role", "op": "in", "values": ["staff"]}]]}},
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

fn rendered(snapshot: &Snapshot) -> Value {
    serde_json::from_str(&definitions(snapshot)).unwrap()
}

#[test]
fn what_may_not_be_shown_is_off_without_targeting() {
    let on = json!([{"name": "all", "then": {"variant": "on"}}]);
    let snapshot = snapshot(&json!({
        "killed": boolean(&json!({"killed": {"blocked_by": "hold"}, "baseline": on})),
        "invalid": boolean(&json!({"baseline": [{"name": "bad", "when": [{"cohort": "gone"}], "then": {"variant": "on"}}]})),
        "blocked": boolean(&json!({"claims": [{"name": "autumn", "then": {"variant": "on"}, "blocked": "need"}], "baseline": on})),
        "open": boolean(&json!({"baseline": on})),
    }));
    let flags = rendered(&snapshot);
    for (key, variant) in [("killed", "off"), ("invalid", "off"), ("blocked", "off"), ("open", "on")] {
        let expected = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": variant});
        assert_eq!(flags["flags"][key], expected, "{key}");
    }
    assert_eq!(flags["metadata"], json!({"flagSetId": "production", "version": "7", "revision": 7}));
}

#[test]
fn rules_become_one_if_and_cohorts_evaluators() {
    let snapshot = snapshot(&json!({
        "f": boolean(&json!({"claims": [
            {"name": "staff", "when": [{"cohort": "staff"}, {"attribute": "plan", "op": "in", "values": ["gold"]}], "then": {"variant": "on"}},
            {"name": "rest", "when": [{"attribute": "plan", "op": "absent"}], "then": {"variant": "off"}},
        ]})),
        "needs": boolean(&json!({"prerequisites": [{"feature": "f", "variants": ["on"]}], "default": "on"})),
    }));
    let flags = rendered(&snapshot);
    let arm = json!({"and": [{"$ref": "staff"}, {"in": [{"var": "plan"}, ["gold"]]}]});
    let absent = json!({"===": [{"var": "plan"}, null]});
    assert_eq!(flags["flags"]["f"]["targeting"], json!({"if": [arm, "on", absent, "off"]}));
    assert_eq!(flags["flags"]["needs"]["targeting"], json!({"if": [{"!": [{"if": [arm, true, absent, false, false]}]}, "off"]}));
    assert_eq!(flags["$evaluators"]["staff"]["or"][1], json!({"in": [{"var": "role"}, ["staff"]]}));
}

#[test]
fn what_would_differ_is_left_out_and_says_why() {
    let rule = |when: &Value| boolean(&json!({"baseline": [{"name": "r", "when": [when], "then": {"variant": "on"}}]}));
    for (when, because) in [
        (json!({"share": {"salt": "s", "share": 50_000}}), "divides by `m3-100k/1`"),
        (json!({"attribute": "age", "op": "ge", "values": [18]}), "as numbers"),
        (json!({"attribute": "beta", "op": "in", "values": [true]}), "implementations differ"),
        (json!({"attribute": "app.version", "op": "present"}), "dots"),
        (json!({"attribute": "v", "op": "semver_ge", "values": ["1.0.0"]}), "for a version"),
        (json!({"attribute": "tier", "op": "not_in", "values": ["free"]}), "declare `tier`"),
        (json!({"attribute": "plan", "op": "in", "values": ["GOLD"], "ignore_case": true}), "case"),
        (json!({"attribute": "plan", "op": "regex", "values": ["g.*"]}), "no `regex`"),
    ] {
        let snapshot = snapshot(&json!({"f": rule(&when)}));
        let capability = capability(&snapshot, "f").unwrap();
        assert!(capability.evaluated == Evaluated::Remotely && capability.because.len() == 1, "{capability:?}");
        assert!(capability.because[0].contains(because), "{capability:?}");
        assert_eq!(rendered(&snapshot)["flags"], json!({}));
    }
    let declared = snapshot(&json!({"f": rule(&json!({"attribute": "plan", "op": "not_in", "values": ["free"]}))}));
    let capability = capability(&declared, "f").unwrap();
    assert!(capability.evaluated == Evaluated::Locally && capability.because[0].contains("declared as text"));
}
