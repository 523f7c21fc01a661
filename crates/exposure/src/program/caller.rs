//! What is asked of a caller, and how it went.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::bucket::Bucketer;
use crate::context::{Attribute, Context};
use crate::hash::Packed;
use crate::model::TARGETING_KEY;

/// An attribute that rules read, by its number among those of the snapshot; one stands for the targeting key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject(NonZeroU32);

/// The names of attributes that rules read. A number stays with its name through every change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub list: Arc<[Arc<str>]>,
    numbers: BTreeMap<Arc<str>, Subject>,
}

impl Names {
    /// The number of this name, which is given one if it has none.
    pub(crate) fn subject(names: &mut Arc<Self>, name: &str) -> Subject {
        if name == TARGETING_KEY {
            return Subject::TARGETING_KEY;
        }
        if let Some(known) = names.numbers.get(name) {
            return *known;
        }
        let names = Arc::make_mut(names);
        let name: Arc<str> = name.into();
        let subject = Subject(Subject::TARGETING_KEY.0.saturating_add(names.list.len() as u32 + 1));
        names.list = names.list.iter().cloned().chain([Arc::clone(&name)]).collect();
        names.numbers.insert(name, subject);
        subject
    }
}

impl Subject {
    pub(crate) const TARGETING_KEY: Self = Self(NonZeroU32::MIN);

    #[inline]
    pub(crate) fn name(self, names: &[Arc<str>]) -> &str {
        let at = (self.0.get() as usize).checked_sub(2);
        at.map_or(TARGETING_KEY, |at| names.get(at).map_or("", |name| &**name))
    }

    pub(crate) fn of<'c, C: Context + ?Sized>(self, context: &'c C, names: &[Arc<str>]) -> Option<Attribute<'c>> {
        match self {
            Self::TARGETING_KEY => context.targeting_key().filter(|key| !key.is_empty()).map(Attribute::Text),
            named => context.attribute(named.name(names)),
        }
    }

    /// The bucket of the caller, or why there is none.
    #[inline(always)]
    pub(crate) fn bucket<C: Context + ?Sized>(self, by: &Bucketer, caller: &mut Asked<'_, '_, C>) -> Result<u32, Verdict> {
        let given = caller.of(self);
        match given.text {
            Some(text) => Ok(by.bucket(text)),
            None if given.other.is_some() => Err(Verdict::NotText),
            None if self == Self::TARGETING_KEY => Err(Verdict::NoKey),
            None => Err(Verdict::Missing(self)),
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
pub(crate) struct Asked<'c, 'n, C: ?Sized> {
    pub context: &'c C,
    pub names: &'n [Arc<str>],
    last: Option<Subject>,
    given: Given<'c>,
}

impl<'c, 'n, C: Context + ?Sized> Asked<'c, 'n, C> {
    #[inline]
    pub(crate) const fn new(context: &'c C, names: &'n [Arc<str>]) -> Self {
        Self { context, names, last: None, given: Given { text: None, packed: Packed::EMPTY, other: None } }
    }

    #[inline(always)]
    pub(crate) fn of(&mut self, subject: Subject) -> &Given<'c> {
        if self.last != Some(subject) {
            self.last = Some(subject);
            self.given.text = match subject {
                Subject::TARGETING_KEY => {
                    self.given.other = None;
                    self.context.targeting_key().filter(|key| !key.is_empty())
                }
                named => match self.context.attribute(named.name(self.names)) {
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
pub(crate) enum Verdict {
    Yes,
    No,
    /// The caller did not give this attribute.
    Missing(Subject),
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

impl Verdict {
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
