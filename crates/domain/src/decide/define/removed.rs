//! What a set names no more: what is left over of it goes, unless something that stays still needs it.

use std::collections::BTreeSet;

use greenroom_exposure::model::Clause;

use super::{World, prerequisites, wrong};
use crate::command::Manifest;
use crate::decide::Work;
use crate::deployment::environment::EnvironmentSpec;
use crate::deployment::placement::Placement;
use crate::event::{AttributeRemoved, CohortRemoved, EnvironmentRemoved, FeatureRemoved, PolicyRemoved, ServiceRemoved};
use crate::id::{AttributeName, FeatureKey, Name};
use crate::refusal::{Reason, ReasonCode, argument};
use crate::state::State;

/// Something of the set that no manifest names any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leftover {
    Environment(Name),
    Service(Name),
    Policy(Name),
    Feature(FeatureKey),
    Cohort(Name),
    Attribute(AttributeName),
}

impl Leftover {
    fn subject(&self) -> String {
        match self {
            Self::Environment(name) => format!("environment/{name}"),
            Self::Service(name) => format!("service/{name}"),
            Self::Policy(name) => format!("policy/{name}"),
            Self::Feature(key) => format!("feature/{key}"),
            Self::Cohort(name) => format!("cohort/{name}"),
            Self::Attribute(name) => format!("attribute/{name}"),
        }
    }
}

pub(super) fn remove(work: &mut Work<'_>, leftover: &Leftover) {
    match leftover.clone() {
        Leftover::Environment(name) => work.push(EnvironmentRemoved { name }),
        Leftover::Service(name) => work.push(ServiceRemoved { name }),
        Leftover::Policy(name) => work.push(PolicyRemoved { name }),
        Leftover::Feature(key) => work.push(FeatureRemoved { key }),
        Leftover::Cohort(name) => work.push(CohortRemoved { name }),
        Leftover::Attribute(name) => work.push(AttributeRemoved { name }),
    }
}

pub(super) fn leftovers(state: &State, set: &Name, manifests: &[Manifest]) -> Vec<Leftover> {
    let kept: BTreeSet<String> = manifests.iter().map(Manifest::subject).collect();
    let gone = |kind: &str, name: &str| !kept.contains(&format!("{kind}/{name}"));
    let mut all = Vec::new();
    all.extend(state.features.values().filter(|x| x.set == *set && gone("feature", x.key.as_str())).map(|x| Leftover::Feature(x.key.clone())));
    all.extend(state.environments.values().filter(|x| x.set == *set && gone("environment", x.name.as_str())).map(|x| Leftover::Environment(x.name.clone())));
    all.extend(state.services.values().filter(|x| x.set == *set && gone("service", x.name.as_str())).map(|x| Leftover::Service(x.name.clone())));
    all.extend(state.policies.values().filter(|x| x.set == *set && gone("policy", x.name.as_str())).map(|x| Leftover::Policy(x.name.clone())));
    all.extend(state.cohorts.values().filter(|x| x.set == *set && gone("cohort", x.name.as_str())).map(|x| Leftover::Cohort(x.name.clone())));
    all.extend(state.attributes.values().filter(|x| x.set == *set && gone("attribute", x.name.as_str())).map(|x| Leftover::Attribute(x.name.clone())));
    all
}

pub(super) fn removable(state: &State, world: &World<'_>, leftover: &Leftover, reasons: &mut Vec<Reason>) {
    let subject = leftover.subject();
    let mut referenced = |by: String, remedy: &str| {
        reasons.push(Reason::new(ReasonCode::StillReferenced, &subject, format!("`{subject}` is still used by {by}")).remedy(remedy).path("metadata.name"));
    };
    let in_use = |p: &Placement| p.active.is_some() || p.observed.as_ref().is_some_and(|o| !o.serving.is_empty());
    // what this set says about an environment was looked at with the environment itself
    let others = || world.environments.iter().filter(|(name, spec)| state.environments.get(**name).is_some_and(|old| std::ptr::eq(**spec, &old.spec)));
    let open = || state.releases.values().filter(|r| !wrong::done(r));
    match leftover {
        Leftover::Environment(name) => {
            if let Some(p) = state.placements_in(name).find(|p| in_use(p)) {
                referenced(format!("`{}`, which runs there", p.key.service), "take its targets off it first: what runs there goes on, and stopping it is yours then");
            }
            for other in others().filter(|(_, spec)| spec.after.contains(name)).map(|(other, _)| other) {
                referenced(format!("environment `{other}` (after)"), "change that first");
            }
            for release in open().filter(|r| r.environments.contains_key(name)) {
                referenced(format!("release `{}`", release.name), "withdraw or cancel it first");
            }
        }
        Leftover::Service(name) => {
            if let Some(p) = state.placements.values().find(|p| p.key.service == *name && in_use(p)) {
                referenced(format!("`{}`, where it runs", p.key.environment), "take it off the targets there first: it goes on running, and stopping it is yours then");
            }
            for release in open().filter(|r| r.needs().any(|n| n.service == *name)) {
                referenced(format!("release `{}`", release.name), "withdraw or cancel it first");
            }
            let names = |spec: &EnvironmentSpec| spec.targets.iter().any(|t| t.endpoints.contains_key(name) || t.services.iter().flatten().any(|s| s == name));
            for environment in others().filter(|(_, spec)| names(spec)).map(|(e, _)| e) {
                referenced(format!("environment `{environment}` (targets)"), "take it off the targets first");
            }
        }
        Leftover::Policy(name) => {
            for environment in others().filter(|(_, spec)| spec.policies.contains(name)).map(|(e, _)| e) {
                referenced(format!("environment `{environment}`"), "change that first");
            }
        }
        Leftover::Feature(key) => {
            for release in open().filter(|r| r.spec.features.iter().any(|f| f.key == *key)) {
                referenced(format!("release `{}`", release.name), "withdraw or cancel it first");
            }
            wrong::readers(state, key, "it cannot be removed", "metadata.name", |_| true, reasons);
            prerequisites::needed(state, world, key, None, "it cannot be removed", "metadata.name", reasons);
        }
        Leftover::Cohort(name) => {
            for release in open().filter(|r| r.spec.stages.iter().any(|s| s.cohort.as_ref() == Some(name))) {
                referenced(format!("release `{}`", release.name), "withdraw or cancel it first");
            }
            let names = |when: &[Clause]| when.iter().any(|clause| matches!(clause, Clause::Cohort(other) if other == name.as_str()));
            for feature in state.features.values().filter(|f| world.features.contains_key(f.key.as_str())) {
                let baselines = feature.baselines.iter().flat_map(|(environment, b)| b.asks().map(move |(rule, when, _)| (environment, rule, when)));
                for (environment, rule, _) in baselines.filter(|(_, _, when)| names(when)) {
                    let remedy = format!("set other rules first: greenroom feature baseline {} --rules FILE --env {environment}", argument(feature.key.as_str()));
                    referenced(format!("rule `{rule}` of feature `{}` in `{environment}`", feature.key), &remedy);
                }
            }
        }
        // what is not declared may be read by any type
        Leftover::Attribute(_) => {}
    }
}
