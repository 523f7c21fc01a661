//! What one strategy can ask.

use crate::wire::unleash::{Constraint, Roll, Stickiness};

pub(super) const ADDRESS: &str = "remoteAddress";

/// What one strategy asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct All {
    /// `NOT_IN` stands here as `IN`, inverted.
    pub constraints: Vec<Constraint>,
    pub segments: Vec<(i64, Vec<Constraint>)>,
    /// Attributes that the caller has.
    pub present: Vec<String>,
    pub slot: Option<Slot>,
}

/// What a strategy can ask beyond constraints: one thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot {
    Share(Roll),
    Addresses(Vec<String>),
    Hosts(Vec<String>),
}

pub(super) type Any = Vec<All>;

impl From<Slot> for All {
    fn from(slot: Slot) -> Self {
        Self { slot: Some(slot), ..Self::default() }
    }
}

impl From<Constraint> for All {
    fn from(constraint: Constraint) -> Self {
        Self { constraints: vec![constraint], ..Self::default() }
    }
}

impl All {
    /// Both; `None` if that is nobody.
    pub(super) fn and(&self, other: &Self) -> Result<Option<Self>, String> {
        let mut both = self.clone();
        for constraint in &other.constraints {
            let opposite = Constraint { inverted: !constraint.inverted, ..constraint.clone() };
            if both.constraints.contains(&opposite) {
                return Ok(None);
            }
            if !both.constraints.contains(constraint) {
                both.constraints.push(constraint.clone());
            }
        }
        both.segments.extend(other.segments.iter().filter(|segment| !self.segments.contains(segment)).cloned());
        both.present.extend(other.present.iter().filter(|name| !self.present.contains(name)).cloned());
        both.slot = match (both.slot, &other.slot) {
            (slot, None) => slot,
            (None, slot) => slot.clone(),
            (Some(Slot::Share(one)), Some(Slot::Share(other))) if one.group == other.group && one.by == other.by => {
                Some(Slot::Share(Roll { percent: one.percent.min(other.percent), ..one }))
            }
            // all of an attribute's values: whoever has one
            (Some(Slot::Share(Roll { percent: 100, by: Stickiness::By(attribute), .. })), slot) => {
                both.present.push(attribute);
                slot.clone()
            }
            (slot, Some(Slot::Share(Roll { percent: 100, by: Stickiness::By(attribute), .. }))) => {
                both.present.push(attribute.clone());
                slot
            }
            (Some(one), Some(other)) => match (one, other.clone()) {
                (Slot::Addresses(addresses), slot) | (slot, Slot::Addresses(addresses)) => {
                    both.constraints.push(listed(ADDRESS, "IN_CIDR", addresses));
                    Some(slot)
                }
                _ => return Err("a rule asks for two shares at once".to_owned()),
            },
        };
        Ok(Some(both))
    }
}

pub(super) fn single(name: &str, operator: &str, value: String) -> Constraint {
    Constraint { context_name: name.to_owned(), operator: operator.to_owned(), value: Some(value), ..Constraint::default() }
}

pub(super) fn listed(name: &str, operator: &str, values: Vec<String>) -> Constraint {
    Constraint { context_name: name.to_owned(), operator: operator.to_owned(), values, ..Constraint::default() }
}
