//! A feature as evaluation meets it: one cache line that is found by key or slot, and decides what can be decided at once.

use std::sync::Arc;

use serde_json::Value;

use super::{Cause, Gate, Kind, Program, Served, Step};
use crate::evaluate::Reason;
use crate::hash::Packed;
use crate::model::ValueType;

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Entry {
    packed: Packed,
    pub hash: u64,
    pub program: Arc<Program>,
    pub steps: Arc<[Step]>,
    /// A [`Head`], as a word.
    head: u64,
    pub slot: u32,
    /// Which variants are true, of a boolean feature with few of them.
    truth: Option<Truth>,
}

/// A bit for each variant.
type Truth = std::num::NonZeroU16;
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
    const fn word(self) -> u64 {
        match self {
            Self::Fixed(Served(word)) => word,
            Self::Needs => 1 << 56,
            Self::One => 2 << 56,
            Self::Split => 3 << 56,
            Self::Steps => 4 << 56,
            Self::Unusable => 5 << 56,
        }
    }
}

// An entry that no longer fits costs a cache miss wherever features are many.
const _: () = assert!(size_of::<Option<Entry>>() == 64 && size_of::<Step>() <= 80);

impl Entry {
    pub(crate) fn new(slot: u32, program: Program, steps: Vec<Step>) -> Self {
        let packed = Packed::of(&program.key);
        let off = |cause| Head::Fixed(Served::new(program.off, Reason::Disabled, cause));
        let head = match (&program.gate, steps.as_slice()) {
            (Gate::Unusable(_), _) => Head::Unusable,
            (Gate::Faulty(_), _) => off(Cause::Fault),
            (Gate::Killed, _) => off(Cause::Killed),
            (Gate::Open, [Step::Serve(served), ..]) => Head::Fixed(*served),
            (Gate::Open, [Step::Need(_), ..]) => Head::Needs,
            (Gate::Open, [Step::Clause(clause), Step::Serve(_), Step::Serve(_)]) if !matches!(clause.kind, Kind::Cohort(_)) => Head::One,
            (Gate::Open, [Step::Split(_), Step::Serve(_)]) => Head::Split,
            (Gate::Open, _) => Head::Steps,
        };
        Self { packed, hash: packed.hash(&program.key), truth: truth(&program), program: Arc::new(program), steps: steps.into(), head: head.word(), slot }
    }

    #[inline]
    pub(crate) const fn head(&self) -> Head {
        match self.head >> 56 {
            0 => Head::Fixed(Served(self.head)),
            1 => Head::Needs,
            2 => Head::One,
            3 => Head::Split,
            4 => Head::Steps,
            _ => Head::Unusable,
        }
    }

    pub(crate) const fn set_head(&mut self, head: Head) {
        self.head = head.word();
    }

    /// `packed` and `hash` are those of `key`.
    #[inline]
    pub(crate) fn is(&self, packed: Packed, hash: u64, key: &str) -> bool {
        self.packed == packed && (!packed.is_long() || (self.hash == hash && *self.program.key == *key))
    }

    /// The value of a variant that exists.
    #[inline]
    pub(crate) fn value(&self, variant: u16) -> &Value {
        match self.truth {
            Some(truth) if variant < FEW => {
                if truth.get() >> variant & 1 == 1 {
                    &TRUE
                } else {
                    &FALSE
                }
            }
            _ => self.program.variants.get(usize::from(variant)).map_or(&Value::Null, |variant| &variant.value),
        }
    }

    #[inline]
    pub(crate) fn name(&self, variant: u16) -> &str {
        self.program.name(variant)
    }
}

fn truth(program: &Program) -> Option<Truth> {
    let all = &program.variants;
    let fits = program.source.r#type == ValueType::Boolean && all.len() <= usize::from(FEW) && all.iter().all(|variant| variant.value.is_boolean());
    let bits = || all.iter().enumerate().fold(1 << FEW, |bits, (at, variant)| bits | u16::from(variant.value == TRUE) << at);
    fits.then(bits).and_then(Truth::new)
}
