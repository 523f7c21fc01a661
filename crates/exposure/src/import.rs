//! Reading other products' definitions into ours. What our rules cannot say is refused with its reason. Where they answer
//! otherwise only for values that the other product would first have turned into another type, a note says so.

mod flagd;
mod unleash;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::flagd::{Unreadable as UnreadableFlagd, flagd};
pub use self::unleash::{Unreadable as UnreadableUnleash, unleash};
use crate::model::{Cohort, Feature};

/// What a file of another product's definitions says, in our words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// By key; their rules stand in the baseline.
    pub features: BTreeMap<String, Feature>,
    pub cohorts: BTreeMap<String, Cohort>,
    pub refused: Vec<Refused>,
    /// What a person should know about the features that were taken over.
    pub notes: Vec<String>,
}

/// A definition that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub feature: String,
    pub because: String,
}
