//! What becomes of a feature on each protocol: who can evaluate it in its own process, who only by asking us, and why.
//!
//! Shown when a feature is saved and by the command line, so that nobody finds out in production. One rule set serves the
//! report and the renderers under [`crate::wire`]: what a renderer leaves out, the report names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;
use crate::wire;

/// How applications ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Ofrep,
    /// Our own SDK, from the canonical form.
    Greenroom,
    Unleash,
    Flagd,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ofrep => "ofrep",
            Self::Greenroom => "greenroom",
            Self::Unleash => "unleash",
            Self::Flagd => "flagd",
        })
    }
}

/// Where a feature can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluated {
    /// In the application, and here for those who ask.
    Locally,
    /// Here only. To an SDK that evaluates locally the feature is not handed out.
    Remotely,
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Locally => "locally",
            Self::Remotely => "remotely",
        })
    }
}

/// What one protocol makes of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    pub protocol: Protocol,
    pub evaluated: Evaluated,
    /// Why it cannot be evaluated locally; and what does not cross the wire as it stands here. For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

/// What every protocol makes of the feature of this key; `None` if there is none.
#[must_use]
pub fn capabilities(snapshot: &Snapshot, key: &str) -> Option<Vec<Capability>> {
    let (unleash, flagd) = (wire::unleash::capability(snapshot, key)?, wire::flagd::capability(snapshot, key)?);
    Some(vec![
        Capability {
            protocol: Protocol::Ofrep,
            evaluated: Evaluated::Remotely,
            because: vec!["OFREP providers ask for every answer, or cache what they were answered".to_owned()],
        },
        Capability { protocol: Protocol::Greenroom, evaluated: Evaluated::Locally, because: Vec::new() },
        unleash,
        flagd,
    ])
}
