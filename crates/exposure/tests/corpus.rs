//! The conformance corpus, which is written for any language: see `corpus/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use greenroom_exposure::model::{Algorithm, Clause, Feature, Outcome, Rule, ValueType};
use greenroom_exposure::{Explained, Json, Model, Snapshot, Step, Warning, bucket};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    title: String,
    snapshot: Model,
    warnings: Vec<Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    feature: String,
    context: Map<String, Value>,
    expect: Option<Explained>,
    steps: Option<Vec<Step>>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names() -> BTreeSet<String> {
    fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn sorted(warnings: &[Warning]) -> Value {
    let sorted: BTreeSet<&Warning> = warnings.iter().collect();
    json!(sorted)
}

#[test]
fn stories() {
    let stories: Vec<String> = names().into_iter().filter(|name| name.ends_with(".json") && !["buckets.json", "clauses.json"].contains(&name.as_str())).collect();
    assert_eq!(stories.len(), 6, "{stories:?}");
    for name in stories {
        let story: Story = read(&name);
        let (snapshot, warnings) = Snapshot::compile(&story.snapshot);
        let as_set = |warnings: &Value| -> BTreeSet<String> { warnings.as_array().unwrap().iter().map(ToString::to_string).collect() };
        assert_eq!(as_set(&sorted(&warnings)), as_set(&json!(story.warnings)), "{}", story.title);
        assert_eq!(sorted(&snapshot.warnings()), sorted(&warnings), "{}", story.title);
        assert_eq!(snapshot.model(), story.snapshot, "{}", story.title);
        for case in story.cases {
            let at = format!("{name}: {}", case.name);
            let context = Json(&case.context);
            let answer = snapshot.evaluate(&case.feature, &context);
            assert_eq!(answer.as_ref().map(Explained::from), case.expect, "{at}");
            let explanation = snapshot.explain(&case.feature, &context);
            assert_eq!(explanation.as_ref().map(|explanation| &explanation.answer), case.expect.as_ref(), "{at}");
            if let Some(steps) = case.steps {
                assert_eq!(explanation.map(|explanation| explanation.steps), Some(steps), "{at}");
            }
            let handle = snapshot.resolve(&case.feature);
            let by_handle = handle.and_then(|handle| snapshot.evaluate_handle(handle, &context));
            assert_eq!(by_handle.as_ref().map(Explained::from), case.expect, "{at}");
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    clause: Clause,
    yes: Vec<Value>,
    no: Vec<Value>,
}

#[test]
fn clauses() {
    for examples in read::<Vec<Examples>>("clauses.json") {
        let shown = examples.clause.to_string();
        let feature = Feature {
            r#type: ValueType::Boolean,
            variants: [("on".to_owned(), json!(true)), ("off".to_owned(), json!(false))].into(),
            off: "off".to_owned(),
            killed: None,
            claims: vec![Rule { name: "r".to_owned(), when: vec![examples.clause], then: Outcome::Variant("on".to_owned()), release: None, blocked: None }],
            baseline: vec![],
            default: "off".to_owned(),
            prerequisites: vec![],
            dark: None,
        };
        let mut model = Model::new("test", 1);
        model.features.insert("f".to_owned(), Arc::new(feature));
        let (snapshot, warnings) = Snapshot::compile(&model);
        assert_eq!(warnings, [], "{shown}");
        for (values, expected) in [(examples.yes, true), (examples.no, false)] {
            for value in values {
                let context: Map<String, Value> = [("x".to_owned(), value.clone())].into_iter().collect();
                let answer = snapshot.evaluate("f", &Json(&context)).unwrap();
                assert_eq!(answer.value(), &json!(expected), "`{shown}` with {value}");
                assert_eq!(answer.missing().is_some(), value.is_null() && !expected, "`{shown}` with {value}");
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Buckets {
    buckets: Vec<Bucket>,
    among_user_0_to_9999: Vec<Counts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bucket {
    algorithm: Algorithm,
    salt: String,
    value: String,
    bucket: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    algorithm: Algorithm,
    salt: String,
    below: BTreeMap<String, usize>,
}

#[test]
fn buckets() {
    let corpus: Buckets = read("buckets.json");
    for Bucket { algorithm, salt, value, bucket: expected } in corpus.buckets {
        assert_eq!(bucket(algorithm, &salt, &value), expected, "{algorithm} {salt:?} {value:?}");
    }
    for Counts { algorithm, salt, below } in corpus.among_user_0_to_9999 {
        let buckets: Vec<u32> = (0..10_000).map(|n| bucket(algorithm, &salt, &format!("user-{n}"))).collect();
        for (limit, expected) in below {
            let limit: u32 = limit.parse().unwrap();
            assert_eq!(buckets.iter().filter(|bucket| **bucket < limit).count(), expected, "{algorithm} {salt} {limit}");
        }
    }
}
