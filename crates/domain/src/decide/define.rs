//! Manifests: a whole set at once, or nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;
use crate::command::Manifest;
use crate::deployment::environment::{EnvironmentSpec, Purpose};
use crate::deployment::service::ServiceSpec;
use crate::event::{CohortDefined, CohortRemoved, EnvironmentDefined, EnvironmentRemoved, FeatureDefined, FeatureRemoved, PolicyDefined, PolicyRemoved, ServiceDefined, ServiceRemoved};
use crate::id::{FeatureKey, Name};
use crate::link;
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::cohort::CohortSpec;
use crate::release::feature::FeatureSpec;
use crate::state::State;

/// What would stand after the set is applied, by name: what references are checked against.
struct World<'a> {
    environments: BTreeMap<&'a str, &'a EnvironmentSpec>,
    services: BTreeMap<&'a str, &'a ServiceSpec>,
    policies: BTreeSet<&'a str>,
    cohorts: BTreeSet<&'a str>,
}

pub(super) fn apply(work: &mut Work<'_>, set: &Name, manifests: &[Manifest], prune: bool) -> Result<(), Refusal> {
    let before = work.state.clone();
    let mut reasons = duplicates(manifests);
    foreign(&before, set, manifests, &mut reasons);
    let removed = if prune { leftovers(&before, set, manifests) } else { Vec::new() };
    let world = world(&before, manifests, &removed);
    for manifest in manifests {
        match manifest {
            Manifest::Environment { name, spec, .. } => environment(&before, &world, name, spec, &mut reasons),
            Manifest::Service { name, spec, .. } => service(name, spec, &mut reasons),
            Manifest::Policy { .. } => {}
            Manifest::Feature { key, spec, .. } => feature(&before, &world, key, spec, &mut reasons),
            Manifest::Cohort { name, spec, .. } => cohort(name, spec, &mut reasons),
        }
    }
    whole(&world, &mut reasons);
    for subject in &removed {
        removable(&before, &world, subject, &mut reasons);
    }
    let only_references = reasons.iter().all(|r| matches!(r.code, ReasonCode::ReadByLiveBuild | ReasonCode::StillReferenced | ReasonCode::WouldUnmet));
    Refusal::unless_empty(if only_references { RefusalKind::Refused } else { RefusalKind::Invalid }, reasons)?;
    for manifest in manifests {
        define(work, set, manifest);
    }
    for subject in removed {
        remove(work, &subject);
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
                work.push(FeatureDefined { key: key.clone(), set, title: title.clone(), spec: spec.clone() });
            }
        }
        Manifest::Cohort { name, title, spec } => {
            let listed = !spec.users.is_empty();
            let plain = CohortSpec { users: Vec::new(), ..spec.clone() };
            // whether a sealed list is the same cannot be seen here, so a listed cohort is always written anew
            if work.state.cohorts.get(name).is_none_or(|old| old.spec != plain || old.title != *title || old.set != set || listed || old.users.is_some()) {
                let users = listed.then(|| serde_json::to_string(&spec.users).unwrap_or_default()).map(|text| work.seal(&text));
                work.push(CohortDefined { name: name.clone(), set, title: title.clone(), spec: plain, users });
            }
        }
    }
}

/// Something of the set that no manifest names any more.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leftover {
    Environment(Name),
    Service(Name),
    Policy(Name),
    Feature(FeatureKey),
    Cohort(Name),
}

fn remove(work: &mut Work<'_>, leftover: &Leftover) {
    match leftover.clone() {
        Leftover::Environment(name) => work.push(EnvironmentRemoved { name }),
        Leftover::Service(name) => work.push(ServiceRemoved { name }),
        Leftover::Policy(name) => work.push(PolicyRemoved { name }),
        Leftover::Feature(key) => work.push(FeatureRemoved { key }),
        Leftover::Cohort(name) => work.push(CohortRemoved { name }),
    }
}

fn leftovers(state: &State, set: &Name, manifests: &[Manifest]) -> Vec<Leftover> {
    let kept: BTreeSet<String> = manifests.iter().map(Manifest::subject).collect();
    let gone = |kind: &str, name: &str| !kept.contains(&format!("{kind}/{name}"));
    let mut all = Vec::new();
    all.extend(state.features.values().filter(|x| x.set == *set && gone("feature", x.key.as_str())).map(|x| Leftover::Feature(x.key.clone())));
    all.extend(state.environments.values().filter(|x| x.set == *set && gone("environment", x.name.as_str())).map(|x| Leftover::Environment(x.name.clone())));
    all.extend(state.services.values().filter(|x| x.set == *set && gone("service", x.name.as_str())).map(|x| Leftover::Service(x.name.clone())));
    all.extend(state.policies.values().filter(|x| x.set == *set && gone("policy", x.name.as_str())).map(|x| Leftover::Policy(x.name.clone())));
    all.extend(state.cohorts.values().filter(|x| x.set == *set && gone("cohort", x.name.as_str())).map(|x| Leftover::Cohort(x.name.clone())));
    all
}

fn world<'a>(state: &'a State, manifests: &'a [Manifest], removed: &[Leftover]) -> World<'a> {
    let mut world = World {
        environments: state.environments.values().filter(|e| !removed.contains(&Leftover::Environment(e.name.clone()))).map(|e| (e.name.as_str(), &e.spec)).collect(),
        services: state.services.values().filter(|s| !removed.contains(&Leftover::Service(s.name.clone()))).map(|s| (s.name.as_str(), &s.spec)).collect(),
        policies: state.policies.keys().filter(|n| !removed.contains(&Leftover::Policy((*n).clone()))).map(Name::as_str).collect(),
        cohorts: state.cohorts.keys().filter(|n| !removed.contains(&Leftover::Cohort((*n).clone()))).map(Name::as_str).collect(),
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
            Manifest::Cohort { name, .. } => {
                world.cohorts.insert(name.as_str());
            }
            Manifest::Feature { .. } => {}
        }
    }
    world
}

fn duplicates(manifests: &[Manifest]) -> Vec<Reason> {
    let mut seen = BTreeSet::new();
    let twice = manifests.iter().map(Manifest::subject).filter(|s| !seen.insert(s.clone()));
    twice.map(|s| Reason::new(ReasonCode::AlreadyExists, &s, format!("`{s}` is defined twice in this set")).remedy("keep one of them").path("metadata.name")).collect()
}

/// What another set owns is not taken over silently.
fn foreign(state: &State, set: &Name, manifests: &[Manifest], reasons: &mut Vec<Reason>) {
    for manifest in manifests {
        let owner = match manifest {
            Manifest::Environment { name, .. } => state.environments.get(name).map(|x| &x.set),
            Manifest::Service { name, .. } => state.services.get(name).map(|x| &x.set),
            Manifest::Policy { name, .. } => state.policies.get(name).map(|x| &x.set),
            Manifest::Feature { key, .. } => state.features.get(key).map(|x| &x.set),
            Manifest::Cohort { name, .. } => state.cohorts.get(name).map(|x| &x.set),
        };
        if let Some(owner) = owner.filter(|o| *o != set) {
            let subject = manifest.subject();
            reasons.push(
                Reason::new(ReasonCode::AlreadyExists, &subject, format!("`{subject}` belongs to the set `{owner}`")).remedy(format!("apply it with --set {owner}, or prune it there first")).path("metadata.name"),
            );
        }
    }
}

fn invalid(reasons: &mut Vec<Reason>, subject: String, path: &str, message: impl Into<String>, remedy: impl Into<String>) {
    reasons.push(Reason::new(ReasonCode::Invalid, subject, message).remedy(remedy).path(path));
}

fn unknown(reasons: &mut Vec<Reason>, subject: String, path: String, kind: &str, name: &str) {
    reasons.push(Reason::new(ReasonCode::UnknownReference, subject, format!("there is no {kind} `{name}`")).remedy(format!("define it in this set, or correct the name")).path(path));
}

fn environment(state: &State, world: &World<'_>, name: &Name, spec: &EnvironmentSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("environment/{name}");
    for (i, after) in spec.after.iter().enumerate() {
        if !world.environments.contains_key(after.as_str()) {
            unknown(reasons, subject(), format!("spec.after[{i}]"), "environment", after.as_str());
        }
    }
    for (i, policy) in spec.policies.iter().enumerate() {
        if !world.policies.contains(policy.as_str()) {
            unknown(reasons, subject(), format!("spec.policies[{i}]"), "policy", policy.as_str());
        }
    }
    let mut names = BTreeSet::new();
    for (i, target) in spec.targets.iter().enumerate() {
        let at = format!("spec.targets[{i}]");
        if !names.insert(&target.name) {
            invalid(reasons, subject(), &format!("{at}.name"), format!("two targets are called `{}`", target.name), "rename one");
        }
        if target.address.trim().is_empty() {
            invalid(reasons, subject(), &format!("{at}.address"), "the address is empty", "name the directory that the driver may use");
        }
        for (j, service) in target.services.iter().flatten().enumerate() {
            if !world.services.contains_key(service.as_str()) {
                unknown(reasons, subject(), format!("{at}.services[{j}]"), "service", service.as_str());
            }
        }
        for service in target.endpoints.keys() {
            if !world.services.contains_key(service.as_str()) {
                unknown(reasons, subject(), format!("{at}.endpoints"), "service", service.as_str());
            }
        }
    }
    if cycles(world, name) {
        reasons.push(
            Reason::new(ReasonCode::Cycle, subject(), format!("`{name}` comes after itself through {}", spec.after.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")))
                .remedy("let builds move in one direction only")
                .path("spec.after"),
        );
    }
    // taking a target, or a service from it, away must not pull the floor from under a release
    if let Some(old) = state.environments.get(name) {
        for placement in state.placements_in(name) {
            let kept = spec.targets.iter().any(|t| t.name == placement.key.target && t.hosts(&placement.key.service));
            if !kept && old.target(&placement.key.target).is_some() && placement.observed.as_ref().is_some_and(|o| !o.serving.is_empty()) {
                reasons.extend(link::would_unmet(state, name, &placement.key.service, None).iter().map(|b| link::would_unmet_reason(name, b).path("spec.targets")));
            }
        }
        if old.spec.purpose != spec.purpose && state.placements_in(name).next().is_some() {
            invalid(reasons, subject(), "spec.purpose", "the purpose of an environment in use cannot change", "define another environment");
        }
    }
}

fn cycles(world: &World<'_>, from: &Name) -> bool {
    let mut todo: Vec<&str> = world.environments.get(from.as_str()).into_iter().flat_map(|s| s.after.iter().map(Name::as_str)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if name == from.as_str() {
            return true;
        }
        if seen.insert(name) {
            todo.extend(world.environments.get(name).into_iter().flat_map(|s| s.after.iter().map(Name::as_str)));
        }
    }
    false
}

/// Rules over all environments together: no two targets, and no two endpoints, share an address.
fn whole(world: &World<'_>, reasons: &mut Vec<Reason>) {
    let mut addresses: BTreeMap<String, String> = BTreeMap::new();
    let mut endpoints: BTreeMap<std::net::SocketAddr, String> = BTreeMap::new();
    for (environment, spec) in &world.environments {
        for (i, target) in spec.targets.iter().enumerate() {
            let here = format!("{environment}/{}", target.name);
            let address = format!("{} {}", target.driver, target.address.trim_end_matches('/'));
            if let Some(other) = addresses.insert(address, here.clone()) {
                reasons.push(
                    Reason::new(ReasonCode::AddressTaken, format!("environment/{environment}"), format!("target `{here}` has the same address as `{other}`: {}", target.address))
                        .remedy("give each target its own address")
                        .path(format!("spec.targets[{i}].address")),
                );
            }
            for (service, endpoint) in &target.endpoints {
                if let Some(other) = endpoints.insert(*endpoint, format!("{here}/{service}")) {
                    reasons.push(
                        Reason::new(ReasonCode::AddressTaken, format!("environment/{environment}"), format!("endpoint {endpoint} of `{here}/{service}` is also the endpoint of `{other}`"))
                            .remedy("give each endpoint its own port")
                            .path(format!("spec.targets[{i}].endpoints.{service}")),
                    );
                }
            }
        }
    }
}

fn service(name: &Name, spec: &ServiceSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("service/{name}");
    if spec.components.is_empty() {
        invalid(reasons, subject(), "spec.components", "a service has at least one component", "name its parts");
    }
    let mut names = BTreeSet::new();
    for (i, component) in spec.components.iter().enumerate() {
        if !names.insert(component) {
            invalid(reasons, subject(), &format!("spec.components[{i}]"), format!("component `{component}` is named twice"), "keep one");
        }
    }
    let mut checks = BTreeSet::new();
    for (i, check) in spec.checks.iter().enumerate() {
        if !checks.insert(&check.name) {
            invalid(reasons, subject(), &format!("spec.checks[{i}].name"), format!("two checks are called `{}`", check.name), "rename one");
        }
    }
    if spec.recipes.process.as_ref().is_some_and(|r| r.run.is_empty()) {
        invalid(reasons, subject(), "spec.recipes.process.run", "there is nothing to run", "give the program and its arguments");
    }
}

fn feature(state: &State, world: &World<'_>, key: &FeatureKey, spec: &FeatureSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("feature/{key}");
    if !spec.variants.contains_key(&spec.off) {
        invalid(reasons, subject(), "spec.off", format!("`off` names the variant `{}`, which is not among the variants", spec.off), "add it to `variants`");
    }
    for (variant, value) in &spec.variants {
        if !spec.r#type.admits(value) {
            invalid(reasons, subject(), &format!("spec.variants.{variant}"), format!("variant `{variant}` is not of type {}", spec.r#type), "give a value of that type (numbers within ±(2^53−1))");
        }
    }
    for (environment, variant) in &spec.defaults {
        let at = format!("spec.defaults.{environment}");
        match world.environments.get(environment.as_str()) {
            None => unknown(reasons, subject(), at.clone(), "environment", environment.as_str()),
            Some(e) if e.purpose == Purpose::Production => {
                invalid(reasons, subject(), &at, format!("`{environment}` is production, whose exposure no manifest may hold"), "plan a release instead");
            }
            Some(_) => {}
        }
        if !spec.variants.contains_key(variant) {
            unknown(reasons, subject(), at, "variant", variant.as_str());
        }
    }
    if let Some(old) = state.features.get(key) {
        if old.spec.r#type != spec.r#type {
            readers(state, key, "its type cannot change", "spec.type", reasons);
        }
        for variant in old.spec.variants.keys().filter(|v| !spec.variants.contains_key(*v)) {
            readers(state, key, &format!("variant `{variant}` cannot be removed"), "spec.variants", reasons);
            for release in state.releases.values().filter(|r| r.spec.features.iter().any(|f| f.key == *key && f.variant == *variant) && r.environments.values().any(|i| i.course.kind().started())) {
                reasons.push(Reason::new(ReasonCode::StillReferenced, format!("release/{}", release.name), format!("release `{}` serves variant `{variant}` of `{key}`", release.name)).remedy("withdraw it first").path("spec.variants"));
            }
        }
    }
}

/// Live builds that read `key`: the reason why it cannot change under them.
fn readers(state: &State, key: &FeatureKey, what: &str, path: &str, reasons: &mut Vec<Reason>) {
    let mut said = BTreeSet::new();
    for placement in state.placements.values() {
        for digest in placement.observed.iter().flat_map(|o| o.serving.keys()) {
            let Some(build) = state.builds.get(digest).filter(|b| b.spec.reads.contains_key(key)) else { continue };
            let place = format!("{} in {}", build.spec.label(), placement.key.environment);
            if said.insert(place.clone()) {
                reasons.push(
                    Reason::new(ReasonCode::ReadByLiveBuild, format!("feature/{key}"), format!("{what}: {place} reads `{key}`"))
                        .remedy("retire the builds that read it, or define a feature with another key")
                        .path(path),
                );
            }
        }
    }
}

fn cohort(name: &Name, spec: &CohortSpec, reasons: &mut Vec<Reason>) {
    if spec.any_of.is_empty() && spec.users.is_empty() {
        invalid(reasons, format!("cohort/{name}"), "spec", "the cohort is empty", "give `any_of` clauses or `users`");
    }
    if spec.any_of.iter().any(Vec::is_empty) {
        invalid(reasons, format!("cohort/{name}"), "spec.any_of", "a group without clauses would be everyone", "give at least one clause");
    }
}

fn removable(state: &State, world: &World<'_>, leftover: &Leftover, reasons: &mut Vec<Reason>) {
    let mut referenced = |subject: String, by: String| {
        reasons.push(Reason::new(ReasonCode::StillReferenced, &subject, format!("`{subject}` is still used by {by}")).remedy("remove or change that first"));
    };
    match leftover {
        Leftover::Environment(name) => {
            if let Some(p) = state.placements_in(name).find(|p| p.observed.as_ref().is_some_and(|o| !o.serving.is_empty())) {
                referenced(format!("environment/{name}"), format!("`{}`, which runs there", p.key.service));
            }
            for (other, spec) in &world.environments {
                if spec.after.contains(name) {
                    referenced(format!("environment/{name}"), format!("environment `{other}` (after)"));
                }
            }
        }
        Leftover::Service(name) => {
            if let Some(p) = state.placements.values().find(|p| p.key.service == *name && p.observed.as_ref().is_some_and(|o| !o.serving.is_empty())) {
                referenced(format!("service/{name}"), format!("`{}`, where it runs", p.key.environment));
            }
            for release in state.releases_needing(name) {
                referenced(format!("service/{name}"), format!("release `{release}`"));
            }
        }
        Leftover::Policy(name) => {
            for (environment, spec) in &world.environments {
                if spec.policies.contains(name) {
                    referenced(format!("policy/{name}"), format!("environment `{environment}`"));
                }
            }
        }
        Leftover::Feature(key) => {
            readers(state, key, "it cannot be removed", "metadata.name", reasons);
            for release in state.releases.values().filter(|r| r.spec.features.iter().any(|f| f.key == *key) && r.environments.values().any(|i| i.course.kind() != crate::release::release::CourseKind::Cancelled)) {
                reasons.push(Reason::new(ReasonCode::StillReferenced, format!("feature/{key}"), format!("release `{}` contains `{key}`", release.name)).remedy("cancel or withdraw it first"));
            }
        }
        Leftover::Cohort(name) => {
            for release in state.releases.values().filter(|r| r.spec.stages.iter().any(|s| s.cohort.as_ref() == Some(name))) {
                referenced(format!("cohort/{name}"), format!("release `{}`", release.name));
            }
        }
    }
}
