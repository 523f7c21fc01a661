//! Answering allocates nothing, whatever the rules ask and wherever the context comes from.
#![expect(unsafe_code, reason = "a global allocator that counts is the only way to see allocations")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use greenroom_exposure::{Attribute, Change, Context, Counters, Json, Model, Pairs, Snapshot};
use serde_json::{Map, Value, json};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// One feature per kind of clause, and one that combines cohorts, prerequisites and a split.
fn snapshot() -> Snapshot {
    let clauses = json!({
        "plain": [],
        "in": [{"attribute": "plan", "op": "in", "values": (0..10_000).map(|n| format!("plan-{n}")).collect::<Vec<_>>()}],
        "folded": [{"attribute": "plan", "op": "not_in", "values": ["GOLD", "Sílver"], "ignore_case": true}],
        "affixes": [{"attribute": "plan", "op": "starts_with", "values": ["PLAN"], "ignore_case": true},
                    {"attribute": "plan", "op": "ends_with", "values": ["7"]},
                    {"attribute": "plan", "op": "contains", "values": ["AN-"], "ignore_case": true}],
        "number": [{"attribute": "age", "op": "ge", "values": [18]}],
        "date": [{"attribute": "joined", "op": "after", "values": ["2020-01-01T00:00:00Z"]}],
        "version": [{"attribute": "version", "op": "semver_ge", "values": ["1.2.0-a-very-long-prerelease.1"]}],
        "address": [{"attribute": "ip", "op": "cidr", "values": ["10.0.0.0/8", "2001:db8::/32"]}],
        "regex": [{"attribute": "plan", "op": "regex", "values": ["^plan-[0-9]+$"]}],
        "presence": [{"attribute": "plan", "op": "present"}, {"attribute": "gone", "op": "absent"}],
        "missing": [{"attribute": "gone", "op": "in", "values": ["x"]}],
        "share": [{"cohort": "staff"}, {"share": {"salt": "autumn", "share": 50_000}}],
    });
    let mut features: Map<String, Value> = Map::new();
    for (key, when) in clauses.as_object().unwrap() {
        features.insert(
            key.clone(),
            json!({
                "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off",
                "claims": [{"name": "rule", "when": when, "then": {"variant": "on"}, "release": "autumn"}],
            }),
        );
    }
    features.insert(
        "split".to_owned(),
        json!({
            "type": "string", "variants": {"a": "A", "b": "B", "off": ""}, "off": "off", "default": "off",
            "prerequisites": [{"feature": "share", "variants": ["on", "off"]}, {"feature": "plain", "variants": ["on"]}],
            "baseline": [{"name": "half", "then": {"split": {"salt": "colours", "weights": [["a", 1], ["b", 1]]}}}],
        }),
    );
    let model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": 1, "features": features,
        "cohorts": {"staff": {"version": 1, "any_of": [[{"attribute": "age", "op": "lt", "values": [10]}],
                                                       [{"attribute": "plan", "op": "in", "values": ["plan-7"]}]]}},
    }))
    .unwrap();
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert_eq!(warnings, []);
    snapshot
}

fn ask<C: Context>(snapshot: &Snapshot, context: &C) -> usize {
    let mut asked = 0;
    for key in ["plain", "in", "folded", "affixes", "number", "date", "version", "address", "regex", "presence", "missing", "share", "split", "no-such-feature"] {
        let Some(answer) = snapshot.evaluate(key, context) else { continue };
        let told = (answer.value(), answer.reason(), answer.rule(), answer.release(), answer.blocked_by());
        asked += usize::from(std::hint::black_box(told).0 != &Value::Null);
        assert!(snapshot.evaluate_handle(answer.handle(), context).is_some());
    }
    asked + snapshot.evaluate_all(context).count()
}

#[test]
fn answering_allocates_nothing() {
    let snapshot = snapshot();
    let parsed = json!({
        "targetingKey": "user-7", "plan": "plan-7", "age": 42, "joined": "2024-02-29T12:00:00.25+01:00",
        "version": "1.2.0-a-very-long-prerelease.2+build", "ip": "10.1.2.3", "list": [1, 2]
    });
    let parsed = parsed.as_object().unwrap();
    let pairs = [
        ("plan", Attribute::Text("plan-7")),
        ("age", Attribute::Number(42.0)),
        ("joined", Attribute::Text("2024-02-29T12:00:00.25+01:00")),
        ("version", Attribute::Text("1.2.0-a-very-long-prerelease.2+build")),
        ("ip", Attribute::Text("2001:db8::7")),
    ];
    let pairs = Pairs { targeting_key: Some("user-7"), attributes: &pairs };
    // The regex engine gives each thread its scratch space on first use.
    ask(&snapshot, &pairs);

    let mut asked = (0, 0);
    let counted = allocations(|| asked = (ask(&snapshot, &pairs), ask(&snapshot, &Json(parsed))));
    assert_eq!(asked, (26, 26));
    assert_eq!(counted, 0);
}

#[test]
fn counting_allocates_nothing() {
    let snapshot = snapshot();
    let counters = Counters::new(100);
    let board = counters.board(&snapshot);
    let pairs = Pairs { targeting_key: Some("user-7"), attributes: &[] };
    let count = || snapshot.evaluate_all(&pairs).for_each(|answer| board.count(&answer));
    // the first answer that a thread counts makes room for all
    count();
    let counted = allocations(|| (0..10).for_each(|_| count()));
    assert_eq!(counted, 0);
    assert_eq!(counters.drain().counts.iter().map(|count| count.count).sum::<u64>(), 143);
}

/// The memory of a change is that of what it touches.
#[test]
fn a_small_change_allocates_little() {
    let mut model = Model::new("production", 1);
    let feature = Arc::new(snapshot().feature("in").unwrap());
    let small = Arc::new(snapshot().feature("number").unwrap());
    model.features = (0..10_000).map(|n| (format!("feature-{n}"), small.clone())).collect();
    model.features.insert("large".to_owned(), feature);
    let (snapshot, _) = Snapshot::compile(&model);
    let change = Change { revision: 2, put: [("feature-7".to_owned(), small)].into(), ..Change::default() };
    let mut changed = None;
    let counted = allocations(|| changed = Some(snapshot.with(&change)));
    assert!(counted < 50, "{counted}");
    assert_eq!(changed.unwrap().0.len(), 10_001);
}
