//! A harness of our own: seeds that are mangled by a fixed rule, so that every run of every machine tries the same, in the
//! stable toolchain and without building an engine for it. `FUZZ_ROUNDS=1000000 cargo test --release --test fuzz` goes
//! further. Every crate that reads what comes from outside includes this file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn held(more: isize) {
    LIVE.set(LIVE.get() + more);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size() as isize);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        held(-(layout.size() as isize));
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A text may come to so many patterns, each of which may take so much.
const MEMORY: isize = 64 << 20;
const PER_BYTE: isize = 2_000;
const TIME: Duration = Duration::from_secs(10);

pub fn bounded(input: &[u8], work: impl FnOnce()) {
    let (start, before) = (Instant::now(), LIVE.get());
    PEAK.set(before);
    work();
    let (taken, peak) = (start.elapsed(), PEAK.get() - before);
    let shown = || String::from_utf8_lossy(input.get(..2_000).unwrap_or(input)).into_owned();
    assert!(taken < TIME, "{taken:?} for {}", shown());
    assert!(peak < MEMORY + PER_BYTE * input.len() as isize, "{peak} bytes for {}", shown());
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    /// A part of something of this length.
    fn part(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(60) + 1)
    }
}

/// What a reader may trip over.
const MORSELS: &str =
    r#"{ } [ ] " , : null true - 0 1e999 9007199254740993 -0.0 18446744073709551616 \u0000 \ud800 é \ "": [[[[[[[[ {"a": a{1000} (a+)+$ /129 :: 999.0.0.0 1.2.3- +24:00"#;

fn morsel(chance: &mut Chance) -> &'static str {
    let all = MORSELS.split_ascii_whitespace();
    all.clone().nth(chance.below(all.count())).unwrap_or_default()
}

fn mangled(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        let part = chance.part(bytes.len());
        match chance.below(7) {
            0 => drop(bytes.splice(part.start..part.start, morsel(chance).bytes())),
            1 => drop(bytes.drain(part)),
            2 => {
                let again = bytes[part.clone()].repeat(1 + chance.below(20));
                drop(bytes.splice(part.start..part.start, again));
            }
            3 => {
                let other = &seeds[chance.below(seeds.len())];
                drop(bytes.splice(part, other[chance.part(other.len())].to_vec()));
            }
            4 => bytes.truncate(part.start),
            5 if !part.is_empty() => bytes[part.start] ^= 1 << chance.below(8),
            _ => drop(bytes.splice(part, morsel(chance).bytes())),
        }
    }
    bytes
}

/// Tries every seed, then mangled ones.
pub fn fuzz(seeds: &[Vec<u8>], rounds: usize, mut work: impl FnMut(&[u8])) {
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(rounds, |rounds| rounds.parse().unwrap());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    seeds.iter().for_each(|seed| bounded(seed, || work(seed)));
    for _ in 0..rounds {
        let bytes = mangled(seeds, &mut chance);
        bounded(&bytes, || work(&bytes));
    }
}
