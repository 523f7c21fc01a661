//! What something is attempted on, as far as policies look.

use std::fmt;

use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Greenroom as a whole, or something that does not exist yet.
    Any,
    Environment {
        name: Name,
        purpose: Purpose,
    },
    Release,
    Feature,
    Person,
    Token,
    Ledger,
}

impl Resource {
    pub(crate) const COUNT: usize = 12;

    pub(crate) const fn index(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Release => 1,
            Self::Feature => 2,
            Self::Person => 3,
            Self::Token => 4,
            Self::Ledger => 5,
            Self::Environment { purpose, .. } => match purpose {
                Purpose::Development => 6,
                Purpose::Integration => 7,
                Purpose::Test => 8,
                Purpose::Staging => 9,
                Purpose::Production => 10,
                Purpose::Preview => 11,
            },
        }
    }

    pub(crate) const fn cedar_type(&self) -> &'static str {
        match self {
            Self::Any => "System",
            Self::Environment { .. } => "Environment",
            Self::Release => "Release",
            Self::Feature => "Feature",
            Self::Person => "Person",
            Self::Token => "Token",
            Self::Ledger => "Ledger",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("the whole"),
            Self::Environment { purpose, .. } => write!(f, "an environment for {purpose}"),
            Self::Release => f.write_str("a release"),
            Self::Feature => f.write_str("a feature"),
            Self::Person => f.write_str("a person"),
            Self::Token => f.write_str("a token"),
            Self::Ledger => f.write_str("the ledger"),
        }
    }
}
