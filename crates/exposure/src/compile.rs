//! From the canonical form to programs. What is wrong with a feature switches that feature off and nothing else.

mod clause;
mod feature;
mod order;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{self, AttributeType};
use crate::program::{Cohort, Cohorts};

pub(crate) use self::feature::compile as feature;
pub(crate) use self::order::{Edges, faults as disorder};

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

pub(crate) fn cohort(name: &Arc<str>, source: &Arc<model::Cohort>, scope: Scope<'_>) -> Cohort {
    let scope = Scope { cohorts: None, ..scope };
    let groups: Result<_, String> = source.any_of.iter().map(|group| clause::all(group, scope)).collect();
    let (groups, fault) = match groups {
        Ok(groups) => (groups, None),
        Err(fault) => (Box::default(), Some(fault)),
    };
    Cohort { name: Arc::clone(name), groups, fault, source: Arc::clone(source) }
}
