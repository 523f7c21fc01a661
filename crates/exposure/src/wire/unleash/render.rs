//! A snapshot as the features that Unleash SDKs evaluate themselves.
//!
//! SDKs try strategies in order and the first that holds chooses the variant, so rules that show something keep their
//! order. What they cannot say is *stop, and show nothing*: a rule that ends in `off` is excluded from each strategy after
//! it. What no combination of strategies says exactly, for the SDK of every language, is not handed out at all.

mod clause;
mod need;
mod part;
mod pattern;
mod strategy;

use std::collections::{BTreeMap, BTreeSet};

use self::part::{All, Any};
use self::strategy::Choice;
use super::ask::{is_on, named, numbers};
use super::sticky::{Draw, Stickiness, collapse};
use super::{ClientFeatures, Constraint, Segment, Toggle, Variant};
use crate::capability::{Capability, Evaluated, Protocol};
use crate::hash::Packed;
use crate::model::{Algorithm, Cohort, Feature, Outcome, Rule, Split, ValueType};
use crate::program::{Gate, Program};
use crate::snapshot::Snapshot;

/// Strategies that one feature may take.
const MAX_STRATEGIES: usize = 64;
/// The heaviest that a variant may be, and the weight of one that is alone.
const MAX_WEIGHT: u32 = 1_000;

/// What an SDK understands, by the client specification that it names in `Unleash-Client-Spec`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `IN`, `NOT_IN` and shares; segments stand inside strategies.
    #[default]
    Bare,
    /// From 4.2: segments of their own, all other operators, inversion.
    Segments,
    /// From 5.1: variants of strategies, drawn as they are today, and dependencies.
    Variants,
    /// From 6.1: regular expressions and networks.
    Patterns,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Bare, Self::Segments, Self::Variants, Self::Patterns];

    /// Who names no specification is as old as can be.
    #[must_use]
    pub fn of(specification: Option<&str>) -> Self {
        let mut numbers = specification.unwrap_or_default().trim().split('.').map_while(|number| number.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self::ALL.into_iter().rev().find(|level| version >= level.since()).unwrap_or_default()
    }

    const fn since(self) -> (u32, u32) {
        match self {
            Self::Bare => (0, 0),
            Self::Segments => (4, 2),
            Self::Variants => (5, 1),
            Self::Patterns => (6, 1),
        }
    }
}

/// All features that an SDK of this level evaluates as we do, and the segments that they name.
#[must_use]
pub fn features(snapshot: &Snapshot, level: Level) -> ClientFeatures {
    let wire = Wire::of(snapshot);
    let mut segments: BTreeMap<i64, Vec<Constraint>> = BTreeMap::new();
    let mut features = Vec::new();
    for key in snapshot.keys() {
        let Some(mut offer) = wire.offer(key).filter(|offer| offer.because.is_empty() && offer.needs() <= level) else { continue };
        if level < Level::Segments {
            offer.inline();
        }
        segments.append(&mut offer.segments);
        features.push(offer.toggle);
    }
    features.sort_by(|one, other| one.name.cmp(&other.name));
    let segments = segments.into_iter().map(|(id, constraints)| Segment { id, name: None, constraints: Some(constraints) }).collect();
    ClientFeatures { version: 2, features, segments }
}

/// What Unleash SDKs can make of the feature of this key; `None` if there is none.
pub(crate) fn capability(snapshot: &Snapshot, key: &str) -> Option<Capability> {
    let offer = Wire::of(snapshot).offer(key)?;
    let since = match offer.needs() {
        level @ (Level::Variants | Level::Patterns) => Some(format!("SDKs below client specification {}.{} are not handed it", level.since().0, level.since().1)),
        Level::Bare | Level::Segments => None,
    };
    let (evaluated, because) = if offer.because.is_empty() { (Evaluated::Locally, offer.notes.into_iter().chain(since).collect()) } else { (Evaluated::Remotely, offer.because) };
    Some(Capability { protocol: Protocol::Unleash, evaluated, because })
}

/// A snapshot, with what its features share on this wire.
struct Wire<'s> {
    snapshot: &'s Snapshot,
    features: BTreeMap<&'s str, Feature>,
    cohorts: BTreeMap<&'s str, Cohort>,
    /// Attributes that are numbers; all others are text.
    numbers: BTreeSet<String>,
    /// Of each group of each cohort.
    segments: BTreeMap<(&'s str, usize), i64>,
}

impl<'s> Wire<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        let mut taken = BTreeSet::new();
        let mut segments = BTreeMap::new();
        let cohorts: BTreeMap<&str, Cohort> = snapshot.cohorts().iter().map(|cohort| (&*cohort.name, cohort.model())).collect();
        let groups = || cohorts.iter().flat_map(|(name, cohort)| (0..cohort.any_of.len()).map(|group| (*name, group)));
        let imported = |(name, group): &(&str, usize)| name.strip_prefix("segment-").filter(|_| *group == 0)?.parse::<u32>().ok().filter(|id| *id < FIRST_OF_OURS);
        for group in groups() {
            if let Some(id) = imported(&group).map(i64::from).filter(|id| taken.insert(*id)) {
                segments.insert(group, id);
            }
        }
        for group in groups() {
            segments.entry(group).or_insert_with(|| {
                let text = format!("{}\0{}", group.0, group.1);
                let mut id = FIRST_OF_OURS | (Packed::of(&text).hash(&text) as u32 >> 2);
                while !taken.insert(i64::from(id)) {
                    id = FIRST_OF_OURS | (id.wrapping_add(1) & (FIRST_OF_OURS - 1));
                }
                i64::from(id)
            });
        }
        Self { snapshot, features: snapshot.features().collect(), numbers: numbers(snapshot), segments, cohorts }
    }

    /// `None` if there is no such feature.
    fn asked(&self, key: &str) -> Option<Asked<'_>> {
        Some((self.snapshot.program(key)?, self.features.get(key)?))
    }

    /// `None` if there is no such feature.
    fn offer(&self, key: &str) -> Option<Offer> {
        let mut offer = self.body(self.asked(key)?);
        need::depend(self, key, &mut offer);
        Some(offer)
    }

    /// A feature without what it needs of others.
    fn body(&self, (program, feature): Asked<'_>) -> Offer {
        let mut reader = Reader { wire: self, program, feature, offer: Offer::default(), plain: false };
        reader.offer.toggle.name = program.key().to_owned();
        match program.gate {
            Gate::Unusable(_) => reader.refuse("it has no variant that could be served".to_owned()),
            Gate::Open => reader.rules(),
            Gate::Killed | Gate::Faulty(_) => {}
        }
        reader.offer.toggle.enabled = !reader.offer.toggle.strategies.is_empty();
        reader.offer
    }
}

/// A feature compiled and in its canonical form.
type Asked<'w> = (&'w Program, &'w Feature);

/// Segments below this were imported and keep their numbers. Some SDKs hold them in 32 bits with a sign.
const FIRST_OF_OURS: u32 = 1 << 30;

/// One feature as it is handed out, and what stands in the way.
#[derive(Default)]
struct Offer {
    toggle: Toggle,
    segments: BTreeMap<i64, Vec<Constraint>>,
    /// What the features that it depends on need.
    least: Level,
    because: Vec<String>,
    notes: BTreeSet<String>,
}

impl Offer {
    /// The least an SDK must understand.
    fn needs(&self) -> Level {
        let toggle = &self.toggle;
        let of_constraint = |constraint: &Constraint| match constraint.operator.as_str() {
            "IN" | "NOT_IN" if !constraint.inverted => Level::Bare,
            "REGEX" | "IN_CIDR" => Level::Patterns,
            _ => Level::Segments,
        };
        let constraints = toggle.strategies.iter().flat_map(|strategy| &strategy.constraints).chain(self.segments.values().flatten());
        let varied = !toggle.dependencies.is_empty() || !toggle.variants.is_empty() || toggle.strategies.iter().any(|strategy| !strategy.variants.is_empty());
        let least = if varied { Level::Variants } else { Level::Bare };
        constraints.map(of_constraint).fold(least.max(self.least), Level::max)
    }

    /// Puts the constraints of segments where segments are named.
    fn inline(&mut self) {
        for strategy in &mut self.toggle.strategies {
            let segments = std::mem::take(&mut strategy.segments);
            strategy.constraints.extend(segments.iter().filter_map(|id| self.segments.get(id)).flatten().cloned());
        }
        self.segments.clear();
    }
}

/// Renders one feature and gathers what stands in the way, all of it.
struct Reader<'w, 's> {
    wire: &'w Wire<'s>,
    program: &'w Program,
    feature: &'w Feature,
    offer: Offer,
    /// Some strategy has no variant, and may not be given one.
    plain: bool,
}

impl Reader<'_, '_> {
    fn rules(&mut self) {
        let feature = self.feature;
        if feature.variants.get(&feature.off) == Some(&serde_json::Value::Bool(true)) {
            return self.refuse(format!("its off, `{}`, is true", feature.off));
        }
        let everyone = Rule { name: "default".to_owned(), when: Vec::new(), then: Outcome::Variant(feature.default.clone()), release: None, blocked: None };
        let rules: Vec<&Rule> = feature.claims.iter().chain(&feature.baseline).chain([&everyone]).collect();
        let mut rest = rules.as_slice();
        // whom no rule before has switched off
        let mut left: Any = vec![All::default()];
        while let Some((rule, after)) = rest.split_first() {
            if !self.may_show(rule) {
                let all = rule.when.is_empty() && matches!(rule.then, Outcome::Variant(_));
                if all || !after.iter().any(|later| self.may_show(later)) {
                    break;
                }
                let mut spared = self.none(&rule.when);
                if let Outcome::Split(split) = &rule.then {
                    // whoever has no bucket goes on to the next rule
                    spared.extend(self.absent(&split.attribute));
                }
                left = self.and(&left, &spared);
                rest = after;
            } else if let Outcome::Split(split) = &rule.then
                && split.algorithm != Algorithm::UnleashVariant
            {
                let more = after.iter().any(|later| self.may_show(later));
                self.divide(rule, split, &left, more);
                rest = after;
            } else if let Some(run) = collapse(rest) {
                let choice = match &run.choice {
                    Ok(name) => Some(self.fixed(name)),
                    Err(draw) => self.draw(draw),
                };
                let everyone = run.when.is_empty() && run.roll.is_none();
                let mut any = self.all(run.when);
                if let Some(roll) = run.roll {
                    let roll = self.roll(&roll.group, roll.percent, &roll.by);
                    any = self.and(&any, &roll);
                }
                self.show(&any, choice, &left);
                rest = if everyone { &[] } else { rest.get(run.rules..).unwrap_or_default() };
            } else if let Outcome::Split(split) = &rule.then {
                let present = self.present(&split.attribute);
                let choice = self.draw(&Draw { group: split.salt.clone(), by: Stickiness::By(split.attribute.clone()), weights: split.weights.clone() });
                let any = self.all(&rule.when);
                let any = self.and(&any, &present);
                self.show(&any, choice, &left);
                rest = after;
            } else {
                let (Outcome::Variant(name), any) = (&rule.then, self.all(&rule.when)) else { break };
                let choice = Some(self.fixed(name));
                self.show(&any, choice, &left);
                rest = after;
            }
        }
        if self.plain && !self.offer.toggle.variants.is_empty() {
            self.refuse("one rule draws variants by another salt than its share, and another rule has none".to_owned());
        }
        if feature.r#type != ValueType::Boolean {
            self.note(format!("`{}` does not cross this wire: where the feature is off, the application's own fallback applies", feature.off));
        }
    }

    /// Strategies for these, as far as they are `left`.
    fn show(&mut self, any: &Any, choice: Option<Choice>, left: &Any) {
        let any = self.and(any, left);
        let Some(choice) = choice else { return };
        if self.offer.toggle.strategies.len() + any.len() > MAX_STRATEGIES {
            return self.too_many();
        }
        for all in any {
            match self.strategy(all, &choice) {
                Ok(strategy) => self.offer.toggle.strategies.push(strategy),
                Err(because) => self.refuse(because),
            }
        }
    }

    /// By `unleash/1`, a share after a share: each leaves those before it out, since they were served already.
    fn divide(&mut self, rule: &Rule, split: &Split, left: &Any, more: bool) {
        if split.algorithm == Algorithm::M3 {
            return self.refuse(format!("rule `{}` splits by `{}`, which Unleash SDKs do not know", rule.name, split.algorithm));
        }
        let (mut percent, mut hidden) = (0, false);
        for (name, weight) in split.weights.iter().filter(|(_, weight)| *weight > 0) {
            percent += weight;
            if !self.shows(name) {
                hidden = true;
                continue;
            }
            if hidden {
                return self.refuse(format!("rule `{}` splits, and those who get nothing stand before others", rule.name));
            }
            let (roll, choice) = (self.roll(&split.salt, percent, &Stickiness::By(split.attribute.clone())), self.fixed(name));
            let any = self.all(&rule.when);
            let any = self.and(&any, &roll);
            self.show(&any, Some(choice), left);
        }
        if hidden && more {
            self.refuse(format!("rule `{}` gives some of its share nothing, and rules after it would catch them", rule.name));
        }
    }

    fn is_number(&self, attribute: &str) -> bool {
        self.wire.numbers.contains(attribute)
    }

    /// Whether this variant shows the feature, in Unleash's sense of on and off.
    fn shows(&self, variant: &str) -> bool {
        let feature = self.feature;
        feature.variants.get(variant).is_some_and(|value| is_on(&feature.off, variant, value))
    }

    fn may_show(&self, rule: &Rule) -> bool {
        let shown = match &rule.then {
            Outcome::Variant(name) => self.shows(name),
            Outcome::Split(split) => split.weights.iter().any(|(name, weight)| *weight > 0 && self.shows(name)),
        };
        rule.blocked.is_none() && shown
    }

    fn fixed(&self, name: &str) -> Choice {
        self.variant(name, MAX_WEIGHT, &Stickiness::Default).map_or(Choice::Plain, Choice::Fixed)
    }

    fn draw(&mut self, draw: &Draw) -> Option<Choice> {
        let weights: Vec<(&str, u32)> = draw.weights.iter().filter(|(_, weight)| *weight > 0).map(|(name, weight)| (name.as_str(), *weight)).collect();
        let variants: Vec<Variant> = weights.iter().filter_map(|(name, weight)| self.variant(name, *weight, &draw.by)).collect();
        let because = if weights.iter().any(|(name, _)| !self.shows(name)) {
            "variants are drawn of which one is off".to_owned()
        } else if weights.iter().any(|(_, weight)| *weight > MAX_WEIGHT) {
            format!("the weight of a variant is more than {MAX_WEIGHT}")
        } else if variants.is_empty() {
            return Some(Choice::Plain);
        } else if variants.len() < weights.len() {
            "some of the variants that are drawn have no name there".to_owned()
        } else {
            match self.sticky(&draw.by).and_then(|()| group(&draw.group)) {
                Ok(group) if group.is_empty() => "variants are drawn with an empty salt".to_owned(),
                Ok(group) => return Some(Choice::Drawn { group, by: draw.by.clone(), variants }),
                Err(because) => because,
            }
        };
        self.refuse(because);
        None
    }

    /// `None` where the SDK is told no more than that the feature is on.
    fn variant(&self, name: &str, weight: u32, by: &Stickiness) -> Option<Variant> {
        // as evaluation has it: a float with its point
        let value = self.program.variant(name)?;
        let (name, payload) = named(self.feature.r#type, name, value)?;
        Some(Variant { name, weight, payload, stickiness: Some(by.text().to_owned()), overrides: Vec::new() })
    }

    fn too_many(&mut self) {
        self.refuse(format!("it would take more than {MAX_STRATEGIES} strategies"));
    }

    fn refuse(&mut self, because: String) {
        if !self.offer.because.contains(&because) {
            self.offer.because.push(because);
        }
    }

    fn note(&mut self, note: String) {
        self.offer.notes.insert(note);
    }
}

/// A salt as a group: SDKs that build a text of their own out of it do not escape it.
fn group(salt: &str) -> Result<String, String> {
    if salt.contains(['"', '\\']) { Err(format!("the salt `{salt}` has a quote or a backslash, which not every SDK reads")) } else { Ok(salt.to_owned()) }
}

#[cfg(test)]
mod tests;
