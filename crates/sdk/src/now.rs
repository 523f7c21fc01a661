//! Answers of one revision.

use std::sync::Arc;

use arc_swap::Guard;
use greenroom_exposure::{Answer, Board, Context, Explanation, Handle, Snapshot};

use crate::Shared;
use crate::caller::Caller;

/// What is answered from, and where answers are counted.
#[derive(Debug)]
pub(crate) struct Live {
    pub snapshot: Arc<Snapshot>,
    pub board: Arc<Board>,
    #[cfg(feature = "open-feature")]
    pub said: crate::provider::Said,
}

impl Live {
    pub(crate) fn new(snapshot: Arc<Snapshot>, board: Arc<Board>) -> Self {
        Self {
            #[cfg(feature = "open-feature")]
            said: crate::provider::Said::new(&snapshot),
            snapshot,
            board,
        }
    }
}

/// Why there is no answer: the application's own default applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("nothing has been followed yet, and there is no copy on disk")]
    NotReady,
    #[error("there is no such feature")]
    NotFound,
    /// Not even its `off` variant can be served.
    #[error("the feature has no variant that could be served: correct its definition")]
    Unusable,
}

/// The snapshot of one moment. Hold it for a request, not for longer.
pub struct Now<'a> {
    live: Guard<Option<Arc<Live>>>,
    shared: &'a Shared,
}

impl std::fmt::Debug for Now<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Now").field(&self.live.as_ref().map(|live| &live.snapshot)).finish()
    }
}

impl<'a> Now<'a> {
    #[inline]
    pub(crate) fn of(shared: &'a Shared) -> Result<Self, NoAnswer> {
        let live = shared.live.load();
        if live.is_none() { Err(NoAnswer::NotReady) } else { Ok(Self { live, shared }) }
    }

    #[inline]
    pub(crate) fn live(&self) -> Result<&Live, NoAnswer> {
        self.live.as_deref().ok_or(NoAnswer::NotReady)
    }

    /// The compiled snapshot, for whoever wants to ask without being counted.
    ///
    /// # Errors
    /// [`NoAnswer::NotReady`], which cannot happen to one that [`crate::Greenroom::now`] gave.
    pub fn snapshot(&self) -> Result<&Snapshot, NoAnswer> {
        self.live().map(|live| &*live.snapshot)
    }

    /// The answer to a caller, counted.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    #[inline]
    pub fn evaluate<C: Context + ?Sized>(&self, key: &str, context: &C) -> Result<Answer<'_>, NoAnswer> {
        let answer = self.uncounted(key, context)?;
        self.count(&answer);
        Ok(answer)
    }

    /// For whoever does not know yet whether the answer will be used.
    #[inline]
    pub(crate) fn uncounted<C: Context + ?Sized>(&self, key: &str, context: &C) -> Result<Answer<'_>, NoAnswer> {
        let snapshot = &self.live()?.snapshot;
        snapshot.evaluate(key, &self.caller(context)).ok_or_else(|| missing(snapshot, key))
    }

    #[inline]
    pub(crate) fn count(&self, answer: &Answer<'_>) {
        if let Ok(live) = self.live() {
            live.board.count(answer);
        }
    }

    /// By handle if that is good, else by key.
    #[inline]
    pub(crate) fn evaluate_held<C: Context + ?Sized>(&self, handle: Option<Handle>, key: &str, context: &C) -> Result<Answer<'_>, NoAnswer> {
        let live = self.live()?;
        let held = handle.and_then(|handle| live.snapshot.evaluate_handle(handle, &self.caller(context)));
        match held {
            Some(answer) => {
                live.board.count(&answer);
                Ok(answer)
            }
            None => self.evaluate(key, context),
        }
    }

    /// Every step that leads to the answer. Not counted.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn explain<C: Context + ?Sized>(&self, key: &str, context: &C) -> Result<Explanation, NoAnswer> {
        let snapshot = self.snapshot()?;
        snapshot.explain(key, &self.caller(context)).ok_or_else(|| missing(snapshot, key))
    }

    #[inline]
    fn caller<'c, C: ?Sized>(&'c self, context: &'c C) -> Caller<'c, C> {
        Caller { context, build: self.shared.build.as_ref() }
    }
}

#[cold]
fn missing(snapshot: &Snapshot, key: &str) -> NoAnswer {
    if snapshot.contains(key) { NoAnswer::Unusable } else { NoAnswer::NotFound }
}
