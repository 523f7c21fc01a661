//! Manifests: a whole set at once, or nothing of it.

mod attributes;
mod prerequisites;
mod removed;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};

use greenroom_exposure::model::AttributeType;

use self::removed::Leftover;
use super::Work;
use crate::command::Manifest;
use crate::deployment::environment::EnvironmentSpec;
use crate::deployment::service::ServiceSpec;
use crate::event::{AttributeDefined, CohortDefined, EnvironmentDefined, FeatureDefined, PolicyDefined, ServiceDefined};
use crate::id::{FeatureKey, Name};
use crate::refusal::{ReasonCode, Refusal, RefusalKind};
use crate::release::cohort::CohortSpec;
use crate::release::feature::FeatureSpec;
use crate::sealed::Sealed;
use crate::state::State;

/// What would stand after the set is applied, by name: what references are checked against.
struct World<'a> {
    environments: BTreeMap<&'a str, &'a EnvironmentSpec>,
    services: BTreeMap<&'a str, &'a ServiceSpec>,
    policies: BTreeSet<&'a str>,
    features: BTreeMap<&'a str, &'a FeatureSpec>,
    cohorts: BTreeMap<&'a str, &'a CohortSpec>,
    attributes: BTreeMap<&'a str, AttributeType>,
    anew: Anew<'a>,
}

/// Features whose rules and default in one environment are set anew with the manifests: what stands there counts no more.
#[derive(Default, Clone)]
pub(super) struct Anew<'a>(pub Option<(&'a Name, BTreeSet<&'a FeatureKey>)>);

impl World<'_> {
    fn serves_anew(&self, feature: &FeatureKey, environment: &Name) -> bool {
        self.anew.0.as_ref().is_some_and(|(there, features)| *there == environment && features.contains(feature))
    }
}

pub(super) fn apply(work: &mut Work<'_>, set: &Name, manifests: &[Manifest], prune: bool, anew: Anew<'_>) -> Result<(), Refusal> {
    let before = work.state.clone();
    let mut reasons = wrong::duplicates(manifests);
    wrong::foreign(&before, set, manifests, &mut reasons);
    let gone = if prune { removed::leftovers(&before, set, manifests) } else { Vec::new() };
    let world = world(&before, manifests, &gone, anew);
    for manifest in manifests {
        match manifest {
            Manifest::Environment { name, spec, .. } => wrong::environment(&before, &world, name, spec, &mut reasons),
            Manifest::Service { name, spec, .. } => wrong::service(&world, name, spec, &mut reasons),
            Manifest::Policy { name, spec, .. } => wrong::policy(name, spec, &mut reasons),
            Manifest::Feature { key, spec, .. } => wrong::feature(&before, &world, key, spec, &mut reasons),
            Manifest::Cohort { name, spec, .. } => wrong::cohort(&world, name, spec, &mut reasons),
            Manifest::Attribute { name, spec, .. } => attributes::attribute(&before, &world, name, spec, &mut reasons),
        }
    }
    wrong::whole(&world, manifests, &mut reasons);
    prerequisites::whole(&before, &world, &mut reasons);
    for subject in &gone {
        removed::removable(&before, &world, subject, &mut reasons);
    }
    let only_references = reasons.iter().all(|r| matches!(r.code, ReasonCode::ReadByLiveBuild | ReasonCode::StillReferenced | ReasonCode::WouldUnmet | ReasonCode::Busy));
    Refusal::unless_empty(if only_references { RefusalKind::Refused } else { RefusalKind::Invalid }, reasons)?;
    for manifest in manifests {
        define(work, set, manifest);
    }
    for subject in &gone {
        removed::remove(work, subject);
    }
    Ok(())
}

fn define(work: &mut Work<'_>, set: &Name, manifest: &Manifest) {
    let set = set.clone();
    match manifest {
        Manifest::Environment { name, title, spec } => {
            if work.state.environments.get(name).is_none_or(|old| old.spec != *spec || old.title != *title || old.set != set) {
                work.push(EnvironmentDefined { name: name.clone(), set, title: title.clone(), spec: spec.clone() });
            }
        }
        Manifest::Service { name, title, spec } => {
            if work.state.services.get(name).is_none_or(|old| old.spec != *spec || old.title != *title || old.set != set) {
                work.push(ServiceDefined { name: name.clone(), set, title: title.clone(), spec: spec.clone() });
            }
        }
        Manifest::Policy { name, title, spec } => {
            if work.state.policies.get(name).is_none_or(|old| old.spec != *spec || old.title != *title || old.set != set) {
                work.push(PolicyDefined { name: name.clone(), set, title: title.clone(), spec: spec.clone() });
            }
        }
        Manifest::Feature { key, title, spec } => {
            if work.state.features.get(key).is_none_or(|old| old.spec != *spec || old.title != *title || old.set != set) {
                let old = work.state.features.get(key).cloned();
                work.push(FeatureDefined { key: key.clone(), set, title: title.clone(), spec: spec.clone() });
                if let Some(old) = old {
                    super::plan::values_changed(work, key, &old.spec);
                }
            }
        }
        Manifest::Cohort { name, title, spec } => {
            let listed = !spec.users.is_empty();
            let plain = CohortSpec { users: Vec::new(), ..spec.clone() };
            let same_users = |old: &Option<Sealed>| match old {
                None => !listed,
                // a list whose text is erased is another
                Some(sealed) => {
                    (work.texts)(sealed).and_then(|text| serde_json::from_str::<BTreeSet<String>>(&text).ok()).is_some_and(|old| old == spec.users.iter().cloned().collect())
                }
            };
            if work.state.cohorts.get(name).is_none_or(|old| old.spec != plain || old.title != *title || old.set != set || !same_users(&old.users)) {
                let users = listed.then(|| serde_json::to_string(&spec.users).unwrap_or_default()).map(|text| work.seal(&text));
                let version = Some(work.state.next_cohort_version(name));
                work.push(CohortDefined { name: name.clone(), set, title: title.clone(), spec: plain, users, version });
            }
        }
        Manifest::Attribute { name, title, spec } => {
            if work.state.attributes.get(name).is_none_or(|old| old.spec != *spec || old.title != *title || old.set != set) {
                work.push(AttributeDefined { name: name.clone(), set, title: title.clone(), spec: spec.clone() });
            }
        }
    }
}

fn world<'a>(state: &'a State, manifests: &'a [Manifest], removed: &[Leftover], anew: Anew<'a>) -> World<'a> {
    let mut world = World {
        environments: state.environments.values().filter(|e| !removed.contains(&Leftover::Environment(e.name.clone()))).map(|e| (e.name.as_str(), &e.spec)).collect(),
        services: state.services.values().filter(|s| !removed.contains(&Leftover::Service(s.name.clone()))).map(|s| (s.name.as_str(), &s.spec)).collect(),
        policies: state.policies.keys().filter(|n| !removed.contains(&Leftover::Policy((*n).clone()))).map(Name::as_str).collect(),
        features: state.features.values().filter(|f| !removed.contains(&Leftover::Feature(f.key.clone()))).map(|f| (f.key.as_str(), &f.spec)).collect(),
        cohorts: state.cohorts.values().filter(|c| !removed.contains(&Leftover::Cohort(c.name.clone()))).map(|c| (c.name.as_str(), &c.spec)).collect(),
        attributes: state.attributes.values().filter(|a| !removed.contains(&Leftover::Attribute(a.name.clone()))).map(|a| (a.name.as_str(), a.spec.r#type)).collect(),
        anew,
    };
    for manifest in manifests {
        match manifest {
            Manifest::Environment { name, spec, .. } => {
                world.environments.insert(name.as_str(), spec);
            }
            Manifest::Service { name, spec, .. } => {
                world.services.insert(name.as_str(), spec);
            }
            Manifest::Policy { name, .. } => {
                world.policies.insert(name.as_str());
            }
            Manifest::Feature { key, spec, .. } => {
                world.features.insert(key.as_str(), spec);
            }
            Manifest::Cohort { name, spec, .. } => {
                world.cohorts.insert(name.as_str(), spec);
            }
            Manifest::Attribute { name, spec, .. } => {
                world.attributes.insert(name.as_str(), spec.r#type);
            }
        }
    }
    world
}
