#![doc = include_str!("../README.md")]
#![deny(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod caller;
mod feature;
mod now;
mod options;
#[cfg(feature = "open-feature")]
mod provider;
mod report;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use greenroom_exposure::wire::follow::Forced;
use greenroom_exposure::{Context, Counters, Explained, Explanation, Snapshot};
use greenroom_follow::{Batches, Follower, State, Wire, without};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use greenroom_exposure as exposure;
pub use greenroom_follow as follow;

pub use self::caller::Build;
pub use self::feature::Feature;

use self::now::Live;
pub use self::now::{NoAnswer, Now};
pub use self::options::{Invalid, Options};
#[cfg(feature = "open-feature")]
pub use self::provider::Provider;
use self::report::Reporter;

/// What answers, and what is known of the answers: shared by all who ask.
#[derive(Debug)]
pub(crate) struct Shared {
    live: ArcSwapOption<Live>,
    counters: Counters,
    build: Option<Build>,
}

/// An environment, followed. A clone is the same one. When the last is gone, nothing is followed any more.
#[derive(Debug, Clone)]
pub struct Greenroom {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    state: watch::Receiver<State>,
    /// Until it is closed.
    tasks: Mutex<Option<Tasks>>,
}

#[derive(Debug)]
struct Tasks {
    follower: Follower,
    reporter: JoinHandle<()>,
    /// Dropped, it asks the reporter to end.
    close: oneshot::Sender<()>,
}

impl Greenroom {
    /// Starts to follow, inside a Tokio runtime. Returns as soon as there is something to answer from: at once with a copy on
    /// disk, else when the first snapshot has come. If none comes in time ([`follow::Pace::patience`]) it returns all the same:
    /// an application starts without us, too.
    ///
    /// # Errors
    /// Only if the options cannot be right.
    pub async fn connect(options: Options) -> Result<Self, Invalid> {
        let wire = Wire::new(options.upstream()?)?;
        let shared = Arc::new(Shared { live: ArcSwapOption::empty(), counters: Counters::default(), build: options.build });
        let (showing, mut shown) = (Arc::clone(&shared), None);
        let follower = Follower::start(wire.clone(), options.copy, move |state| showing.show(state, &mut shown));
        let mut state = follower.state().clone();
        let (close, closing) = oneshot::channel();
        let reporter = Reporter { wire, shared: Arc::clone(&shared), batches: Batches::default(), state: state.clone(), closing };
        let tasks = Mutex::new(Some(Tasks { follower, reporter: tokio::spawn(reporter.run()), close }));
        let greenroom = Self { shared, running: Arc::new(Running { state: state.clone(), tasks }) };
        let _ = tokio::time::timeout(options.pace.patience, state.wait_for(|state| state.held.is_some())).await;
        Ok(greenroom)
    }

    /// The snapshot as it is now: for a request that asks for several features and wants them of one revision.
    ///
    /// # Errors
    /// [`NoAnswer::NotReady`].
    pub fn now(&self) -> Result<Now<'_>, NoAnswer> {
        Now::of(&self.shared)
    }

    /// The answer to a caller, counted.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn evaluate<C: Context + ?Sized>(&self, key: &str, context: &C) -> Result<Explained, NoAnswer> {
        self.now()?.evaluate(key, context).map(|answer| Explained::from(&answer))
    }

    /// The value for a caller, or `default` if there is none or it is not a boolean.
    pub fn boolean<C: Context + ?Sized>(&self, key: &str, context: &C, default: bool) -> bool {
        self.now().ok().and_then(|now| now.evaluate(key, context).ok()?.boolean()).unwrap_or(default)
    }

    /// The value for a caller, or `default` if there is none or it is not a text.
    pub fn string<C: Context + ?Sized>(&self, key: &str, context: &C, default: &str) -> String {
        self.now().ok().and_then(|now| now.evaluate(key, context).ok()?.value().as_str().map(str::to_owned)).unwrap_or_else(|| default.to_owned())
    }

    /// The value for a caller, or `default` if there is none or it is not an integer.
    pub fn integer<C: Context + ?Sized>(&self, key: &str, context: &C, default: i64) -> i64 {
        self.now().ok().and_then(|now| now.evaluate(key, context).ok()?.value().as_i64()).unwrap_or(default)
    }

    /// The value for a caller, or `default` if there is none or it is not a number.
    pub fn float<C: Context + ?Sized>(&self, key: &str, context: &C, default: f64) -> f64 {
        self.now().ok().and_then(|now| now.evaluate(key, context).ok()?.value().as_f64()).unwrap_or(default)
    }

    /// One feature, looked up once. It need not be there yet, and may go and come back.
    #[must_use]
    pub fn feature(&self, key: &str) -> Feature {
        Feature::new(self.clone(), key)
    }

    /// Every step that leads to the answer. Not counted.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn explain<C: Context + ?Sized>(&self, key: &str, context: &C) -> Result<Explanation, NoAnswer> {
        self.now()?.explain(key, context)
    }

    /// Where following stands, and every change of that.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.running.state.clone()
    }

    /// Hangs up, after the last counts are reported and the copy on disk is of what is held. Clones go on answering from that.
    pub async fn close(self) {
        let tasks = self.running.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Tasks { follower, reporter, close }) = tasks {
            drop(close);
            let _ = reporter.await;
            follower.close().await;
        }
    }
}

/// What is answered from, by what it was made of.
type Shown = (Arc<Snapshot>, Arc<[Forced]>);

impl Shared {
    /// Answers from `state` from now on.
    fn show(&self, state: &State, shown: &mut Option<Shown>) {
        let Some(held) = &state.held else { return };
        let (signed, forced) = (held.snapshot(), &state.forced);
        if shown.as_ref().is_some_and(|shown| Arc::ptr_eq(&shown.0, signed) && Arc::ptr_eq(&shown.1, forced)) {
            return;
        }
        *shown = Some((Arc::clone(signed), Arc::clone(forced)));
        let snapshot = without(signed, forced);
        let board = self.counters.board(&snapshot);
        self.live.store(Some(Arc::new(Live::new(snapshot, board))));
    }
}
