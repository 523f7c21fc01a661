//! From the canonical form to programs. What is wrong with a feature switches that feature off and nothing else.

mod clause;
mod feature;
mod order;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::model::{self, AttributeType};
use crate::program::{Cohort, Cohorts};

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
    pub names: &'a Names,
}

/// The names of attributes that rules read, each in memory once.
#[derive(Debug, Default)]
pub(crate) struct Names(RefCell<Arc<BTreeSet<Arc<str>>>>);

impl Names {
    pub(crate) const fn new(known: Arc<BTreeSet<Arc<str>>>) -> Self {
        Self(RefCell::new(known))
    }

    pub(crate) fn into_inner(self) -> Arc<BTreeSet<Arc<str>>> {
        self.0.into_inner()
    }

    fn shared(&self, name: &str) -> Arc<str> {
        let mut names = self.0.borrow_mut();
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        Arc::make_mut(&mut names).insert(Arc::clone(&name));
        name
    }
}

pub(crate) fn cohort(name: &Arc<str>, source: &Arc<model::Cohort>, scope: Scope<'_>) -> Cohort {
    let scope = Scope { cohorts: None, ..scope };
    let mut clauses = Vec::with_capacity(source.any_of.iter().map(Vec::len).sum());
    let fault = source.any_of.iter().find_map(|group| clause::all(&mut clauses, |clause| clause, group, 0, 0, scope).err());
    if fault.is_some() {
        clauses.clear();
    }
    let everyone = fault.is_none() && source.any_of.iter().any(Vec::is_empty);
    Cohort { name: Arc::clone(name), clauses: clauses.into(), everyone, fault, source: Arc::clone(source) }
}
