//! Whom exposure reaches, as far as that can be known without anyone asking: real users, and never staff alone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use greenroom_exposure::model::{self, Clause, Outcome};

use crate::exposure;
use crate::id::{FeatureKey, Name};
use crate::release::feature::{Audience, Feature};
use crate::release::plan::Slice;
use crate::release::release::{Course, Release};
use crate::state::State;
use crate::time::At;

/// For how many real users all that a feature needs of others holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    Nobody,
    /// Who exactly hangs on who asks.
    Some,
    Everyone,
}

/// Whether any real user may be served something other than `off` of `feature` in `environment`.
#[must_use]
pub fn reaches_users(state: &State, environment: &Name, feature: &Feature) -> bool {
    serves(state, environment, feature) && needed(state, environment, feature) > Needed::Nobody
}

/// What the prerequisites of `feature` leave of its users.
#[must_use]
pub fn needed(state: &State, environment: &Name, feature: &Feature) -> Needed {
    Asked { state, environment, known: BTreeMap::new() }.needed(feature, 0)
}

/// Prerequisites deeper than this are not looked into: what they leave is then not known.
const DEEPEST: usize = 50;

/// One question, with what was found out for it so far.
struct Asked<'s> {
    state: &'s State,
    environment: &'s Name,
    /// Variants that real users may get of a feature; nothing while it is being found out.
    known: BTreeMap<&'s FeatureKey, Rc<BTreeSet<String>>>,
}

impl<'s> Asked<'s> {
    fn needed(&mut self, feature: &'s Feature, depth: usize) -> Needed {
        let each = feature.spec.prerequisites.iter().map(|(key, variants)| {
            if depth >= DEEPEST {
                return Needed::Some;
            }
            // what is not there is off for everyone who needs it
            let Some(other) = self.state.features.get(key) else { return Needed::Nobody };
            let answers = self.answers(other, depth + 1);
            let wanted = |answer: &String| variants.iter().any(|variant| variant.as_str() == answer);
            match (answers.iter().any(wanted), answers.iter().all(wanted)) {
                (false, _) => Needed::Nobody,
                (true, false) => Needed::Some,
                (true, true) => Needed::Everyone,
            }
        });
        each.min().unwrap_or(Needed::Everyone)
    }

    fn answers(&mut self, feature: &'s Feature, depth: usize) -> Rc<BTreeSet<String>> {
        if let Some(known) = self.known.get(&feature.key) {
            return Rc::clone(known);
        }
        self.known.insert(&feature.key, Rc::default());
        let held = self.needed(feature, depth);
        let answers = Rc::new(answers(self.state, &exposure::feature(self.state, self.environment, feature), held));
        self.known.insert(&feature.key, Rc::clone(&answers));
        answers
    }
}

/// Variants that real users may get of `feature`, and none that its rules rule out for all of them.
fn answers(state: &State, feature: &model::Feature, held: Needed) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if feature.killed.is_some() || held < Needed::Everyone {
        all.insert(feature.off.clone());
    }
    if feature.killed.is_some() || held == Needed::Nobody {
        return all;
    }
    for rule in feature.claims.iter().chain(&feature.baseline).filter(|rule| real(state, &rule.when)) {
        match &rule.then {
            _ if rule.blocked.is_some() => all.extend([feature.off.clone()]),
            Outcome::Variant(variant) => all.extend([variant.clone()]),
            Outcome::Split(split) => all.extend(split.weights.iter().filter(|(_, weight)| *weight > 0).map(|(variant, _)| variant.clone())),
        }
        if rule.when.is_empty() {
            return all;
        }
    }
    all.insert(feature.default.clone());
    all
}

/// Whether clauses may hold for anyone but staff.
fn real(state: &State, when: &[Clause]) -> bool {
    let internal = |name: &str| state.cohorts.get(name).is_some_and(|cohort| cohort.spec.internal);
    !when.iter().any(|clause| match clause {
        Clause::Cohort(name) => internal(name),
        Clause::Share(share) => share.share == 0,
        Clause::Test(_) | Clause::Not(_) => false,
    })
}

/// The same, were it not for what it needs.
fn serves(state: &State, environment: &Name, feature: &Feature) -> bool {
    if feature.kills.contains_key(environment) {
        return false;
    }
    let anyone = |slices: &[Slice]| slices.iter().any(|s| s.share.get() > 0 && !s.cohort.as_ref().is_some_and(|c| state.cohorts.get(c).is_some_and(|c| c.spec.internal)));
    let claimed = |r: &Release| r.serving_stage(environment).is_some_and(|stage| stage > 0 && anyone(&r.slices(stage)));
    if state.releases.values().any(|r| r.spec.features.iter().any(|f| f.key == feature.key) && claimed(r)) {
        return true;
    }
    let Some(baseline) = feature.baselines.get(environment) else { return *feature.default_in(environment, state.is_production(environment)) != feature.spec.off };
    baseline.default != feature.spec.off
        || baseline.rules.iter().any(|rule| rule.shows(&feature.spec.off) && real(state, &rule.when))
        || baseline.entries.iter().any(|e| {
            e.off.is_none()
                && match &e.audience {
                    Audience::Slices { slices, .. } => anyone(slices),
                    Audience::When(when) => real(state, when),
                }
        })
}

/// When `feature` was last taken from users in `environment`, if it was; whether any are served it today is another question.
#[must_use]
pub fn hidden_since(state: &State, environment: &Name, feature: &Feature) -> Option<At> {
    let withdrawn = state.releases.values().filter(|r| r.spec.features.iter().any(|f| f.key == feature.key)).filter_map(|r| match r.environments.get(environment)?.course {
        Course::Withdrawing { since, .. } | Course::Withdrawn { since } | Course::Paused { off: true, since, .. } => Some(since),
        _ => None,
    });
    withdrawn.chain(feature.kills.get(environment).map(|kill| kill.at)).max()
}
