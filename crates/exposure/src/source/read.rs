//! Part by part, without copying, and back to the model.

use serde_json::{Map, Number, Value};

use super::write::put_feature;
use super::{
    ALGORITHMS, ATTRIBUTE_TYPES, Blocked, Clause, List, Malformed, OPS, Opening, Outcome, Part, Prerequisite, Read, Reader, Rule, Scalar, Share, Split, Test, VALUE_TYPES, kind,
};
use crate::model::{self, AttributeType, TARGETING_KEY};

impl<'a> Reader<'a> {
    fn list<T: Part<'a>>(&mut self) -> Read<List<'a, T>> {
        let left = self.count()?;
        let from = *self;
        for _ in 0..left {
            T::read(self)?;
        }
        Ok(List { left, from, of: std::marker::PhantomData })
    }

    pub(crate) fn declared(&mut self) -> Read<AttributeType> {
        self.one_of(&ATTRIBUTE_TYPES)
    }

    pub(crate) fn prerequisites(&mut self) -> Read<List<'a, Prerequisite<'a>>> {
        self.list()
    }

    pub(crate) fn opening(&mut self) -> Read<Opening<'a>> {
        Ok(Opening { prerequisites: self.list()?, r#type: self.one_of(&VALUE_TYPES)?, off: self.text()?, default: self.text()?, killed: self.blocked()?, dark: self.blocked()? })
    }

    fn blocked(&mut self) -> Read<Option<Blocked<'a>>> {
        Ok(match self.number()? {
            0 => None,
            1 => Some(Blocked { release: None, blocked_by: self.text()? }),
            2 => Some(Blocked { release: Some(self.text()?), blocked_by: self.text()? }),
            _ => return Err(Malformed),
        })
    }

    /// Refuses lists and objects deeper inside one another than this.
    pub(crate) fn value(&mut self, deepest: usize) -> Read<Value> {
        let of = self.number()?;
        let inside = || deepest.checked_sub(1).ok_or(Malformed);
        Ok(match of {
            kind::NULL => Value::Null,
            kind::FALSE => Value::Bool(false),
            kind::TRUE => Value::Bool(true),
            kind::TEXT => Value::String(self.text()?.to_owned()),
            kind::LIST => {
                let inside = inside()?;
                let count = self.count()?;
                // what is there takes a byte where a value takes thirty
                let mut list = Vec::with_capacity(count.min(64));
                for _ in 0..count {
                    list.push(self.value(inside)?);
                }
                Value::Array(list)
            }
            kind::OBJECT => {
                let (inside, count) = (inside()?, self.count()?);
                let mut object = Map::new();
                for _ in 0..count {
                    let name = self.text()?;
                    object.insert(name.to_owned(), self.value(inside)?);
                }
                Value::Object(object)
            }
            of => Value::Number(self.json_number(of)?),
        })
    }

    fn json_number(&mut self, of: u64) -> Read<Number> {
        let bits = self.number()?;
        match of {
            kind::POSITIVE => Ok(bits.into()),
            kind::NEGATIVE if bits <= i64::MIN.unsigned_abs() && bits > 0 => Ok((bits as i64).wrapping_neg().into()),
            kind::FLOAT => Number::from_f64(f64::from_bits(bits.swap_bytes())).ok_or(Malformed),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn rule(&mut self) -> Read<Rule<'a>> {
        let has = self.count_up_to(4)?;
        let name = self.text()?;
        let mut if_any = |bit: usize| (has & bit != 0).then(|| self.text()).transpose();
        let (release, blocked) = (if_any(1)?, if_any(2)?);
        Ok(Rule { name, release, blocked, clauses: self.count()? })
    }

    pub(crate) fn clause(&mut self) -> Read<Clause<'a>> {
        Ok(match self.number()? {
            0 => Clause::Test(self.test()?),
            1 => Clause::Not(self.test()?),
            2 => Clause::Cohort(self.text()?),
            3 => Clause::Share(Share { salt: self.text()?, share: self.small()?, algorithm: self.one_of(&ALGORITHMS)?, attribute: self.attribute()? }),
            _ => return Err(Malformed),
        })
    }

    fn test(&mut self) -> Read<Test<'a>> {
        Ok(Test { attribute: self.attribute()?, op: self.one_of(&OPS)?, ignore_case: self.flag()?, values: self.list()? })
    }

    fn attribute(&mut self) -> Read<&'a str> {
        match self.number()?.checked_sub(1) {
            None => Ok(TARGETING_KEY),
            Some(length) => self.part(usize::try_from(length).map_err(|_| Malformed)?),
        }
    }

    pub(crate) fn outcome(&mut self) -> Read<Outcome<'a>> {
        Ok(match self.number()? {
            0 => Outcome::Variant(self.text()?),
            1 => Outcome::Split(Split { salt: self.text()?, algorithm: self.one_of(&ALGORITHMS)?, attribute: self.attribute()?, weights: self.list()? }),
            _ => return Err(Malformed),
        })
    }

    /// The version, and whether it is of staff and the like; its groups follow, each with its clauses.
    pub(crate) fn cohort(&mut self) -> Read<(u64, bool)> {
        Ok((self.number()?, self.flag()?))
    }
}

impl<'a> Part<'a> for &'a str {
    fn read(from: &mut Reader<'a>) -> Read<Self> {
        from.text()
    }
}

impl<'a> Part<'a> for (&'a str, u32) {
    fn read(from: &mut Reader<'a>) -> Read<Self> {
        Ok((from.text()?, from.small()?))
    }
}

impl<'a> Part<'a> for Scalar<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Read<Self> {
        Ok(match from.number()? {
            kind::TEXT => Scalar::Text(from.text()?),
            kind::FALSE => Scalar::Boolean(false),
            kind::TRUE => Scalar::Boolean(true),
            of => Scalar::Number(from.json_number(of)?),
        })
    }
}

impl<'a> Part<'a> for Prerequisite<'a> {
    fn read(from: &mut Reader<'a>) -> Read<Self> {
        Ok(Prerequisite { feature: from.text()?, variants: from.list()? })
    }
}

impl From<Scalar<'_>> for model::Scalar {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Boolean(value) => Self::Boolean(value),
            Scalar::Number(number) => Self::Number(number),
            Scalar::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

impl From<Test<'_>> for model::Test {
    fn from(test: Test<'_>) -> Self {
        Self { attribute: test.attribute.to_owned(), op: test.op, values: test.values.map(Into::into).collect(), ignore_case: test.ignore_case }
    }
}

impl From<Clause<'_>> for model::Clause {
    fn from(clause: Clause<'_>) -> Self {
        match clause {
            Clause::Test(test) => Self::Test(test.into()),
            Clause::Not(test) => Self::Not(test.into()),
            Clause::Cohort(name) => Self::Cohort(name.to_owned()),
            Clause::Share(Share { salt, share, algorithm, attribute }) => Self::Share(model::Share { salt: salt.to_owned(), share, algorithm, attribute: attribute.to_owned() }),
        }
    }
}

impl From<Outcome<'_>> for model::Outcome {
    fn from(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Variant(name) => Self::Variant(name.to_owned()),
            Outcome::Split(Split { salt, algorithm, attribute, weights }) => {
                let weights = weights.map(|(name, weight)| (name.to_owned(), weight)).collect();
                Self::Split(model::Split { salt: salt.to_owned(), algorithm, attribute: attribute.to_owned(), weights })
            }
        }
    }
}

impl From<Blocked<'_>> for model::Blocked {
    fn from(blocked: Blocked<'_>) -> Self {
        Self { release: blocked.release.map(str::to_owned), blocked_by: blocked.blocked_by.to_owned() }
    }
}

fn rule(from: &mut Reader<'_>) -> Read<model::Rule> {
    let Rule { name, release, blocked, clauses } = from.rule()?;
    let when = (0..clauses).map(|_| from.clause().map(Into::into)).collect::<Read<_>>()?;
    Ok(model::Rule { name: name.to_owned(), when, then: from.outcome()?.into(), release: release.map(str::to_owned), blocked: blocked.map(str::to_owned) })
}

pub(crate) fn feature(source: &str) -> Read<model::Feature> {
    let mut from = Reader::new(source);
    let Opening { prerequisites, r#type, off, default, killed, dark } = from.opening()?;
    let needed = |needed: Prerequisite<'_>| model::Prerequisite { feature: needed.feature.to_owned(), variants: needed.variants.map(str::to_owned).collect() };
    let prerequisites = prerequisites.map(needed).collect();
    let variants = (0..from.count()?).map(|_| Ok((from.text()?.to_owned(), from.value(usize::MAX)?))).collect::<Read<_>>()?;
    let (claims, baseline) = (from.count()?, from.count()?);
    let mut rules = |count| (0..count).map(|_| rule(&mut from)).collect::<Read<Vec<_>>>();
    let (claims, baseline) = (rules(claims)?, rules(baseline)?);
    from.end()?;
    Ok(model::Feature {
        r#type,
        variants,
        off: off.to_owned(),
        killed: killed.map(Into::into),
        claims,
        baseline,
        default: default.to_owned(),
        prerequisites,
        dark: dark.map(Into::into),
    })
}

pub(crate) fn cohort(source: &str) -> Read<model::Cohort> {
    let mut from = Reader::new(source);
    let (version, internal) = from.cohort()?;
    let any_of = (0..from.count()?).map(|_| (0..from.count()?).map(|_| from.clause().map(Into::into)).collect()).collect::<Read<_>>()?;
    from.end()?;
    Ok(model::Cohort { version, any_of, internal })
}

/// What a feature's source says of its prerequisites, which is what it begins with.
pub(crate) fn prerequisites(source: &str) -> &str {
    let mut from = Reader::new(source);
    from.prerequisites().ok().and_then(|_| source.get(..from.at())).unwrap_or(super::NO_PREREQUISITES)
}

/// Features that a feature needs, by its source, each with the variants that do.
pub(crate) fn needs(source: &str) -> impl Iterator<Item = Prerequisite<'_>> {
    Reader::new(source).prerequisites().into_iter().flatten()
}

/// Stands for a feature of which nothing can be made: it has no variant that could be served.
pub(crate) fn nothing() -> String {
    let mut source = String::new();
    put_feature(&mut source, &no_feature());
    source
}

pub(crate) fn no_feature() -> model::Feature {
    model::Feature {
        r#type: model::ValueType::Boolean,
        variants: std::collections::BTreeMap::new(),
        off: String::new(),
        killed: None,
        claims: Vec::new(),
        baseline: Vec::new(),
        default: String::new(),
        prerequisites: Vec::new(),
        dark: None,
    }
}
