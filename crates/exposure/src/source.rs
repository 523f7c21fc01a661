//! Features and cohorts in the least room: what a compiled snapshot keeps of its model, is compiled from, and is written
//! to disk as.
//!
//! One text in which everything follows everything else: counts and lengths in digits of six bits, then what they count.
//! As all of it is text, any part can be lent as text without being looked at again. Equal things have equal texts. Who
//! reads may be given anything: what cannot be is [`Malformed`], and nothing is asked for that is not there.

mod read;
mod write;

use std::fmt;
use std::marker::PhantomData;

use serde_json::Number;

use crate::model::{self, Algorithm, AttributeType, Op, ValueType};

pub(crate) use self::read::{cohort, feature, needs, no_feature, nothing, prerequisites};
pub(crate) use self::write::{put_cohort, put_declared, put_feature, put_number, put_text};

/// What was read is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

type Read<T> = Result<T, Malformed>;

/// Lists and objects inside one another, as deep as JSON is read.
pub(crate) const DEEPEST: usize = 127;
/// [`prerequisites`] of a feature that has none.
pub(crate) const NO_PREREQUISITES: &str = "\0";

/// Reads from a place in a text on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How much was read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(crate) fn end(&self) -> Read<()> {
        if self.is_at_end() { Ok(()) } else { Err(Malformed) }
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Read<u64> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let digit = *self.text.as_bytes().get(self.at).filter(|byte| byte.is_ascii()).ok_or(Malformed)?;
            let bits = u64::from(digit & 63);
            if shift > 60 || (bits << shift) >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            self.at += 1;
            if digit < 64 {
                // there is one way to write it
                return if bits > 0 || shift == 0 { Ok(number) } else { Err(Malformed) };
            }
            shift += 6;
        }
    }

    pub(crate) fn small(&mut self) -> Read<u32> {
        self.number()?.try_into().map_err(|_| Malformed)
    }

    /// Of things that take at least a byte each.
    pub(crate) fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if count <= self.text.len() - self.at { Ok(count) } else { Err(Malformed) }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Read<&'a str> {
        let length = self.count()?;
        self.part(length)
    }

    #[inline]
    fn part(&mut self, length: usize) -> Read<&'a str> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let part = self.text.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(part)
    }

    fn flag(&mut self) -> Read<bool> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Read<T> {
        let at = self.count_up_to(all.len())?;
        all.get(at).copied().ok_or(Malformed)
    }

    fn count_up_to(&mut self, most: usize) -> Read<usize> {
        usize::try_from(self.number()?).ok().filter(|at| *at < most).ok_or(Malformed)
    }
}

const ATTRIBUTE_TYPES: [AttributeType; 6] =
    [AttributeType::String, AttributeType::Number, AttributeType::Boolean, AttributeType::Date, AttributeType::Semver, AttributeType::Address];
const VALUE_TYPES: [ValueType; 5] = [ValueType::Boolean, ValueType::String, ValueType::Integer, ValueType::Float, ValueType::Object];
const ALGORITHMS: [Algorithm; 3] = [Algorithm::M3, Algorithm::Unleash, Algorithm::UnleashVariant];
const OPS: [Op; 21] = [
    Op::In,
    Op::NotIn,
    Op::StartsWith,
    Op::EndsWith,
    Op::Contains,
    Op::Regex,
    Op::Eq,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
    Op::Before,
    Op::After,
    Op::SemverEq,
    Op::SemverLt,
    Op::SemverLe,
    Op::SemverGt,
    Op::SemverGe,
    Op::Cidr,
    Op::Present,
    Op::Absent,
];

/// Kinds of values.
mod kind {
    pub(super) const NULL: u64 = 0;
    pub(super) const FALSE: u64 = 1;
    pub(super) const TRUE: u64 = 2;
    pub(super) const POSITIVE: u64 = 3;
    pub(super) const NEGATIVE: u64 = 4;
    pub(super) const FLOAT: u64 = 5;
    pub(super) const TEXT: u64 = 6;
    pub(super) const LIST: u64 = 7;
    pub(super) const OBJECT: u64 = 8;
}

/// What stands before the variants of a feature; these and the rules follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub prerequisites: List<'a, Prerequisite<'a>>,
    pub r#type: ValueType,
    pub off: &'a str,
    pub default: &'a str,
    pub killed: Option<Blocked<'a>>,
    pub dark: Option<Blocked<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Prerequisite<'a> {
    pub feature: &'a str,
    pub variants: List<'a, &'a str>,
}

/// As [`model::Blocked`], borrowed; the rest in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocked<'a> {
    pub release: Option<&'a str>,
    pub blocked_by: &'a str,
}

/// What stands before the clauses of a rule; these and the outcome follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub name: &'a str,
    pub release: Option<&'a str>,
    pub blocked: Option<&'a str>,
    pub clauses: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Clause<'a> {
    Test(Test<'a>),
    Not(Test<'a>),
    Cohort(&'a str),
    Share(Share<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Test<'a> {
    pub attribute: &'a str,
    pub op: Op,
    pub ignore_case: bool,
    pub values: List<'a, Scalar<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Share<'a> {
    pub salt: &'a str,
    pub share: u32,
    pub algorithm: Algorithm,
    pub attribute: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Variant(&'a str),
    Split(Split<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Split<'a> {
    pub salt: &'a str,
    pub algorithm: Algorithm,
    pub attribute: &'a str,
    pub weights: List<'a, (&'a str, u32)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Scalar<'a> {
    Boolean(bool),
    Number(Number),
    Text(&'a str),
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        model::Scalar::from(self.clone()).fmt(f)
    }
}

/// Of one [`List`].
pub(crate) trait Part<'a>: Sized {
    fn read(from: &mut Reader<'a>) -> Read<Self>;
}

/// Parts that were looked at once, so that all of them read when they are gone through.
#[derive(Debug)]
pub(crate) struct List<'a, T> {
    left: usize,
    from: Reader<'a>,
    of: PhantomData<T>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> List<'_, T> {
    pub(crate) const fn len(self) -> usize {
        self.left
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.left == 0
    }
}

impl<'a, T: Part<'a>> Iterator for List<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        T::read(&mut self.from).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}
