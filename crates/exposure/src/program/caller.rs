//! What is asked of a caller, and how it went.

use std::sync::Arc;

use crate::bucket::Bucketer;
use crate::context::{Attribute, Context};
use crate::hash::Packed;
use crate::model::TARGETING_KEY;

/// Equal names of a snapshot share their memory, by which evaluation recognises the one it asked for last.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    TargetingKey,
    Attribute(Arc<str>),
}

impl Subject {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::TargetingKey => TARGETING_KEY,
            Self::Attribute(name) => name,
        }
    }

    pub(crate) fn of<'c, C: Context + ?Sized>(&self, context: &'c C) -> Option<Attribute<'c>> {
        match self {
            Self::TargetingKey => context.targeting_key().filter(|key| !key.is_empty()).map(Attribute::Text),
            Self::Attribute(name) => context.attribute(name),
        }
    }

    /// The bucket of the caller, or why there is none.
    #[inline(always)]
    pub(crate) fn bucket<'s, C: Context + ?Sized>(&'s self, by: &Bucketer, caller: &mut Asked<'_, C>) -> Result<u32, Verdict<'s>> {
        let given = caller.of(self);
        match (given.text, self) {
            (Some(text), _) => Ok(by.bucket(text)),
            (None, _) if given.other.is_some() => Err(Verdict::NotText),
            (None, Self::TargetingKey) => Err(Verdict::NoKey),
            (None, Self::Attribute(_)) => Err(Verdict::Missing(self)),
        }
    }
}

/// What a caller gave for one attribute. A text is kept apart from the rest: copied about together, they cost more than
/// most comparisons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'c> {
    pub text: Option<&'c str>,
    /// Of the text.
    pub packed: Packed,
    /// Anything but a text.
    pub other: Option<Attribute<'c>>,
}

/// A caller, who is not asked twice in a row for the same attribute.
pub(crate) struct Asked<'c, C: ?Sized> {
    pub context: &'c C,
    /// The address of the name asked for last; none is 0, and 1 stands for the targeting key.
    last: usize,
    given: Given<'c>,
}

impl<'c, C: Context + ?Sized> Asked<'c, C> {
    #[inline]
    pub(crate) const fn new(context: &'c C) -> Self {
        Self { context, last: 0, given: Given { text: None, packed: Packed::EMPTY, other: None } }
    }

    #[inline(always)]
    pub(crate) fn of(&mut self, subject: &Subject) -> &Given<'c> {
        // Names stay in memory while a caller is asked, so that no other one can have the address.
        let address = match subject {
            Subject::TargetingKey => 1,
            Subject::Attribute(name) => name.as_ptr().addr(),
        };
        if self.last != address {
            self.last = address;
            self.given.text = match subject {
                Subject::TargetingKey => {
                    self.given.other = None;
                    self.context.targeting_key().filter(|key| !key.is_empty())
                }
                Subject::Attribute(name) => match self.context.attribute(name) {
                    Some(Attribute::Text(text)) => Some(text),
                    other => {
                        self.given.other = other;
                        None
                    }
                },
            };
            if let Some(text) = self.given.text {
                self.given.packed = Packed::of(text);
            }
        }
        &self.given
    }
}

/// How a clause went. Only `Yes` lets a rule match; the rest say why not. Small enough to be returned in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict<'s> {
    Yes,
    No,
    /// The caller did not give this attribute.
    Missing(&'s Subject),
    /// A share by targeting key, and the caller has none.
    NoKey,
    NotText,
    NotNumber,
    NotInstant,
    NotVersion,
    NotAddress,
    /// A number beyond ±(2^53−1).
    Inexact,
    /// A list or an object.
    Compound,
}

impl Verdict<'_> {
    #[inline]
    pub(super) const fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    /// What kept the attribute from being compared: it …
    pub(crate) const fn mismatch(&self) -> Option<&'static str> {
        Some(match self {
            Self::Yes | Self::No | Self::Missing(_) | Self::NoKey => return None,
            Self::NotText => "is not a text",
            Self::NotNumber => "is not a number",
            Self::NotInstant => "is not an RFC 3339 instant",
            Self::NotVersion => "is not a semantic version",
            Self::NotAddress => "is not an IP address",
            Self::Inexact => "is beyond ±(2^53−1)",
            Self::Compound => "is a list or an object",
        })
    }
}
