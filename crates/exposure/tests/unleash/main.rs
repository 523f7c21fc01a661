//! Unleash's own client specification, all of its cases, against our evaluator: each file is imported and asked.
//!
//! The npm package `@unleash/client-specification` is fetched into the build's directory once. Where npm is missing the
//! test fails and says so. Then what the specification does not say: exports, values, and files that are none.

mod rendering;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use greenroom_exposure::wire::unleash::{Asker, NONCE, numbers, said};
use greenroom_exposure::{Model, Snapshot, import};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const PACKAGE: &str = "@unleash/client-specification";
const VERSION: &str = "6.1.0";

/// Features that no SDK shows to anyone, because of a constraint or dependency that cannot hold: refused by the import.
const REFUSED: [&str; 10] = [
    "F7.invalid-operator",
    "F8.invalidSemverWithLeadingV",
    "F9.withMissingSegment",
    "R90.reject_lookahead",
    "R91.reject_backreference",
    "child.with.cycle",
    "child.with.transitive.dependency",
    "invalid-regex-defaults-to-false",
    "parent.with.cycle",
    "parents.not.exist.child.enabled",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    name: String,
    #[serde(default)]
    tests: Vec<Case>,
    #[serde(default)]
    variant_tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    description: String,
    context: Map<String, Value>,
    toggle_name: String,
    expected_result: Value,
}

/// Tests are processes of their own: each may fetch the package, and the first to have it whole puts it in place.
fn specifications() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let at = folder.join(format!("unleash-specification-{VERSION}"));
    let package = at.join("node_modules").join(PACKAGE);
    if !package.join("package.json").exists() {
        let fetched = fetching(folder);
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&fetched).arg(format!("{PACKAGE}@{VERSION}"));
        let done = npm.output().unwrap_or_else(|error| panic!("npm, which brings {PACKAGE}, cannot be run: {error}"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        if fs::rename(&fetched, &at).is_err() {
            fs::remove_dir_all(&fetched).unwrap();
        }
    }
    package.join("specifications")
}

fn fetching(folder: &Path) -> PathBuf {
    static FETCHES: AtomicU32 = AtomicU32::new(0);
    folder.join(format!("unleash-specification-{}-{}", std::process::id(), FETCHES.fetch_add(1, Ordering::Relaxed)))
}

impl Specification {
    /// All of them, with the text of each.
    fn all() -> Vec<(Self, String)> {
        let folder = specifications();
        let index: Vec<String> = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        let texts = index.iter().map(|file| fs::read_to_string(folder.join(file)).unwrap());
        texts.map(|text| (serde_json::from_str(&text).unwrap(), text)).collect()
    }

    fn cases(&self) -> impl Iterator<Item = &Case> {
        self.tests.iter().chain(&self.variant_tests)
    }
}

/// Imports a file, and compiles what was taken over.
fn compiled(text: &str) -> (Snapshot, BTreeSet<String>) {
    let imported = import::unleash(text).unwrap();
    let mut model = Model::new("development", 1);
    model.cohorts.extend(imported.cohorts.into_iter().map(|(name, cohort)| (name, Arc::new(cohort))));
    model.features.extend(imported.features.into_iter().map(|(key, feature)| (key, Arc::new(feature))));
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert_eq!(warnings, []);
    (snapshot, imported.refused.into_iter().map(|refused| refused.feature).collect())
}

#[test]
fn every_case_of_the_client_specification_passes() {
    let (mut cases, mut refused, mut wrong) = (0, BTreeSet::new(), Vec::new());
    for (specification, text) in Specification::all() {
        let (snapshot, refusals) = compiled(&text);
        refused.extend(refusals);
        let numbers = numbers(&snapshot);
        for case in specification.cases() {
            let asker = Asker::new(case.context.clone()).or(NONCE, "4711").with_numbers(&numbers);
            let said = said(snapshot.evaluate(&case.toggle_name, &asker));
            let said = if case.expected_result.is_boolean() { Value::from(said.enabled) } else { serde_json::to_value(&said.variant).unwrap() };
            cases += 1;
            if said != case.expected_result {
                wrong.push(format!("{}: {}: {said} instead of {}", specification.name, case.description, case.expected_result));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases, 279);
    assert_eq!(refused, REFUSED.map(str::to_owned).into());
}

fn imported(file: &Value) -> import::Imported {
    import::unleash(&file.to_string()).unwrap()
}

#[test]
fn an_export_is_put_together() {
    let imported = imported(&json!({
        "features": [{"name": "checkout", "type": "release"}, {"name": "cart"}],
        "featureStrategies": [
            {"id": "b", "featureName": "checkout", "strategyName": "default", "sortOrder": 2, "constraints": [], "segments": [], "disabled": false},
            {"id": "a", "featureName": "checkout", "strategyName": "flexibleRollout", "sortOrder": 1, "segments": [7],
                "parameters": {"rollout": "25", "stickiness": "default", "groupId": "checkout"}},
            {"id": "c", "featureName": "cart", "name": "default", "segments": [8]},
        ],
        "featureEnvironments": [
            {"featureName": "checkout", "environment": "production", "enabled": true, "variants": []},
            {"featureName": "cart", "environment": "production", "enabled": true},
        ],
        "segments": [{"id": 7, "name": "staff", "constraints": [{"contextName": "userId", "operator": "IN", "values": ["ann"]}]}, {"id": 8, "name": "gone"}],
        "dependencies": [{"feature": "checkout", "dependencies": [{"feature": "cart"}]}],
    }));
    let because: Vec<(&str, &str)> = imported.refused.iter().map(|refused| (refused.feature.as_str(), refused.because.as_str())).collect();
    assert_eq!(
        because,
        [("cart", "strategy 1, `default`: the file names segment 8 without its constraints"), ("checkout", "it depends on `cart`, which is not in the file or was refused")]
    );
    assert!(imported.notes.contains(&"segment `staff` is cohort `segment-7`".to_owned()), "{:?}", imported.notes);
}

/// One sticky share is a rule per attribute that callers may be divided by.
#[test]
fn default_stickiness_falls_back_by_what_is_absent() {
    let strategy = json!({"name": "flexibleRollout", "parameters": {"rollout": "25", "stickiness": "default", "groupId": "g"}});
    let imported = imported(&json!({"features": [{"name": "f", "enabled": true, "strategies": [strategy]}]}));
    let rules: Vec<String> =
        imported.features["f"].baseline.iter().map(|rule| format!("{}: {}", rule.name, rule.when.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))).collect();
    assert_eq!(
        rules,
        [
            "1 flexibleRollout: share 25%",
            "1 flexibleRollout by sessionId: targetingKey absent, share 25% by sessionId",
            "1 flexibleRollout by nonce: targetingKey absent, sessionId absent, share 25% by nonce",
        ]
    );
    assert_eq!(imported.notes, ["`nonce` stands for chance: a caller gives a new text each time, or is in no random share"]);
}

#[test]
fn payloads_make_the_type_of_a_feature() {
    let feature = |variants: Value| {
        let imported = imported(&json!({"features": [{"name": "f", "enabled": true, "strategies": [], "variants": variants}]}));
        serde_json::to_value(&imported.features["f"]).unwrap()
    };
    let payload = |name: &str, kind: &str, value: &str| json!({"name": name, "weight": 1, "payload": {"type": kind, "value": value}});
    for (variants, r#type, values) in [
        (json!([payload("a", "string", "x"), payload("off", "string", "")]), "string", json!({"a": "x", "off": "", "disabled": ""})),
        (json!([payload("a", "number", "7")]), "integer", json!({"a": 7, "off": 0})),
        (json!([payload("a", "number", "7.5"), payload("b", "number", "0.5")]), "float", json!({"a": 7.5, "b": 0.5, "off": 0.0})),
        (json!([payload("a", "json", "{\"b\":1}")]), "object", json!({"a": {"b": 1}, "off": {}})),
        // to the letter, or whole
        (
            json!([payload("a", "number", "7.0e1")]),
            "object",
            json!({"a": {"enabled": true, "variant": "a", "payload": {"type": "number", "value": "7.0e1"}}, "off": {"enabled": false}}),
        ),
        (
            json!([payload("a", "string", "x"), {"name": "b", "weight": 1}]),
            "object",
            json!({"a": {"enabled": true, "variant": "a", "payload": {"type": "string", "value": "x"}}, "b": {"enabled": true, "variant": "b"}, "off": {"enabled": false}}),
        ),
    ] {
        let feature = feature(variants);
        assert_eq!((&feature["type"], &feature["variants"]), (&Value::from(r#type), &values));
    }
}

#[test]
fn what_cannot_be_said_is_refused_with_its_reason() {
    let because = |strategy: Value| {
        let imported = imported(&json!({"features": [{"name": "f", "enabled": true, "strategies": [strategy]}]}));
        assert!(imported.features.is_empty());
        imported.refused[0].because.clone()
    };
    let constraint = |operator: &str, value: &str| because(json!({"name": "default", "constraints": [{"contextName": "x", "operator": operator, "value": value}]}));
    assert_eq!(constraint("SIMILAR", "1"), "strategy 1, `default`: constraint on `x`: operator `SIMILAR` is not known");
    assert_eq!(constraint("NUM_GT", "many"), "strategy 1, `default`: constraint on `x`: `many` is no number within ±(2^53−1)");
    assert_eq!(constraint("NUM_GT", "9007199254740993"), "strategy 1, `default`: constraint on `x`: `9007199254740993` is no number within ±(2^53−1)");
    assert_eq!(constraint("SEMVER_EQ", "v1"), "strategy 1, `default`: constraint on `x`: `v1` is not a semantic version");
    assert!(constraint("DATE_AFTER", "2026-01-01T00:00:00Z").contains("SDKs disagree"));
    assert!(constraint("REGEX", &"a".repeat(600)).contains("longer than 512"));
    assert_eq!(because(json!({"name": "ours"})), "strategy 1, `ours`: the strategy `ours` is not one of Unleash's own");
    assert_eq!(because(json!({"name": "flexibleRollout", "parameters": {"rollout": "101"}})), "strategy 1, `flexibleRollout`: `rollout` is `101`, not 0 to 100");
}

#[test]
fn files_that_are_none_are_refused() {
    let deep = format!("{{\"features\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let long = " ".repeat((32 << 20) + 1);
    for text in ["", "{", "[]", "7", "{}", "{\"features\": 7}", "{\"features\": [{}]}", &deep, &long] {
        assert!(import::unleash(text).is_err(), "{}", &text[..text.len().min(40)]);
    }
    let several = json!({"features": [], "featureEnvironments": [{"featureName": "f", "environment": "a"}, {"featureName": "f", "environment": "b"}]});
    assert_eq!(import::unleash(&several.to_string()).unwrap_err().to_string(), "the export is of several environments, a, b: export one");
    assert_eq!(import::unleash("{\"features\": null, \"events\": []}").unwrap(), import::Imported::default());
}
