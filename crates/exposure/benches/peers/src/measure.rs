//! Time of the CPU on this thread, allocations, and medians of rounds in which all contestants take turns.
#![expect(unsafe_code, reason = "to count the heap, and to ask for the time of this thread alone")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

const ROUNDS: usize = 15;
/// What a contestant runs for in one round.
const BATCH: f64 = 1_500_000.0;

/// Untimed, before each round of each: once through all features, where they are many.
const WARM: usize = 10_000;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        COUNT.fetch_add(1, Ordering::Relaxed);
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

/// Bytes on the heap.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Nanoseconds that this thread has been running.
pub fn running() -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut at) };
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}

/// Runs its work so many times and tells the nanoseconds of one.
pub type Contestant<'a> = (&'static str, Box<dyn FnMut(usize) -> f64 + 'a>);

pub fn contestant<'a>(name: &'static str, mut work: impl FnMut(usize) + 'a) -> Contestant<'a> {
    let each = move |n: usize| {
        let start = running();
        (0..n).for_each(&mut work);
        (running() - start) as f64 / n as f64
    };
    (name, Box::new(each))
}

/// Of one contestant: nanoseconds and allocations of one piece of work.
#[derive(Debug, Clone)]
pub struct Figure {
    pub name: &'static str,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub allocations: f64,
    /// By round.
    times: Vec<f64>,
}

impl Figure {
    /// Median of the ratios of each round: what wears on a round wears on both.
    pub fn ratio(&self, other: &Self) -> f64 {
        median(self.times.iter().zip(&other.times).map(|(one, other)| one / other).collect())
    }
}

/// All of them in turns, so that noise falls on each alike.
pub fn compare(mut contestants: Vec<Contestant<'_>>) -> Vec<Figure> {
    let prepared: Vec<(usize, f64)> = contestants
        .iter_mut()
        .map(|(_, each)| {
            let once = each(64).min(each(64)).max(1.0);
            let n = ((BATCH / once) as usize).clamp(3, 1_000_000);
            let before = COUNT.load(Ordering::Relaxed);
            each(n.min(1_024));
            (n, (COUNT.load(Ordering::Relaxed) - before) as f64 / n.min(1_024) as f64)
        })
        .collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    for _ in 0..ROUNDS {
        for (at, (_, each)) in contestants.iter_mut().enumerate() {
            let (n, _) = prepared[at];
            // what those before it have driven out of the caches is not its own doing
            each(n.min(WARM));
            times[at].push(each(n));
        }
    }
    let figures = contestants.iter().zip(times).zip(prepared);
    figures.map(|(((name, _), times), (_, allocations))| figure(name, times, allocations)).collect()
}

/// Few rounds of something that takes milliseconds.
pub fn once(name: &'static str, rounds: usize, mut work: impl FnMut() -> f64) -> Figure {
    let before = COUNT.load(Ordering::Relaxed);
    let first = work();
    let allocations = (COUNT.load(Ordering::Relaxed) - before) as f64;
    figure(name, (1..rounds).map(|_| work()).chain([first]).collect(), allocations)
}

fn figure(name: &'static str, times: Vec<f64>, allocations: f64) -> Figure {
    let (least, most) = times.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), time| (least.min(*time), most.max(*time)));
    Figure { name, median: median(times.clone()), least, most, allocations, times }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}
