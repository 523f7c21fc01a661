//! From sources to programs. What is wrong with a feature switches that feature off and nothing else.

mod clause;
mod feature;
mod order;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::model::AttributeType;
use crate::program::{Cohort, Cohorts, Names, Span, Step};
use crate::snapshot::Origin;
use crate::source::{self, Malformed, Reader};

pub(crate) use self::feature::{Surroundings, compile as feature};
pub(crate) use self::order::{Edges, faults as disorder, sorted};

/// Something in a model that is not served as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Warning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// The rule of the feature, if it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, name) in [("feature", &self.feature), ("cohort", &self.cohort), ("rule", &self.rule)] {
            if let Some(name) = name {
                write!(f, "{what} `{name}`: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// What names in a clause refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub attributes: &'a BTreeMap<String, AttributeType>,
    /// `None` inside a cohort, which may not name others.
    pub cohorts: Option<&'a Cohorts>,
}

/// What one compile after the other works with: memory that is used again, and the names that are known by then.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub names: Arc<Names>,
    /// Lists and objects in the value of a variant may be so deep inside one another.
    deepest: usize,
    text: String,
    /// How an answer begins on the wire, up to its value.
    opening: String,
    parts: Vec<Span>,
    values: Vec<Value>,
    steps: Vec<Step>,
    /// Where each clause of each rule stands in the source.
    clauses: Vec<Span>,
}

impl Bench {
    pub(crate) fn new(names: Arc<Names>, origin: Origin) -> Self {
        let deepest = match origin {
            Origin::Model => usize::MAX,
            Origin::Bytes => source::DEEPEST,
        };
        Self { names, deepest, ..Self::default() }
    }
}

pub(crate) fn cohort(bench: &mut Bench, name: &Arc<str>, source: &str, scope: Scope<'_>) -> Result<Cohort, Malformed> {
    let scope = Scope { cohorts: None, ..scope };
    let mut from = Reader::new(source);
    from.cohort()?;
    let (mut clauses, mut fault, mut everyone) = (Vec::new(), None, false);
    for _ in 0..from.count()? {
        let count = from.count()?;
        everyone |= count == 0;
        bench.clauses.clear();
        fault = clause::all(&mut clauses, bench, |clause| clause, &mut from, clause::Place { count, rule: 0, after: 0 }, scope)?.err().or(fault);
    }
    from.end()?;
    if fault.is_some() {
        clauses.clear();
        everyone = false;
    }
    Ok(Cohort { name: Arc::clone(name), clauses: clauses.into(), everyone, fault, source: source.into() })
}
