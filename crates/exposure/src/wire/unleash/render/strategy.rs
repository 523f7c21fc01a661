//! One strategy: what it asks, and the variant it gives.

use serde_json::Value;

use super::part::{All, Slot};
use super::{Reader, group, pattern};
use crate::wire::unleash::{Constraint, Roll, Stickiness, Strategy, Variant};

/// What those get for whom a strategy holds.
pub(super) enum Choice {
    /// That the feature is on, and no more.
    Plain,
    Fixed(Variant),
    Drawn {
        group: String,
        by: Stickiness,
        variants: Vec<Variant>,
    },
}

impl Reader<'_, '_> {
    pub(super) fn strategy(&mut self, all: All, choice: &Choice) -> Result<Strategy, String> {
        let All { mut constraints, segments, present, mut slot } = all;
        for name in present {
            let asked = constraints.iter().any(|constraint| constraint.context_name == name && !constraint.inverted);
            let by = Stickiness::named(&name);
            match (&slot, choice) {
                _ if asked => {}
                (Some(Slot::Share(roll)), _) if roll.by == by => {}
                // a share of all values
                (None, Choice::Drawn { group, by: drawn, .. }) if *drawn == by => slot = Some(everyone(group.clone(), by)),
                (None, Choice::Plain | Choice::Fixed(_)) if let Ok(group) = group(self.program.key()) => {
                    self.note(format!("`{name}` is left out rather than sent empty: SDKs differ in what an empty text is"));
                    slot = Some(everyone(group, by));
                }
                _ => constraints.push(pattern::anything(&name)),
            }
        }
        let mut strategy = Strategy { name: "default".to_owned(), ..Strategy::default() };
        let mut parameter = |name: &str, value: String| strategy.parameters.insert(name.to_owned(), Value::from(value));
        match &slot {
            None => {}
            Some(Slot::Share(roll)) => {
                parameter("rollout", roll.percent.to_string());
                parameter("stickiness", roll.by.text().to_owned());
                parameter("groupId", roll.group.clone());
            }
            Some(Slot::Addresses(addresses)) => drop(parameter("IPs", addresses.join(","))),
            Some(Slot::Hosts(hosts)) => drop(parameter("hostNames", hosts.join(","))),
        }
        strategy.name = match &slot {
            None => "default",
            Some(Slot::Share(_)) => "flexibleRollout",
            Some(Slot::Addresses(_)) => "remoteAddress",
            Some(Slot::Hosts(_)) => "applicationHostname",
        }
        .to_owned();
        match (choice, &slot) {
            (Choice::Plain, _) => self.plain = true,
            (Choice::Fixed(variant), slot) => {
                // some SDKs divide by the strategy's stickiness whatever the variant says
                let by = if let Some(Slot::Share(roll)) = slot { roll.by.text() } else { Stickiness::Default.text() };
                strategy.variants = vec![Variant { stickiness: Some(by.to_owned()), ..variant.clone() }];
            }
            (Choice::Drawn { group, by, variants }, Some(Slot::Share(roll))) if roll.by != *by || roll.group != *group => {
                self.share(group, variants)?;
            }
            (Choice::Drawn { group, by, variants }, _) => {
                strategy.variants.clone_from(variants);
                strategy.parameters.insert("groupId".to_owned(), Value::from(group.as_str()));
                strategy.parameters.insert("stickiness".to_owned(), Value::from(by.text()));
            }
        }
        strategy.constraints = constraints.into_iter().map(worded).collect();
        for (id, constraints) in segments {
            strategy.segments.push(id);
            self.offer.segments.insert(id, constraints.into_iter().map(worded).collect());
        }
        Ok(strategy)
    }

    /// Variants of the feature: for strategies without their own, and drawn by the feature's name.
    fn share(&mut self, group: &str, variants: &[Variant]) -> Result<(), String> {
        let toggle = &mut self.offer.toggle;
        if group != toggle.name || !(toggle.variants.is_empty() || toggle.variants == variants) {
            return Err("variants are drawn by another salt or attribute than the share of those who draw".to_owned());
        }
        toggle.variants = variants.to_vec();
        Ok(())
    }
}

fn everyone(group: String, by: Stickiness) -> Slot {
    Slot::Share(Roll { group, percent: 100, by })
}

fn worded(constraint: Constraint) -> Constraint {
    match constraint.operator.as_str() {
        "IN" if constraint.inverted => Constraint { operator: "NOT_IN".to_owned(), inverted: false, ..constraint },
        _ => constraint,
    }
}
