//! How far a feature reaches among real users: nobody, some, everyone. Staff alone is nobody.

use greenroom_domain::id::Name;
use greenroom_domain::reach::{Needed, needed, reaches_users};
use greenroom_domain::release::feature::{Audience, Feature};
use greenroom_domain::release::plan::Slice;
use greenroom_domain::release::release::audience;
use greenroom_domain::state::State;
use greenroom_domain::time::Share;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    Nobody,
    /// `10%`, or `all of beta`.
    Some(String),
    Everyone,
}

/// Through every claim and the baseline; the widest of them is said, and less where that needs other features.
pub fn reach(state: &State, environment: &Name, feature: &Feature) -> Reach {
    if !reaches_users(state, environment, feature) {
        return Reach::Nobody;
    }
    match (widest(state, environment, feature), needed(state, environment, feature)) {
        (reach, Needed::Everyone) => reach,
        (Reach::Some(text), _) if text != SOME => Reach::Some(format!("at most {text}")),
        _ => Reach::Some(SOME.to_owned()),
    }
}

/// Nobody knows how many that are.
const SOME: &str = "some";

fn widest(state: &State, environment: &Name, feature: &Feature) -> Reach {
    let mut slices: Vec<Slice> = Vec::new();
    for release in state.releases.values().filter(|r| r.spec.features.iter().any(|f| f.key == feature.key)) {
        slices.extend(release.serving_stage(environment).filter(|stage| *stage > 0).map(|stage| release.slices(stage)).unwrap_or_default());
    }
    let baseline = feature.baselines.get(environment);
    if baseline.map_or_else(|| feature.default_in(environment, state.is_production(environment)), |b| &b.default) != &feature.spec.off {
        return Reach::Everyone;
    }
    // by attributes
    if baseline.is_some_and(|b| b.rules.iter().any(|rule| rule.shows(&feature.spec.off))) {
        return Reach::Some(SOME.to_owned());
    }
    for entry in baseline.into_iter().flat_map(|b| &b.entries).filter(|e| e.off.is_none()) {
        match &entry.audience {
            Audience::Slices { slices: more, .. } => slices.extend(more.iter().cloned()),
            Audience::When(_) => return Reach::Some(SOME.to_owned()),
        }
    }
    slices.retain(|s| s.share.get() > 0 && !s.cohort.as_ref().is_some_and(|c| state.cohorts.get(c).is_some_and(|c| c.spec.internal)));
    if slices.iter().any(|s| s.cohort.is_none() && s.share == Share::ALL) {
        return Reach::Everyone;
    }
    // each release draws its own share: of several, the widest is certain
    let mut widest: Vec<Slice> = Vec::new();
    for slice in slices {
        match widest.iter_mut().find(|w| w.cohort == slice.cohort) {
            Some(wide) => wide.share = wide.share.max(slice.share),
            None => widest.push(slice),
        }
    }
    Reach::Some(audience(&widest).replace(" of everyone", ""))
}
