//! Reads that go through everything there is: the board, what is dark. They take milliseconds of a processor each, so
//! they queue for threads of their own, behind everything else, and commands and small reads do not wait for them.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use greenroom_api::Problem;
use tokio::sync::oneshot;

use super::internal;
use crate::priority;

type Job = Box<dyn FnOnce() + Send>;

/// The threads live as long as this.
pub struct Surveys {
    jobs: Sender<Job>,
}

impl Surveys {
    /// On half of the processors, so that four who watch the board leave the rest to others.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("survey".to_owned()).spawn(move || {
                priority::survey();
                while let Some(job) = next(&queue) {
                    // whoever asked finds nobody answers
                    let _ = std::panic::catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Runs `look` when its turn comes, unless nobody waits for it any more.
    ///
    /// # Errors
    /// `internal` when it panicked.
    pub async fn run<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let (answer, wait) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                let _ = answer.send(look());
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| internal())?;
        wait.await.map_err(|_| internal())
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
