//! One feature, looked up once and asked often.

use std::sync::{Arc, OnceLock};

use greenroom_exposure::{Answer, Context, Explained, Handle};

use crate::{Greenroom, NoAnswer, Now};

/// A feature by its handle, which stays good from revision to revision.
#[derive(Debug, Clone)]
pub struct Feature {
    greenroom: Greenroom,
    key: Arc<str>,
    /// Of the feature as it was first seen. One that goes and comes back is found by its key from then on.
    handle: OnceLock<Handle>,
}

impl Feature {
    pub(crate) fn new(greenroom: Greenroom, key: &str) -> Self {
        Self { greenroom, key: key.into(), handle: OnceLock::new() }
    }

    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The answer to a caller, counted.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn evaluate<C: Context + ?Sized>(&self, context: &C) -> Result<Explained, NoAnswer> {
        let now = self.greenroom.now()?;
        self.evaluate_in(&now, context).map(|answer| Explained::from(&answer))
    }

    /// The answer of one revision, which several features share.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    #[inline]
    pub fn evaluate_in<'n, C: Context + ?Sized>(&self, now: &'n Now<'_>, context: &C) -> Result<Answer<'n>, NoAnswer> {
        let handle = self.handle.get().copied().or_else(|| self.resolve(now));
        now.evaluate_held(handle, &self.key, context)
    }

    #[cold]
    fn resolve(&self, now: &Now<'_>) -> Option<Handle> {
        let handle = now.snapshot().ok()?.resolve(&self.key)?;
        Some(*self.handle.get_or_init(|| handle))
    }

    /// The value for a caller, or `default` if there is none or it is not a boolean.
    #[inline]
    pub fn boolean<C: Context + ?Sized>(&self, context: &C, default: bool) -> bool {
        self.greenroom.now().ok().and_then(|now| self.evaluate_in(&now, context).ok()?.boolean()).unwrap_or(default)
    }

    /// The value for a caller, or `default` if there is none or it is not a text.
    pub fn string<C: Context + ?Sized>(&self, context: &C, default: &str) -> String {
        self.greenroom.now().ok().and_then(|now| self.evaluate_in(&now, context).ok()?.value().as_str().map(str::to_owned)).unwrap_or_else(|| default.to_owned())
    }

    /// The value for a caller, or `default` if there is none or it is not an integer.
    pub fn integer<C: Context + ?Sized>(&self, context: &C, default: i64) -> i64 {
        self.greenroom.now().ok().and_then(|now| self.evaluate_in(&now, context).ok()?.value().as_i64()).unwrap_or(default)
    }

    /// The value for a caller, or `default` if there is none or it is not a number.
    pub fn float<C: Context + ?Sized>(&self, context: &C, default: f64) -> f64 {
        self.greenroom.now().ok().and_then(|now| self.evaluate_in(&now, context).ok()?.value().as_f64()).unwrap_or(default)
    }
}
