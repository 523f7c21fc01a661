//! Waiting for what was asked: driven by the ledger's events, with a fresh look after each, and by time where events
//! do not come through.

use std::io::IsTerminal as _;
use std::time::Duration;

use greenroom_api::client::{Call, Events, Filter};
use greenroom_domain::refusal::Reason;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{self, Page};

/// Looks again after this long even when no event came.
const LOOK: Duration = Duration::from_secs(5);
/// Without events.
const POLL: Duration = Duration::from_secs(1);
/// Events that come together are one change.
const TOGETHER: Duration = Duration::from_millis(50);

/// How far it is.
pub enum Standing {
    /// Not done: in one line.
    Going(String),
    Done,
    Failed(String, Vec<Reason>),
}

/// Reads `call` until `judge` is satisfied. A failure and the end of patience come with the last view. A server that
/// is away for a while is waited for too: what was asked for is in its ledger.
pub async fn until<T: DeserializeOwned>(context: &Context, call: &Call<T>, judge: impl Fn(&T) -> Standing) -> Result<T, (Failure, Option<T>)> {
    let progress = Progress::new();
    let deadline = Instant::now() + context.timeout();
    let mut changes = Changes::new(context, context.client.seen());
    let mut last: Option<T> = None;
    loop {
        let late = match context.client.send(call).await {
            Ok(view) => {
                let line = match judge(&view) {
                    Standing::Done => return Ok(view),
                    Standing::Failed(why, reasons) => return Err((Failure::new(Exit::Failed, why).reasons(reasons), Some(view))),
                    Standing::Going(line) => line,
                };
                progress.say(&line);
                last = Some(view);
                // every reason stands in the last view, which is shown beside it
                Failure::new(Exit::Waiting, format!("after {}: {line}", context.global.timeout)).hint("it goes on without you; wait longer with --timeout")
            }
            Err(error) => {
                let failure = Failure::from(error);
                if failure.exit != Exit::Unreachable {
                    return Err((failure, last));
                }
                progress.say(&format!("{} is away", context.server));
                failure
            }
        };
        tokio::select! {
            () = changes.next() => {}
            () = sleep_until(deadline) => return Err((late, last)),
        }
    }
}

/// Shows what came of an order: at once, or with `--wait` as it is when `judge` is satisfied or gives up.
///
/// # Errors
/// As [`until`]'s.
pub async fn shown<T: DeserializeOwned + Serialize>(
    context: &Context,
    call: &Call<T>,
    ordered: T,
    judge: impl Fn(&T) -> Standing,
    show: impl FnOnce(&mut Page, &T),
) -> Result<(), Failure> {
    let (view, ended) = match context.global.wait {
        false => (Some(ordered), Ok(())),
        true => match until(context, call, judge).await {
            Ok(view) => (Some(view), Ok(())),
            Err((failure, last)) => (last, Err(failure)),
        },
    };
    if let Some(view) = view {
        context.present(&view, show);
    }
    ended
}

/// Something may have changed.
pub struct Changes<'a> {
    events: Option<Events<'a>>,
}

impl<'a> Changes<'a> {
    pub fn new(context: &'a Context, after: u64) -> Self {
        Self { events: Some(context.client.events(Filter::default(), after)) }
    }

    /// Returns when it is time to look again.
    pub async fn next(&mut self) {
        let Some(events) = &mut self.events else { return sleep(POLL).await };
        match timeout(LOOK, events.next()).await {
            Ok(Ok(_)) => {
                let calm = Instant::now() + TOGETHER;
                while let Ok(Ok(_)) = tokio::time::timeout_at(calm, events.next()).await {}
            }
            Ok(Err(_)) => self.events = None,
            Err(_) => {}
        }
    }
}

/// One line that changes on a terminal, a line for each change elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    last: std::cell::RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, last: std::cell::RefCell::default() }
    }

    fn say(&self, line: &str) {
        if *self.last.borrow() == line {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(output::clean(line));
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            None => output::note(line),
        }
        line.clone_into(&mut self.last.borrow_mut());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
