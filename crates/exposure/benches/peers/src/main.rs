//! Peers, our floor and ourselves in one process: time of the CPU and allocations of an answer, of loading and of a
//! change, and heap. Prints Markdown. `cargo run --release --locked` in this folder.
//!
//! Everything is prepared beforehand: callers in each engine's own form, handles resolved, flags at hand. What an engine
//! cannot do has a dash.

mod definitions;
mod engines;
mod floor;
mod loading;
mod measure;

use std::hint::black_box;

use greenroom_exposure::Counters;

use crate::definitions::{CASES, all, attributes, caller, mixed, users};
use crate::engines::{Engines, launchdarkly_callers, unleash_callers};
use crate::floor::Floor;
use crate::measure::{Contestant, Figure, compare, contestant};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

const KEY: &str = "ours, by key";
const FLOOR_KEY: &str = "floor, by key";
const HANDLE: &str = "ours, by handle";
const FLOOR_HANDLE: &str = "floor, by handle";
const COUNTED: &str = "ours, by key, with variant, reason and count";
const COUNTED_YGGDRASIL: &str = "yggdrasil, with count_toggle";
const YGGDRASIL: &str = "yggdrasil";
const LD: &str = "LaunchDarkly, flag in hand";
const LD_KEY: &str = "LaunchDarkly, by key";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [key, how, times] = arguments.as_slice() {
        return profiled(key, how, times.parse().unwrap());
    }
    println!(
        "Medians of 15 interleaved rounds in ns of this thread's CPU time per answer, `[least–most]`; ratios are medians of those of each round. Before each round everyone once does untimed what they do, so that nobody pays for what those before them drove out of the caches. *Floor*: one lookup of the key and the compare, of our own. Zero allocations unless said.\n"
    );
    for size in SIZES {
        println!("### {size} features\n");
        answers(size);
    }
    println!("### Loading 10,000 features, and changing one\n");
    loading::table();
}

/// One row by one of us alone, so many times, for a profiler: `in-50 handle 1000000`. `how` is `key`, `handle`, `floor-key`
/// or `floor-handle`; or, whatever the row, `load` or `load-binary`: 10,000 features from JSON or from the binary form; or
/// `all-handle` or `all-floor`, by the number of features: `10000 all-handle 1000000`.
fn profiled(key: &str, how: &str, times: usize) {
    if how.starts_with("load") {
        let json = engines::bytes(&definitions::greenroom(&mixed(10_000)));
        let binary = engines::greenroom(&json).to_bytes();
        return (0..times).for_each(|_| match how {
            "load" => drop(black_box(engines::greenroom(&json))),
            _ => drop(black_box(greenroom_exposure::Snapshot::from_bytes(&binary).unwrap())),
        });
    }
    if how.starts_with("all") {
        return in_turn(key.parse().unwrap(), how, times);
    }
    let features = all(1_000);
    let (greenroom, floor) = (engines::greenroom(&engines::bytes(&definitions::greenroom(&features))), Floor::new(&features));
    let (users, attributes) = (users(), attributes());
    let (handle, slot) = (greenroom.resolve(key), floor.by_key.get(key).copied());
    for n in 0..times {
        let caller = caller(&users[n % 1_024], &attributes);
        match (how, handle, slot) {
            ("key", ..) => drop(black_box(greenroom.evaluate(black_box(key), &caller).map(|answer| answer.boolean()))),
            ("floor-key", ..) => drop(black_box(floor.by_key(black_box(key), &caller))),
            ("handle", Some(handle), _) => drop(black_box(greenroom.evaluate_handle(black_box(handle), &caller).map(|answer| answer.boolean()))),
            ("floor-handle", _, Some(slot)) => drop(black_box(floor.by_handle(black_box(slot), &caller))),
            _ => panic!("no such feature, or way to ask: {key} {how}"),
        }
    }
}

/// So many features in turn, by handle.
fn in_turn(size: usize, how: &str, times: usize) {
    let features = mixed(size);
    let (greenroom, floor) = (engines::greenroom(&engines::bytes(&definitions::greenroom(&features))), Floor::new(&features));
    let (users, attributes, walk) = (users(), attributes(), scrambled(size));
    let handles: Vec<_> = walk.iter().map(|at| greenroom.resolve(&features[*at].0).unwrap()).collect();
    for n in 0..times {
        let caller = caller(&users[n % 1_024], &attributes);
        match how {
            "all-handle" => drop(black_box(greenroom.evaluate_handle(handles[n % size], &caller).map(|answer| answer.boolean()))),
            _ => drop(black_box(floor.by_handle(walk[n % size], &caller))),
        }
    }
}

fn answers(size: usize) {
    let features = all(size);
    let engines = Engines::load(&features);
    let (users, attributes) = (users(), attributes());
    let (unleash_callers, ld_callers) = (unleash_callers(&users), launchdarkly_callers(&users));
    let at = |n: usize| n % 1_024;

    println!(
        "| Row | ours, by key | floor | ratio | ours, by handle | floor | ratio | yggdrasil | LaunchDarkly, by key | flag in hand | allocations: ours, yggdrasil, LaunchDarkly |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (row, key) in [("missing", "no-such-feature")].into_iter().chain(CASES.iter().map(|(row, key, _)| (*row, *key))) {
        let mut contestants: Vec<Contestant<'_>> = vec![
            contestant(KEY, |n| {
                black_box(engines.greenroom.evaluate(black_box(key), &caller(&users[at(n)], &attributes)).map(|answer| answer.boolean()));
            }),
            contestant(FLOOR_KEY, |n| {
                black_box(engines.floor.by_key(black_box(key), &caller(&users[at(n)], &attributes)));
            }),
            contestant(YGGDRASIL, |n| {
                black_box(engines.unleash.is_enabled(black_box(key), &unleash_callers[at(n)], &None));
            }),
            contestant(LD_KEY, |n| {
                let flag = launchdarkly_server_sdk_evaluation::Store::flag(&engines.launchdarkly, black_box(key));
                black_box(flag.map(|flag| engines.launchdarkly.ask(&flag, &ld_callers[at(n)])));
            }),
        ];
        if let (Some(handle), Some(slot), Some(flag)) = (engines.greenroom.resolve(key), engines.floor.by_key.get(key), engines.launchdarkly.flags.get(key)) {
            let (ours, floor) = (black_box(handle), *slot);
            contestants.push(contestant(HANDLE, {
                let (engines, users, attributes) = (&engines, &users, &attributes);
                move |n| {
                    black_box(engines.greenroom.evaluate_handle(black_box(ours), &caller(&users[at(n)], attributes)).map(|answer| answer.boolean()));
                }
            }));
            contestants.push(contestant(FLOOR_HANDLE, {
                let (engines, users, attributes) = (&engines, &users, &attributes);
                move |n| {
                    black_box(engines.floor.by_handle(black_box(floor), &caller(&users[at(n)], attributes)));
                }
            }));
            contestants.push(contestant(LD, |n| {
                black_box(engines.launchdarkly.ask(black_box(flag), &ld_callers[at(n)]));
            }));
            agree(&engines, key, &users, &attributes, &unleash_callers, &ld_callers);
        }
        print_row(row, &compare(contestants));
    }
    println!("\n| With variant, reason and count | ours, by key | yggdrasil with `count_toggle` | ratio |\n|---|---|---|---|");
    let counts = Counters::default().board(&engines.greenroom);
    for (row, key, _) in CASES {
        let figures = compare(vec![
            contestant(COUNTED, |n| {
                let answer = engines.greenroom.evaluate(black_box(key), &caller(&users[at(n)], &attributes)).unwrap();
                counts.count(&answer);
                black_box((answer.boolean(), answer.variant(), answer.reason()));
            }),
            contestant(COUNTED_YGGDRASIL, |n| {
                let on = engines.unleash.is_enabled(black_box(key), &unleash_callers[at(n)], &None);
                engines.unleash.count_toggle(key, on);
                black_box(on);
            }),
        ]);
        if let [ours, theirs] = figures.as_slice() {
            println!("| {row} | {} [{}–{}] | {} | **{:.2}** |", short(ours.median), short(ours.least), short(ours.most), short(theirs.median), ours.ratio(theirs));
        }
    }
    println!(
        "\n| Row | ours, by key | floor | ratio | ours, by handle | floor | ratio | yggdrasil | LaunchDarkly, by key | flag in hand | allocations |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let walk = scrambled(size);
    let keys: Vec<&str> = walk.iter().map(|at| features[*at].0.as_str()).collect();
    let handles: Vec<_> = keys.iter().map(|key| engines.greenroom.resolve(key).unwrap()).collect();
    let flags: Vec<_> = keys.iter().map(|key| &engines.launchdarkly.flags[*key]).collect();
    let figures = compare(vec![
        contestant(KEY, |n| {
            black_box(engines.greenroom.evaluate(keys[n % size], &caller(&users[at(n)], &attributes)).map(|answer| answer.boolean()));
        }),
        contestant(FLOOR_KEY, |n| {
            black_box(engines.floor.by_key(keys[n % size], &caller(&users[at(n)], &attributes)));
        }),
        contestant(YGGDRASIL, |n| {
            black_box(engines.unleash.is_enabled(keys[n % size], &unleash_callers[at(n)], &None));
        }),
        contestant(LD_KEY, |n| {
            let flag = launchdarkly_server_sdk_evaluation::Store::flag(&engines.launchdarkly, keys[n % size]);
            black_box(flag.map(|flag| engines.launchdarkly.ask(&flag, &ld_callers[at(n)])));
        }),
        contestant(HANDLE, |n| {
            black_box(engines.greenroom.evaluate_handle(handles[n % size], &caller(&users[at(n)], &attributes)).map(|answer| answer.boolean()));
        }),
        contestant(FLOOR_HANDLE, |n| {
            black_box(engines.floor.by_handle(walk[n % size], &caller(&users[at(n)], &attributes)));
        }),
        contestant(LD, |n| {
            black_box(engines.launchdarkly.ask(flags[n % size], &ld_callers[at(n)]));
        }),
    ]);
    print_row("all, scrambled", &figures);
    println!();
}

/// No row compares different answers. Who is in a half is each engine's own affair.
fn agree(
    engines: &Engines,
    key: &str,
    users: &[String],
    attributes: &[(&str, greenroom_exposure::Attribute<'_>)],
    unleash: &[unleash_types::client_features::Context],
    ld: &[launchdarkly_server_sdk_evaluation::Context],
) {
    let mut on = [0; 4];
    for (at, user) in users.iter().enumerate() {
        let caller = caller(user, attributes);
        let ours = engines.greenroom.evaluate(key, &caller).and_then(|answer| answer.boolean());
        let answers = [
            ours,
            engines.floor.by_key(key, &caller),
            Some(engines.unleash.is_enabled(key, &unleash[at], &None)),
            Some(engines.launchdarkly.ask(&engines.launchdarkly.flags[key], &ld[at])),
        ];
        answers.iter().zip(&mut on).for_each(|(answer, on)| *on += usize::from(*answer == Some(true)));
    }
    let near = |count: usize| if key == "half" { (400..640).contains(&count) } else { count == on[0] && count > 0 };
    assert!(on.into_iter().all(near) && on[0] == on[1], "{key}: {on:?}");
}

/// An order without a pattern that a cache could follow.
fn scrambled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..mixed(n).len()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..n).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order
}

fn print_row(row: &str, figures: &[Figure]) {
    let of = |name: &str| figures.iter().find(|figure| figure.name == name);
    let time = |name: &str| of(name).map_or_else(|| "–".to_owned(), |figure| format!("{} [{}–{}]", short(figure.median), short(figure.least), short(figure.most)));
    let ratio = |one: &str, other: &str| match (of(one), of(other)) {
        (Some(one), Some(other)) => format!("**{:.2}**", one.ratio(other)),
        _ => "–".to_owned(),
    };
    let allocations: Vec<String> = [KEY, YGGDRASIL, LD_KEY].iter().filter_map(|name| of(name)).map(|figure| short(figure.allocations)).collect();
    println!(
        "| {row} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        time(KEY),
        time(FLOOR_KEY),
        ratio(KEY, FLOOR_KEY),
        time(HANDLE),
        time(FLOOR_HANDLE),
        ratio(HANDLE, FLOOR_HANDLE),
        time(YGGDRASIL),
        time(LD_KEY),
        time(LD),
        allocations.join(", ")
    );
}

fn short(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        below if below < 100.0 => format!("{below:.1}"),
        _ => format!("{figure:.0}"),
    }
}
