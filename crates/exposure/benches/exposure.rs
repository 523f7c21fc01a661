//! Time per answer, per compile and per change, and heap per feature. `cargo bench -p greenroom-exposure`.
//!
//! All times are of the CPU, as Linux accounts for this thread, and the best of several rounds: on a busy machine the rest
//! measures the neighbours.
#![expect(unsafe_code, reason = "to count the heap, and to ask for the time of this thread alone")]
#![expect(clippy::print_stdout, reason = "this program reports")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenroom_exposure::model::Feature;
use greenroom_exposure::wire::{read_request, write_answer};
use greenroom_exposure::{Attribute, Change, Model, Pairs, Snapshot};
use serde_json::{Value, json};

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn feature(rules: &Value) -> Arc<Feature> {
    let feature = json!({
        "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off", "baseline": rules
    });
    Arc::new(serde_json::from_value(feature).unwrap())
}

fn rule(when: &Value) -> Value {
    json!({"name": "rule", "when": when, "then": {"variant": "on"}, "release": "autumn"})
}

fn list(n: usize) -> Value {
    let values: Vec<String> = (0..n).map(|n| format!("user-{n}")).collect();
    json!([{"attribute": "targetingKey", "op": "in", "values": values}])
}

fn model(features: usize) -> Model {
    let mut model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": 1,
        "cohorts": {
            "staff": {"version": 1, "any_of": [[{"attribute": "email", "op": "ends_with", "values": ["@example.org"]}]]},
            "gold": {"version": 1, "any_of": [[{"attribute": "plan", "op": "in", "values": ["gold", "platinum"]}]]},
        },
    }))
    .unwrap();
    let five: Vec<Value> = (0..5)
        .map(|n| {
            let country = json!({"attribute": "country", "op": "in", "values": [format!("c{n}"), if n == 4 { "de" } else { "xx" }]});
            rule(&json!([{"cohort": "gold"}, {"cohort": "staff"}, country]))
        })
        .collect();
    for n in 0..features {
        let rules = match n % 3 {
            0 => json!([]),
            1 => json!([rule(&json!([{"share": {"salt": format!("salt-{n}"), "share": 50_000}}]))]),
            _ => json!([rule(&json!([{"attribute": "plan", "op": "in", "values": ["gold", "silver"]}]))]),
        };
        model.features.insert(format!("feature-{n}"), feature(&rules));
    }
    model.features.insert("plain".to_owned(), feature(&json!([rule(&json!([]))])));
    model.features.insert("rollout".to_owned(), feature(&json!([rule(&json!([{"share": {"salt": "autumn", "share": 50_000}}]))])));
    model.features.insert("in-50".to_owned(), feature(&json!([rule(&list(50))])));
    model.features.insert("in-10000".to_owned(), feature(&json!([rule(&list(10_000))])));
    model.features.insert("five-by-two".to_owned(), feature(&json!(five)));
    model
}

fn best(rounds: usize, mut work: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| work()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds that this thread has been running.
fn running() -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut at) };
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}

fn nanos_each(n: usize, mut work: impl FnMut(usize)) -> f64 {
    let start = running();
    (0..n).for_each(&mut work);
    (running() - start) as f64 / n as f64
}

fn main() {
    let (snapshot, warnings) = Snapshot::compile(&model(1_000));
    assert!(warnings.is_empty(), "{warnings:?}");
    let users: Vec<String> = (0..1_024).map(|n| format!("user-{}", if n % 2 == 0 { n % 50 } else { n + 20_000 })).collect();
    let attributes = [("email", Attribute::Text("ann@example.org")), ("country", Attribute::Text("de")), ("plan", Attribute::Text("gold")), ("age", Attribute::Number(42.0))];
    println!("{:<28} {:>10} {:>10}", "ns per answer", "by key", "by handle");
    for key in ["plain", "rollout", "in-50", "in-10000", "five-by-two"] {
        let handle = snapshot.resolve(key).unwrap();
        let caller = |n: usize| Pairs { targeting_key: users.get(n % 1_024).map(String::as_str), attributes: &attributes };
        let by_key = best(15, || {
            nanos_each(100_000, |n| {
                black_box(snapshot.evaluate(black_box(key), &caller(n)).map(|answer| (answer.variant(), answer.reason())));
            })
        });
        let by_handle = best(15, || {
            nanos_each(100_000, |n| {
                black_box(snapshot.evaluate_handle(black_box(handle), &caller(n)).map(|answer| (answer.variant(), answer.reason())));
            })
        });
        println!("{key:<28} {by_key:>10.1} {by_handle:>10.1}");
    }

    let body = br#"{"context":{"targetingKey":"user-7","email":"ann@example.org","country":"de","plan":"gold","age":42}}"#;
    let mut out = Vec::with_capacity(1 << 20);
    let one = best(15, || {
        nanos_each(20_000, |_| {
            out.clear();
            let caller = read_request(black_box(body)).unwrap();
            write_answer(&mut out, &snapshot, &snapshot.evaluate("rollout", &caller).unwrap());
        })
    });
    let bulk = best(15, || {
        nanos_each(200, |_| {
            out.clear();
            let caller = read_request(black_box(body)).unwrap();
            snapshot.evaluate_all(&caller).for_each(|answer| write_answer(&mut out, &snapshot, &answer));
        })
    });
    println!("{:<28} {one:>10.0}\n{:<28} {bulk:>10.0}", "OFREP single, ns", "OFREP bulk of 1,005, ns");

    let large = model(10_000);
    let text = serde_json::to_vec(&large).unwrap();
    let parse = best(5, || nanos_each(1, |_| drop(black_box(serde_json::from_slice::<Model>(&text).unwrap())))) / 1e6;
    let compile = best(5, || nanos_each(1, |_| drop(black_box(Snapshot::compile(&large))))) / 1e6;
    println!("{:<28} {parse:>10.1}\n{:<28} {compile:>10.1}", "parse 10,005 features, ms", "compile them, ms");

    let live = LIVE.load(Ordering::Relaxed);
    let (mut snapshot, _) = Snapshot::compile(&large);
    println!("{:<28} {:>10}", "heap per feature, bytes", (LIVE.load(Ordering::Relaxed) - live) / large.features.len());

    let changed = feature(&json!([rule(&json!([{"share": {"salt": "salt", "share": 60_000}}]))]));
    let change = best(200, || {
        let change = Change { revision: snapshot.revision() + 1, put: [("feature-700".to_owned(), Arc::clone(&changed))].into(), ..Change::default() };
        let start = running();
        let (next, _) = snapshot.with(&change);
        let taken = (running() - start) as f64 / 1e3;
        snapshot = next;
        taken
    });
    println!("{:<28} {change:>10.1}", "change one of them, us");
}
