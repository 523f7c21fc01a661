//! A feature as evaluation meets it: two cache lines side by side that are found by key or slot. The first decides what can
//! be decided at once; what most of the rest ask begins there, and ends in the second.

use std::sync::Arc;

use serde_json::Value;

use super::{Cause, Clause, Gate, Kind, Program, Served, Split, Step};
use crate::evaluate::Reason;
use crate::hash::Packed;

static VALUES: [Value; 2] = [Value::Bool(false), Value::Bool(true)];

#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Entry {
    packed: Packed,
    pub hash: u64,
    /// A [`Head`], as a word. Where the answer is not fixed, the rest of the word is what is served by default.
    head: u64,
    pub program: Arc<Program>,
    pub slot: u32,
    /// Which variants are true, of a boolean feature with few of them.
    truth: Option<Truth>,
    pub steps: Steps,
}

/// What is tried, in order. Elsewhere, it would be a cache miss more wherever features are many: what most of them ask
/// stands in the entry itself.
#[derive(Debug, Clone)]
pub(crate) enum Steps {
    Many(Arc<[Step]>),
    /// Of [`Head::One`], and what whoever it holds for is served.
    One(Clause, Served),
    /// Of [`Head::Split`].
    Split(Split),
}

/// A bit for each variant.
pub(crate) type Truth = std::num::NonZeroU16;
/// So many variants fit; the last bit is always set.
const FEW: u16 = 15;

/// What is known of a feature's answer before anyone asks. As a word, its highest byte says which, and the rest is what is
/// served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The same for everyone.
    Fixed(Served),
    /// By its steps, of which the first ask for other features.
    Needs,
    /// By one clause that asks the caller alone: one answer if it holds, and another if it does not.
    One,
    /// By one split of everyone.
    Split,
    /// By its steps.
    Steps,
    /// None.
    Unusable,
}

impl Head {
    const SPLIT: u64 = 3;

    const fn word(self, default: Served) -> u64 {
        let kind = match self {
            Self::Fixed(Served(word)) => return word,
            Self::Needs => 1,
            Self::One => 2,
            Self::Split => Self::SPLIT,
            Self::Steps => 4,
            Self::Unusable => 5,
        };
        kind << 56 | default.0
    }
}

// An entry that no longer fits costs a cache miss wherever features are many.
const _: () = assert!(size_of::<Option<Entry>>() == 128 && std::mem::offset_of!(Entry, steps) < 64 && size_of::<Step>() <= 48);

impl Steps {
    /// Those that stand elsewhere.
    #[inline]
    pub(crate) fn many(&self) -> &[Step] {
        if let Self::Many(steps) = self { steps } else { &[] }
    }
}

impl Entry {
    /// Takes the steps out of `steps`.
    pub(crate) fn new(slot: u32, program: Program, steps: &mut Vec<Step>) -> Self {
        let packed = Packed::of(program.key());
        let off = |cause| Head::Fixed(Served::new(program.off, Reason::Disabled, cause));
        let head = match (&program.gate, steps.as_slice()) {
            (Gate::Unusable(_), _) => Head::Unusable,
            (Gate::Faulty(_), _) => off(Cause::Fault),
            (Gate::Killed, _) => off(Cause::Killed),
            (Gate::Open, []) => Head::Fixed(program.default),
            (Gate::Open, [Step::Serve(served), ..]) => Head::Fixed(*served),
            (Gate::Open, [Step::Need(_), ..]) => Head::Needs,
            (Gate::Open, [Step::Clause(clause), Step::Serve(_)]) if !matches!(clause.kind, Kind::Cohort(_)) => Head::One,
            (Gate::Open, [Step::Split(_)]) => Head::Split,
            (Gate::Open, _) => Head::Steps,
        };
        let mut steps = steps.drain(..);
        let steps = match (head, steps.next(), steps.next()) {
            // nobody gets there
            (Head::Fixed(_), ..) | (_, None, _) => Steps::Many(Arc::default()),
            (Head::One, Some(Step::Clause(clause)), Some(Step::Serve(yes))) => Steps::One(clause, yes),
            (Head::Split, Some(Step::Split(split)), _) => Steps::Split(split),
            (_, first, second) => Steps::Many(first.into_iter().chain(second).chain(steps).collect()),
        };
        Self { packed, hash: packed.hash(program.key()), truth: program.truth, head: head.word(program.default), program: Arc::new(program), steps, slot }
    }

    #[inline]
    pub(crate) const fn head(&self) -> Head {
        match self.head >> 56 {
            0 => Head::Fixed(Served(self.head)),
            1 => Head::Needs,
            2 => Head::One,
            Head::SPLIT => Head::Split,
            4 => Head::Steps,
            _ => Head::Unusable,
        }
    }

    /// What is served to everyone, if that is the same.
    #[inline]
    pub(crate) const fn fixed(&self) -> Option<Served> {
        if self.head >> 56 == 0 { Some(Served(self.head)) } else { None }
    }

    #[inline]
    pub(crate) const fn is_split(&self) -> bool {
        self.head >> 56 == Head::SPLIT
    }

    pub(crate) fn set_head(&mut self, head: Head) {
        self.head = head.word(self.program.default);
    }

    /// What is served to whom no rule matches.
    #[inline]
    pub(crate) fn default(&self) -> Served {
        if let Head::Fixed(_) = self.head() { self.program.default } else { Served(self.head & 0x00ff_ffff_ffff_ffff) }
    }

    /// `packed` and `hash` are those of `key`.
    #[inline]
    pub(crate) fn is(&self, packed: Packed, hash: u64, key: &str) -> bool {
        self.packed == packed && (!packed.is_long() || (self.hash == hash && *self.program.key() == *key))
    }

    /// The value of a variant that exists.
    #[inline]
    pub(crate) fn value(&self, variant: u16) -> &Value {
        self.truth.and_then(|truth| value(truth, variant)).unwrap_or_else(|| self.program.value(variant))
    }

    /// The same of a variant that is a boolean.
    #[inline]
    pub(crate) fn boolean(&self, variant: u16) -> Option<bool> {
        match self.truth {
            Some(truth) if variant < FEW => Some(truth.get() >> variant & 1 == 1),
            _ => self.program.value(variant).as_bool(),
        }
    }

    #[inline]
    pub(crate) fn name(&self, variant: u16) -> &str {
        self.program.name(variant)
    }
}

/// `None` if these are not all booleans, or too many.
pub(crate) fn truth(values: &[Value]) -> Option<Truth> {
    let fits = values.len() <= usize::from(FEW) && values.iter().all(Value::is_boolean);
    let bits = || values.iter().enumerate().fold(1 << FEW, |bits, (at, value)| bits | u16::from(*value == Value::Bool(true)) << at);
    fits.then(bits).and_then(Truth::new)
}

/// `None` for a variant that is not among the few.
#[inline]
pub(super) fn value(truth: Truth, variant: u16) -> Option<&'static Value> {
    // looked up rather than chosen: nobody can foretell which half the next caller is in
    if variant < FEW { VALUES.get(usize::from(truth.get() >> variant & 1)) } else { None }
}
