//! Who did something: a person, a token, or a part of Greenroom itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{IdError, PersonId, TokenId};

/// Opaque: names of people live outside the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    Person(PersonId),
    Token(TokenId),
    System(Part),
}

/// Parts of Greenroom that act by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Set-up on the host, before anyone could sign in.
    Host,
    /// What time or a change of facts made due.
    Clock,
    /// The reactor that drives rollouts.
    Rollouts,
    /// The reactor that publishes exposure and hears evaluators.
    Publisher,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Clock => "clock",
            Self::Rollouts => "rollouts",
            Self::Publisher => "publisher",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => id.fmt(f),
            Self::Token(id) => id.fmt(f),
            Self::System(part) => write!(f, "system:{}", part.as_str()),
        }
    }
}

impl FromStr for Actor {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        match s {
            "system:host" => Ok(Self::System(Part::Host)),
            "system:clock" => Ok(Self::System(Part::Clock)),
            "system:rollouts" => Ok(Self::System(Part::Rollouts)),
            "system:publisher" => Ok(Self::System(Part::Publisher)),
            _ => s.parse().map(Self::Person).or_else(|_| s.parse().map(Self::Token)),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        crate::id::read(d)
    }
}
