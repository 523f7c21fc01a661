//! Whatever comes from outside is read or refused, in bounded time and memory, and never with a panic.
#![expect(unsafe_code, reason = "a global allocator that counts is the only way to see how much is held at once")]

mod harness;
mod seeds;

use std::sync::Arc;

use greenroom_exposure::model::{Clause, Feature, Op, Test};
use greenroom_exposure::wire::follow::Delta;
use greenroom_exposure::wire::{Success, read_request, write_answer};
use greenroom_exposure::{Attribute, Context, Json, Model, Pairs, Snapshot, import};
use serde_json::{Map, json};

use crate::harness::{bounded, fuzz};
use crate::seeds::{corpus, seeds, texts};

fn ask<C: Context>(snapshot: &Snapshot, caller: &C) {
    let mut out = Vec::new();
    for answer in snapshot.evaluate_all(caller) {
        out.clear();
        write_answer(&mut out, snapshot, &answer);
        let read: Success = serde_json::from_slice(&out).unwrap();
        assert_eq!((read.key.as_str(), read.variant.as_deref()), (answer.key(), Some(answer.variant())));
        let explanation = snapshot.explain(answer.key(), caller).unwrap();
        assert_eq!(explanation.answer.variant, answer.variant());
    }
}

fn ask_some(snapshot: &Snapshot) {
    let attributes = [("plan", Attribute::Text("gold")), ("age", Attribute::Number(18.0)), ("x", Attribute::Compound), ("version", Attribute::Text("1.2.3"))];
    ask(snapshot, &Pairs { targeting_key: Some("user-1"), attributes: &attributes });
    ask(snapshot, &Pairs::default());
}

fn compiled(imported: import::Imported) -> Snapshot {
    let mut model = Model::new("fuzz", 1);
    model.features = imported.features.into_iter().map(|(key, feature)| (key, Arc::new(feature))).collect();
    model.cohorts = imported.cohorts.into_iter().map(|(name, cohort)| (name, Arc::new(cohort))).collect();
    Snapshot::compile(&model).0
}

#[test]
fn imports() {
    fuzz(&texts(&seeds("unleash.json")), 3_000, |bytes| {
        if let Ok(imported) = import::unleash(&String::from_utf8_lossy(bytes)) {
            ask_some(&compiled(imported));
        }
    });
    fuzz(&texts(&seeds("flagd.json")), 3_000, |bytes| {
        if let Ok(imported) = import::flagd(&String::from_utf8_lossy(bytes)) {
            ask_some(&compiled(imported));
        }
    });
}

#[test]
fn snapshots() {
    fuzz(&corpus(), 3_000, |bytes| {
        if let Ok(model) = serde_json::from_slice::<Model>(bytes) {
            let snapshot = Snapshot::compile(&model).0;
            ask_some(&snapshot);
            let again = serde_json::to_vec(&snapshot.model()).unwrap();
            assert_eq!(serde_json::from_slice::<Model>(&again).unwrap(), model);
        }
    });
}

#[test]
fn binary_snapshots() {
    let snapshots = corpus().into_iter().map(|bytes| Snapshot::compile(&serde_json::from_slice(&bytes).unwrap()).0);
    let seeds: Vec<Vec<u8>> = snapshots.map(|snapshot| snapshot.to_bytes()).collect();
    let (mut read, mut rounds) = (0, 0);
    fuzz(&seeds, 20_000, |bytes| {
        rounds += 1;
        if let Ok((snapshot, _)) = Snapshot::from_bytes(bytes) {
            read += 1;
            ask_some(&snapshot);
            assert_eq!(snapshot.to_bytes(), bytes);
            // what was read is a snapshot like any other
            let again = Snapshot::compile(&snapshot.model()).0;
            assert_eq!(again.keys().collect::<Vec<_>>(), snapshot.keys().collect::<Vec<_>>());
        }
    });
    assert!(read > seeds.len() && read < rounds, "{read} of {rounds}");
}

#[test]
fn deltas() {
    let before: Vec<Snapshot> = corpus().iter().map(|bytes| Snapshot::compile(&serde_json::from_slice(bytes).unwrap()).0).collect();
    fuzz(&texts(&seeds("delta.json")), 3_000, |bytes| {
        if let Ok(delta) = serde_json::from_slice::<Delta>(bytes) {
            let (change, _) = delta.into_change();
            before.iter().for_each(|before| ask_some(&before.with(&change).0));
        }
    });
}

#[test]
fn requests() {
    let snapshots: Vec<Snapshot> = corpus().iter().map(|bytes| Snapshot::compile(&serde_json::from_slice(bytes).unwrap()).0).collect();
    fuzz(&texts(&seeds("ofrep.json")), 20_000, |bytes| {
        if let Ok(caller) = read_request(bytes) {
            let mut canonical = Vec::new();
            caller.write_canonical(&mut canonical);
            assert!(canonical.len() <= 40 * bytes.len().max(1), "{} bytes of {}", canonical.len(), bytes.len());
            snapshots.iter().for_each(|snapshot| ask(snapshot, &caller));
        }
    });
}

#[test]
fn operands() {
    let operands = seeds("operands.json");
    let all: Vec<Vec<u8>> = operands.as_object().unwrap().values().flat_map(|texts| texts.as_array().unwrap()).map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect();
    for (op, own) in operands.as_object().unwrap() {
        let op: Op = serde_json::from_value(json!(op)).unwrap();
        let own: Vec<Vec<u8>> = own.as_array().unwrap().iter().map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect();
        fuzz(&own, 1_500, |bytes| {
            let operand = String::from_utf8_lossy(bytes).into_owned();
            let mut model = Model::new("fuzz", 1);
            for (key, ignore_case) in [("cased", false), ("folded", true)] {
                let feature =
                    json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off", "baseline": [{"name": "r", "then": {"variant": "on"}}]});
                let mut feature: Feature = serde_json::from_value(feature).unwrap();
                feature.baseline[0].when = vec![Clause::Test(Test { attribute: "x".to_owned(), op, values: vec![operand.clone().into()], ignore_case })];
                model.features.insert(key.to_owned(), Arc::new(feature));
            }
            let snapshot = Snapshot::compile(&model).0;
            for given in all.iter().map(|text| String::from_utf8_lossy(text)).chain([operand.as_str().into()]) {
                ask(&snapshot, &Pairs { targeting_key: None, attributes: &[("x", Attribute::Text(&given))] });
            }
        });
    }
}

/// The shapes that people try on purpose.
#[test]
fn extreme_contexts() {
    let of = |context: &str| format!("{{\"context\":{context}}}").into_bytes();
    let attributes = |n: usize| (0..n).map(|n| format!("\"attribute-{n}\":{n}")).collect::<Vec<_>>().join(",");
    let snapshots: Vec<Snapshot> = corpus().iter().map(|bytes| Snapshot::compile(&serde_json::from_slice(bytes).unwrap()).0).collect();
    let read = [
        of(&format!("{{\"plan\":\"{}\"}}", "a".repeat(1 << 20))),
        of(&format!("{{{}}}", attributes(10_000))),
        of(&format!("{{\"list\":[{}]}}", vec!["0"; 500_000].join(","))),
        of(&format!("{}1{}", "{\"a\":".repeat(60), "}".repeat(60))),
        of("{\"n\":9007199254740991,\"m\":-9007199254740991}"),
    ];
    for body in &read {
        bounded(body, || {
            let caller = read_request(body).unwrap();
            snapshots.iter().for_each(|snapshot| ask(snapshot, &caller));
        });
    }
    let refused = [
        of(&format!("{{{},{}}}", attributes(5_000), attributes(5_000))),
        of("{\"n\":NaN}"),
        of("{\"n\":Infinity}"),
        of("{\"n\":1e999}"),
        of("{\"n\":9007199254740993}"),
        of("{\"n\":-18446744073709551616}"),
        of("{\"a\":\"\\ud800\"}"),
        of(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))),
        of(&format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))),
        of(&format!("{{\"a\":{}}}", "[".repeat(1 << 20))),
        vec![b'{'; 1 << 20],
        vec![0xff; 1 << 10],
    ];
    for body in &refused {
        bounded(body, || assert!(read_request(body).is_err(), "{:?}", String::from_utf8_lossy(&body[..body.len().min(60)])));
    }
    // Numbers that no wire carries may still come from an application.
    for number in [f64::NAN, f64::INFINITY, f64::MAX, -0.0, 9_007_199_254_740_993.0] {
        let context = Pairs { targeting_key: None, attributes: &[("age", Attribute::Number(number)), ("x", Attribute::Number(number))] };
        snapshots.iter().for_each(|snapshot| ask(snapshot, &context));
    }
    ask(&snapshots[0], &Json(&Map::new()));
}
