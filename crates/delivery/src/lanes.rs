//! Threads that serve connections, each with its own and alone: what one of them does never wakes another, which on few
//! cores costs more than the answer itself.
//!
//! Whoever serves connections on lanes must not hold one up for longer than an answer takes: work that is long goes to
//! another runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// They end, with all that they serve, when this is dropped.
pub(crate) struct Lanes {
    lanes: Vec<(Handle, oneshot::Sender<()>)>,
    next: AtomicUsize,
}

impl Lanes {
    /// One for every second core: the others are for those who decide, and for whoever else lives here.
    pub(crate) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
        Ok(Self { lanes: (0..count).map(lane).collect::<io::Result<_>>()?, next: AtomicUsize::new(0) })
    }

    /// In turns.
    pub(crate) fn next(&self) -> Option<&Handle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.lanes.get(turn % self.lanes.len().max(1)).map(|(handle, _)| handle)
    }
}

fn lane(number: usize) -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
    thread::Builder::new().name(format!("lane-{number}")).spawn(move || runtime.block_on(ended))?;
    Ok((handle, end))
}
