//! What was served is counted once, under the right name, from any number of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use greenroom_exposure::wire::follow::Count;
use greenroom_exposure::{Anonymous, Board, Change, Counted, Counters, Model, Pairs, Snapshot};
use serde_json::{Value, json};

fn model(features: &Value) -> Model {
    serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": "test", "revision": 1, "features": features})).unwrap()
}

fn snapshot(features: &Value) -> Snapshot {
    Snapshot::compile(&model(features)).0
}

fn text(variants: &[&str], default: &str) -> Value {
    let variants: serde_json::Map<String, Value> = variants.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    json!({"type": "string", "variants": variants, "off": default, "default": default})
}

fn counts(counted: Counted) -> Vec<(String, String, u64)> {
    counted.counts.into_iter().map(|Count { feature, variant, count, .. }| (feature, variant, count)).collect()
}

fn count(feature: &str, variant: &str, count: u64) -> (String, String, u64) {
    (feature.to_owned(), variant.to_owned(), count)
}

#[test]
fn counts_stay_with_their_names_through_changes() {
    let counters = Counters::new(100);
    let ask = |board: &Board, snapshot: &Snapshot, key: &str| board.count(&snapshot.evaluate(key, &Anonymous).unwrap());
    let first = snapshot(&json!({"a": text(&["x", "y"], "y"), "gone": text(&["x"], "x")}));
    let before = counters.board(&first);
    ask(&before, &first, "a");
    ask(&before, &first, "gone");
    // The index of `y` is another one now, and the slot of `gone` belongs to `new`.
    let put = model(&json!({"a": text(&["w", "x", "y"], "y"), "new": text(&["x"], "x")})).features;
    let second = first.with(&Change { revision: 2, put, drop: vec!["gone".to_owned()], ..Change::default() }).0;
    assert_eq!(first.resolve("gone").map(|handle| handle.index()), second.resolve("new").map(|handle| handle.index()));
    let after = counters.board(&second);
    ask(&after, &second, "a");
    // by someone who has not heard of the change yet
    ask(&before, &first, "a");
    ask(&after, &second, "a");
    ask(&after, &second, "new");
    drop((first, before));
    assert_eq!(counts(counters.drain()), [count("a", "y", 4), count("gone", "x", 1), count("new", "x", 1)]);
    assert_eq!(counters.drain(), Counted::default());
}

#[test]
fn a_board_serves_as_long_as_features_and_variants_are_the_same() {
    let counters = Counters::default();
    let first = snapshot(&json!({"a": text(&["x", "y"], "y"), "b": text(&["x"], "x")}));
    let board = counters.board(&first);
    let put = |features: Value| Change { put: model(&features).features, ..Change::default() };
    let same = first.with(&put(json!({"a": text(&["x", "y"], "x")}))).0;
    assert!(Arc::ptr_eq(&board, &counters.board(&same)));
    board.count(&same.evaluate("a", &Anonymous).unwrap());
    for change in [put(json!({"c": text(&["x"], "x")})), put(json!({"a": text(&["x", "z"], "x")})), Change { drop: vec!["b".to_owned()], ..Change::default() }] {
        assert!(!Arc::ptr_eq(&board, &counters.board(&same.with(&change).0)));
    }
    assert_eq!(counts(counters.drain()), [count("a", "x", 1)]);
}

#[test]
fn what_finds_no_room_is_counted_as_dropped() {
    let features: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("feature-{n}"), text(&["x"], "x"))).collect();
    let snapshot = snapshot(&Value::Object(features));
    let counters = Counters::new(10);
    let board = counters.board(&snapshot);
    for _ in 0..3 {
        snapshot.evaluate_all(&Anonymous).for_each(|answer| board.count(&answer));
        let Counted { counts, dropped } = counters.drain();
        assert_eq!((counts.iter().map(|count| count.count).sum::<u64>(), dropped), (10, 990));
    }
}

#[test]
fn what_could_not_be_reported_is_taken_back_as_far_as_there_is_room() {
    let (counters, snapshot) = (Counters::new(2), snapshot(&json!({"a": text(&["x"], "x"), "b": text(&["x"], "x")})));
    let board = counters.board(&snapshot);
    snapshot.evaluate_all(&Anonymous).for_each(|answer| board.count(&answer));
    let Counted { counts: taken, .. } = counters.drain();
    let gone = Count { feature: "gone".to_owned(), ..taken[0].clone() };
    counters.give_back(Counted { counts: vec![gone], dropped: 3 });
    counters.give_back(Counted { counts: taken, dropped: 0 });
    board.count(&snapshot.evaluate("a", &Anonymous).unwrap());
    let Counted { counts: taken, dropped } = counters.drain();
    assert_eq!(counts(Counted { counts: taken, dropped }), [count("a", "x", 2), count("gone", "x", 1)]);
    assert_eq!(dropped, 4);
}

#[test]
fn threads_and_drains_lose_nothing() {
    const THREADS: usize = 12;
    const EACH: usize = 20_000;
    let half = json!({
        "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off",
        "baseline": [{"name": "half", "then": {"split": {"salt": "s", "weights": [["on", 1], ["off", 1]]}}}],
    });
    let (snapshot, counters, working) = (Arc::new(snapshot(&json!({"half": half}))), Counters::new(4), Arc::new(AtomicUsize::new(THREADS)));
    let board = counters.board(&snapshot);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (snapshot, board, working) = (Arc::clone(&snapshot), Arc::clone(&board), Arc::clone(&working));
            thread::spawn(move || {
                let mut on = 0;
                for n in 0..EACH {
                    let user = format!("user-{thread}-{n}");
                    let answer = snapshot.evaluate("half", &Pairs { targeting_key: Some(&user), attributes: &[] }).unwrap();
                    board.count(&answer);
                    on += u64::from(answer.variant() == "on");
                }
                working.fetch_sub(1, Ordering::Release);
                on
            })
        })
        .collect();
    let (mut on, mut off) = (0, 0);
    let mut add = |counted: Counted| {
        assert_eq!(counted.dropped, 0);
        for Count { variant, count, .. } in counted.counts {
            *(if variant == "on" { &mut on } else { &mut off }) += count;
        }
    };
    while working.load(Ordering::Acquire) > 0 {
        add(counters.drain());
    }
    let expected: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    add(counters.drain());
    assert_eq!((on, on + off), (expected, (THREADS * EACH) as u64));
}
