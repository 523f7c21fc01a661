//! What the state weighs: bytes that its owner asked of the allocator and has not given back. Rounding and free lists of
//! the allocator come on top, and so does whatever else a server holds.

use std::alloc::{GlobalAlloc, Layout};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use greenroom_domain::state::State;
use greenroom_ledger::DataDir;
use greenroom_server::engine::replay;
use mimalloc::MiMalloc;

use crate::Outcome;

/// As in the program; counts when told to.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);

fn count(bytes: usize, sign: i64) {
    if ON.load(Relaxed) {
        HELD.fetch_add(sign * i64::try_from(bytes).unwrap_or(0), Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is one by contract; each call goes to the program's own as it came")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        unsafe { MiMalloc.realloc(ptr, layout, size) }
    }
}

/// Folds the ledger and prints what the state holds, as `TOTAL` and then a row a part: `NAME BYTES`.
#[expect(clippy::print_stdout, reason = "read by the one that started it")]
pub fn weigh(data: &str) -> Outcome {
    let ledger = DataDir::open(Path::new(data))?.ledger()?;
    let mut state = replay::fold(&ledger.reader(), State::default(), &|_| {})?;
    ON.store(true, Relaxed);
    let mut parts = Vec::new();
    macro_rules! part {
        ($($name:ident),*) => {$(
            let before = HELD.load(Relaxed);
            drop(std::mem::take(&mut state.$name));
            parts.push((stringify!($name), before - HELD.load(Relaxed)));
        )*};
    }
    part!(builds, versions, builds_of, tried, lived, placements, placed, deployments, rollouts, latest, by_number, configs, features, services, agenda);
    let before = HELD.load(Relaxed);
    drop(state);
    parts.push(("others", before - HELD.load(Relaxed)));
    parts.sort_by_key(|(_, bytes)| -bytes);
    println!("total {}", -HELD.load(Relaxed));
    for (name, bytes) in parts {
        println!("{name} {bytes}");
    }
    Ok(())
}
