//! What an evaluation comes to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ValueType;
use crate::program::{Cause, Entry, Served, Subject};
use crate::snapshot::{Handle, Snapshot};
use crate::source::Blocked;

/// What an answer is blocked by when the feature's own definition is at fault.
pub const INVALID: &str = "invalid";

/// Why a variant was chosen, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Every caller gets this answer until the next revision.
    Static,
    TargetingMatch,
    /// By the caller's bucket, in a share or a split.
    Split,
    /// `off`, because the feature may not be shown.
    Disabled,
    /// No rule matched.
    Default,
}

impl Reason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Default => "DEFAULT",
        }
    }
}

/// Which variant a caller is served, and why. It borrows from the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'s> {
    snapshot: &'s Snapshot,
    entry: &'s Entry,
    outcome: Outcome,
}

/// What an evaluation comes to: two words, which are returned in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub served: Served,
    pub missing: Option<Subject>,
}

/// Through what an answer came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Why<'s> {
    /// The rule that matched.
    pub rule: Option<&'s str>,
    /// The release that shows the answer or is kept from doing so.
    pub release: Option<&'s str>,
    /// What keeps the feature, or its next release, from this caller.
    pub blocked_by: Option<&'s str>,
}

impl<'s> Answer<'s> {
    #[inline]
    pub(crate) const fn new(snapshot: &'s Snapshot, entry: &'s Entry, outcome: Outcome) -> Self {
        Self { snapshot, entry, outcome }
    }

    #[must_use]
    pub fn key(&self) -> &'s str {
        self.entry.program.key()
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { slot: self.entry.slot, hash: self.entry.hash }
    }

    #[must_use]
    pub fn variant(&self) -> &'s str {
        self.entry.name(self.outcome.served.variant())
    }

    #[must_use]
    #[inline]
    pub fn value(&self) -> &'s Value {
        self.entry.value(self.outcome.served.variant())
    }

    /// The value of a boolean feature: what [`Self::value`] comes to, without leading there. `None` for another type.
    #[must_use]
    #[inline]
    pub fn boolean(&self) -> Option<bool> {
        self.entry.boolean(self.outcome.served.variant())
    }

    /// Where the variant stands among the feature's, which are in the order of their names: an index for counters.
    #[must_use]
    pub fn variant_index(&self) -> usize {
        usize::from(self.outcome.served.variant())
    }

    /// The type that every variant of the feature has.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.entry.program.r#type
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.outcome.served.reason()
    }

    /// The rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&'s str> {
        self.why().rule
    }

    /// The release that shows this answer or is kept from doing so.
    #[must_use]
    pub fn release(&self) -> Option<&'s str> {
        self.why().release
    }

    /// What keeps the feature, or its next release, from this caller.
    #[must_use]
    pub fn blocked_by(&self) -> Option<&'s str> {
        self.why().blocked_by
    }

    /// All three, looked up once.
    #[must_use]
    pub fn why(&self) -> Why<'s> {
        let program = &self.entry.program;
        let blocked = |blocked: Option<Blocked<'s>>| blocked.map_or_else(Why::default, |b| Why { rule: None, release: b.release, blocked_by: Some(b.blocked_by) });
        match self.outcome.served.cause() {
            Cause::Rule(at) => program.rule(at).map_or_else(Why::default, |rule| Why { rule: Some(rule.name), release: rule.release, blocked_by: rule.blocked }),
            Cause::Prerequisite(at) => Why { blocked_by: program.prerequisites.get(usize::from(at)).map(|needed| &*needed.label), ..Why::default() },
            Cause::Fault => Why { blocked_by: Some(INVALID), ..Why::default() },
            Cause::Killed => blocked(program.killed()),
            Cause::Default => blocked(program.dark()),
        }
    }

    /// The first attribute that a clause asked for and the caller did not give.
    #[must_use]
    pub fn missing(&self) -> Option<&'s str> {
        self.outcome.missing.map(|subject| subject.name(self.snapshot.names()))
    }

    /// A rule would have matched but for a share or split by targeting key, and the caller has none: with one, the
    /// answer may be another.
    #[must_use]
    pub const fn needs_targeting_key(&self) -> bool {
        self.outcome.served.wants_key()
    }

    /// The variant that the feature is switched off to.
    pub(crate) fn off(&self) -> &'s str {
        self.entry.name(self.entry.program.off)
    }

    pub(crate) const fn cause(&self) -> Cause {
        self.outcome.served.cause()
    }

    /// How the answer begins on the wire and, unless it takes some thought, how it ends.
    #[inline]
    pub(crate) fn wire(&self) -> (&'s str, Option<&'s str>) {
        let program = &*self.entry.program;
        let end = match self.outcome.served.cause() {
            Cause::Rule(at) => program.ending(at),
            Cause::Default if !program.is_dark => Some("}}"),
            _ => None,
        };
        (program.beginning(self.outcome.served.variant()), end)
    }
}
