//! From JSON to the first answer, the heap that this takes, and one change to one of many features.

use std::hint::black_box;
use std::sync::Arc;

use greenroom_exposure::{Change, Model, Snapshot};
use unleash_yggdrasil::UpdateMessage;

use crate::definitions::{self, Asks, mixed};
use crate::engines::{self, Flags, bytes};
use crate::measure::{Figure, live, once, running};
use crate::short;

const FEATURES: usize = 10_000;
const CHANGED: &str = "feature-701";

pub fn table() {
    let features = mixed(FEATURES);
    let (ours, unleash, ld) = (bytes(&definitions::greenroom(&features)), bytes(&definitions::unleash(&features)), bytes(&definitions::launchdarkly(&features)));

    println!("| What | ours | yggdrasil | LaunchDarkly |\n|---|---|---|---|");
    let load = [once("", 7, || timed(|| engines::greenroom(&ours))), once("", 5, || timed(|| engines::unleash(&unleash))), once("", 5, || timed(|| Flags::read(&ld)))];
    print("load from JSON, ms", 1e6, &load);
    let model: Model = serde_json::from_slice(&ours).unwrap();
    let parse = once("", 7, || timed(|| serde_json::from_slice::<Model>(&ours).unwrap()));
    let compile = once("", 7, || timed(|| Snapshot::compile(&model)));
    println!("| as a model: reading it, ms | {} | | |\n| compiling that, ms | {} | | |", cell(&parse, 1e6), cell(&compile, 1e6));
    let snapshot = engines::greenroom(&ours);
    let binary = snapshot.to_bytes();
    let load = once("", 7, || timed(|| Snapshot::from_bytes(&binary).unwrap()));
    let write = once("", 7, || timed(|| snapshot.to_bytes()));
    println!("| load from the binary form, ms | {} | | |\n| write it, ms | {} | | |", cell(&load, 1e6), cell(&write, 1e6));
    println!("| size of JSON and of the binary form, kB | {} and {} | {} | {} |", ours.len() / 1_000, binary.len() / 1_000, unleash.len() / 1_000, ld.len() / 1_000);
    drop((binary, snapshot));
    let heap = [heap(|| engines::greenroom(&ours)), heap(|| engines::unleash(&unleash)), heap(|| Flags::read(&ld))];
    println!("| heap per feature, source included, bytes | {} |", heap.map(|bytes| (bytes / FEATURES).to_string()).join(" | "));

    let feature = Arc::new(serde_json::from_value(definitions::greenroom_feature(CHANGED, Asks::Plan)).unwrap());
    let mut snapshot = engines::greenroom(&ours);
    let change_ours = once("", 101, || {
        let change = Change { revision: snapshot.revision() + 1, put: [(CHANGED.to_owned(), Arc::clone(&feature))].into(), ..Change::default() };
        let start = running();
        let (next, warnings) = snapshot.with(&change);
        let took = (running() - start) as f64;
        assert!(warnings.is_empty());
        snapshot = next;
        took
    });
    let engine = engines::unleash(&unleash);
    let update = serde_json::json!({"events": [{"type": "feature-updated", "eventId": 2, "feature": definitions::unleash_feature(CHANGED, Asks::Plan)}]});
    let change_unleash = once("", 5, || {
        let delta = serde_json::from_value(update.clone()).unwrap();
        timed(|| engine.take_state(UpdateMessage::PartialUpdate(delta)))
    });
    let mut flags = Flags::read(&ld);
    let flag = definitions::launchdarkly_flag(CHANGED, Asks::Plan);
    let change_ld = once("", 101, || {
        let flag = serde_json::from_value(flag.clone()).unwrap();
        timed(|| flags.flags.insert(CHANGED.to_owned(), flag))
    });
    print("change of one feature, already parsed, µs", 1e3, &[change_ours, change_unleash, change_ld]);
    println!();
}

/// Dropping what was made is not counted.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = running();
    let made = black_box(work());
    let took = (running() - start) as f64;
    drop(made);
    took
}

fn heap<T>(load: impl FnOnce() -> T) -> usize {
    let before = live();
    let loaded = black_box(load());
    let taken = live() - before;
    drop(loaded);
    taken
}

fn print(what: &str, unit: f64, figures: &[Figure]) {
    println!("| {what} | {} |", figures.iter().map(|figure| cell(figure, unit)).collect::<Vec<_>>().join(" | "));
}

fn cell(figure: &Figure, unit: f64) -> String {
    format!("{} [{}–{}], {:.0} allocations", short(figure.median / unit), short(figure.least / unit), short(figure.most / unit), figure.allocations)
}
