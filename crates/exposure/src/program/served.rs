//! What is served, in one word.

use crate::evaluate::Reason;

/// Which variant is served, and why: variant, reason, what decided and its place, in one word that is copied at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served(pub(super) u64);

/// What decided, from which the rest of the answer is looked up when someone asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Default,
    Rule(u16),
    Prerequisite(u16),
    Killed,
    Fault,
}

impl Served {
    #[inline]
    pub(crate) const fn new(variant: u16, reason: Reason, cause: Cause) -> Self {
        let (kind, place) = match cause {
            Cause::Default => (0, 0),
            Cause::Rule(place) => (1, place),
            Cause::Prerequisite(place) => (2, place),
            Cause::Killed => (3, 0),
            Cause::Fault => (4, 0),
        };
        Self(variant as u64 | (reason as u64) << 16 | kind << 24 | (place as u64) << 32)
    }

    /// Marks that with a targeting key the answer might be another.
    #[inline]
    pub(crate) const fn for_want_of_key(self, keyless: bool) -> Self {
        Self(self.0 | (keyless as u64) << 48)
    }

    #[inline]
    pub(crate) const fn wants_key(self) -> bool {
        self.0 >> 48 & 1 == 1
    }

    #[inline]
    pub(crate) const fn variant(self) -> u16 {
        self.0 as u16
    }

    #[inline]
    pub(crate) const fn reason(self) -> Reason {
        match (self.0 >> 16) as u8 {
            0 => Reason::Static,
            1 => Reason::TargetingMatch,
            2 => Reason::Split,
            3 => Reason::Disabled,
            _ => Reason::Default,
        }
    }

    #[inline]
    pub(crate) const fn cause(self) -> Cause {
        let place = (self.0 >> 32) as u16;
        match (self.0 >> 24) as u8 {
            0 => Cause::Default,
            1 => Cause::Rule(place),
            2 => Cause::Prerequisite(place),
            3 => Cause::Killed,
            _ => Cause::Fault,
        }
    }
}
