//! What is wrong with a set of manifests: every reason, each with its place and what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use greenroom_exposure::model::{self, AttributeType};
use greenroom_exposure::{Model, Snapshot};

use super::{World, prerequisites};
use crate::command::Manifest;
use crate::deployment::check::CheckRun;
use crate::deployment::environment::{DriverKind, EnvironmentSpec, Purpose};
use crate::deployment::placeholder;
use crate::deployment::policy::{PolicySpec, Rule};
use crate::deployment::service::ServiceSpec;
use crate::id::{FeatureKey, Name, PlacementKey, VariantName};
use crate::link;
use crate::refusal::{Reason, ReasonCode, argument};
use crate::release::cohort::CohortSpec;
use crate::release::feature::{Feature, FeatureSpec};
use crate::release::release::{CourseKind, Release};
use crate::state::State;
use crate::time::{Share, Span};

pub(super) fn duplicates(manifests: &[Manifest]) -> Vec<Reason> {
    let mut seen = BTreeSet::new();
    let twice = manifests.iter().map(Manifest::subject).filter(|s| !seen.insert(s.clone()));
    twice.map(|s| Reason::new(ReasonCode::AlreadyExists, &s, format!("`{s}` is defined twice in this set")).remedy("keep one of them").path("metadata.name")).collect()
}

/// What another set owns is not taken over silently.
pub(super) fn foreign(state: &State, set: &Name, manifests: &[Manifest], reasons: &mut Vec<Reason>) {
    for manifest in manifests {
        let owner = match manifest {
            Manifest::Environment { name, .. } => state.environments.get(name).map(|x| &x.set),
            Manifest::Service { name, .. } => state.services.get(name).map(|x| &x.set),
            Manifest::Policy { name, .. } => state.policies.get(name).map(|x| &x.set),
            Manifest::Feature { key, .. } => state.features.get(key).map(|x| &x.set),
            Manifest::Cohort { name, .. } => state.cohorts.get(name).map(|x| &x.set),
            Manifest::Attribute { name, .. } => state.attributes.get(name).map(|x| &x.set),
        };
        if let Some(owner) = owner.filter(|o| *o != set) {
            let subject = manifest.subject();
            reasons.push(
                Reason::new(ReasonCode::AlreadyExists, &subject, format!("`{subject}` belongs to the set `{owner}`"))
                    .remedy(format!("apply it with --set {owner}, or prune it there first"))
                    .path("metadata.name"),
            );
        }
    }
}

pub(super) fn invalid(reasons: &mut Vec<Reason>, subject: String, path: &str, message: impl Into<String>, remedy: impl Into<String>) {
    reasons.push(Reason::new(ReasonCode::Invalid, subject, message).remedy(remedy).path(path));
}

pub(super) fn unknown(reasons: &mut Vec<Reason>, subject: String, path: String, kind: &str, name: &str) {
    reasons.push(Reason::new(ReasonCode::UnknownReference, subject, format!("there is no {kind} `{name}`")).remedy("define it in this set, or correct the name").path(path));
}

pub(super) fn environment(state: &State, world: &World<'_>, name: &Name, spec: &EnvironmentSpec, reasons: &mut Vec<Reason>) {
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
        if target.driver == DriverKind::Process && plain(&target.address).split('/').next() == Some("..") {
            let remedy = "give an absolute path, or one below the data directory";
            invalid(reasons, subject(), &format!("{at}.address"), format!("`{}` leads out of the data directory", target.address), remedy);
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
    if let Some(old) = state.environments.get(name) {
        taken_away(state, name, spec, reasons);
        if old.spec.purpose != spec.purpose && in_use(state, name) {
            invalid(reasons, subject(), "spec.purpose", "the purpose of an environment in use cannot change", "define another environment");
        }
    }
}

/// Whether something runs in the environment, is served there, or is to be released there: what it is for is part of that.
fn in_use(state: &State, name: &Name) -> bool {
    let names = |r: &Release| r.environments.get(name).is_some_and(|i| !matches!(i.course.kind(), CourseKind::Cancelled | CourseKind::Withdrawn));
    state.placements_in(name).next().is_some() || state.features.values().any(|f| f.baselines.contains_key(name)) || state.releases.values().any(|r| names(r))
}

/// Taking a target, or a service from it, away must not pull the floor from under a release, nor happen under a rollout.
fn taken_away(state: &State, name: &Name, spec: &EnvironmentSpec, reasons: &mut Vec<Reason>) {
    let kept = |key: &PlacementKey| spec.targets.iter().any(|t| t.name == key.target && t.hosts(&key.service));
    let mut said = BTreeSet::new();
    for placement in state.placements_in(name).filter(|p| !kept(&p.key)) {
        let (service, target) = (&placement.key.service, &placement.key.target);
        if placement.active.is_some() {
            reasons.push(
                Reason::new(ReasonCode::Busy, format!("environment/{name}"), format!("a rollout of `{service}` is under way on `{target}`"))
                    .remedy("wait until it is over, or cancel it")
                    .path("spec.targets"),
            );
        }
        let serves = placement.observed.as_ref().is_some_and(|o| !o.serving.is_empty());
        let last = !state.placements_of(name, service).any(|p| kept(&p.key));
        if serves && last && said.insert(service) {
            let remedy = |b: &link::Bound| format!("greenroom release withdraw {} --env {name}", b.release);
            reasons.extend(link::would_unmet(state, name, service, None).iter().map(|b| link::would_unmet_reason(name, b).remedy(remedy(b)).path("spec.targets")));
        }
    }
}

/// What leads from `from` back to itself by `next`, in order; empty when nothing does.
pub(super) fn cycle<'a, I: Iterator<Item = &'a str>>(from: &'a str, next: impl Fn(&'a str) -> I) -> Vec<&'a str> {
    let mut todo: Vec<Vec<&str>> = vec![vec![from]];
    let mut seen = BTreeSet::new();
    while let Some(way) = todo.pop() {
        let Some(here) = way.last() else { continue };
        for there in next(here) {
            if there == from {
                return way;
            }
            if seen.insert(there) {
                todo.push(way.iter().copied().chain([there]).collect());
            }
        }
    }
    Vec::new()
}

/// Rules over all environments together: builds move in one direction, and no two targets, and no two endpoints, share an address.
pub(super) fn whole(world: &World<'_>, manifests: &[Manifest], reasons: &mut Vec<Reason>) {
    let mut said: BTreeSet<&str> = BTreeSet::new();
    let after = |environment: &str| world.environments.get(environment).into_iter().flat_map(|s| s.after.iter().map(Name::as_str));
    for environment in world.environments.keys() {
        let way = if said.contains(environment) { Vec::new() } else { cycle(environment, after) };
        if !way.is_empty() {
            let through = way.iter().chain([environment]).map(|e| format!("`{e}`")).collect::<Vec<_>>().join(" after ");
            reasons.push(
                Reason::new(ReasonCode::Cycle, format!("environment/{environment}"), format!("{through}: a cycle"))
                    .remedy("let builds move in one direction only")
                    .path("spec.after"),
            );
        }
        said.extend(way);
    }
    let mut addresses: BTreeMap<String, String> = BTreeMap::new();
    let mut endpoints: BTreeMap<u16, Vec<(IpAddr, String)>> = BTreeMap::new();
    // what is there already has its address: what comes now takes it
    let comes = |environment: &str| manifests.iter().any(|m| matches!(m, Manifest::Environment { name, .. } if name.as_str() == environment));
    let (new, old): (Vec<_>, Vec<_>) = world.environments.iter().partition(|(environment, _)| comes(environment));
    for (environment, spec) in old.into_iter().chain(new) {
        for (i, target) in spec.targets.iter().enumerate() {
            let here = format!("{environment}/{}", target.name);
            let address = format!("{} {}", target.driver, plain(&target.address));
            if let Some(other) = addresses.insert(address, here.clone()) {
                reasons.push(
                    Reason::new(ReasonCode::AddressTaken, format!("environment/{environment}"), format!("target `{here}` has the same address as `{other}`: {}", target.address))
                        .remedy("give each target its own address")
                        .path(format!("spec.targets[{i}].address")),
                );
            }
            for (service, endpoint) in &target.endpoints {
                let ip = endpoint.ip().to_canonical();
                let port = endpoints.entry(endpoint.port()).or_default();
                // all addresses of this machine are each of them
                let other = port.iter().find(|(other, _)| *other == ip || other.is_unspecified() || ip.is_unspecified()).map(|(_, who)| who.clone());
                port.push((ip, format!("{here}/{service}")));
                if let Some(other) = other {
                    reasons.push(
                        Reason::new(
                            ReasonCode::AddressTaken,
                            format!("environment/{environment}"),
                            format!("endpoint {endpoint} of `{here}/{service}` is also the endpoint of `{other}`"),
                        )
                        .remedy("give each endpoint its own port")
                        .path(format!("spec.targets[{i}].endpoints.{service}")),
                    );
                }
            }
        }
    }
}

/// A path without the detours by which one place has several names.
fn plain(address: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in address.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{}{}", if address.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

pub(super) fn service(world: &World<'_>, name: &Name, spec: &ServiceSpec, reasons: &mut Vec<Reason>) {
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
        if check.purposes.is_empty() {
            invalid(
                reasons,
                subject(),
                &format!("spec.checks[{i}].purposes"),
                format!("check `{}` would never run", check.name),
                "name the purposes of environments that it runs in",
            );
        }
        if let CheckRun::Http(http) = &check.run
            && !(100..=599).contains(&http.status)
        {
            invalid(reasons, subject(), &format!("spec.checks[{i}].run.http.status"), format!("{} is no status of HTTP", http.status), "give one from 100 to 599");
        }
    }
    if spec.recipes.process.as_ref().is_some_and(|r| r.run.is_empty()) {
        invalid(reasons, subject(), "spec.recipes.process.run", "there is nothing to run", "give the program and its arguments");
    }
    if spec.recipes.process.as_ref().is_some_and(|r| r.ready.times == 0) {
        invalid(reasons, subject(), "spec.recipes.process.ready.times", "ready after no answer at all is not ready", "ask for at least one");
    }
    if spec.recipes.command.as_ref().is_some_and(|r| r.apply.is_empty()) {
        invalid(reasons, subject(), "spec.recipes.command.apply", "there is nothing to run", "give the program and its arguments");
    }
    for (path, text, words) in texts(spec) {
        placeholders(world, name, spec, &path, text, words, reasons);
    }
}

/// Every text of a service that a driver will fill in, with its place and the words it may use there.
fn texts(spec: &ServiceSpec) -> Vec<(String, &str, &'static [&'static str])> {
    let mut all: Vec<(String, &str, &'static [&'static str])> = Vec::new();
    let list = |path: &str, texts: &[String]| (0..texts.len()).map(|i| format!("{path}[{i}]")).collect::<Vec<_>>();
    if let Some(recipe) = &spec.recipes.process {
        all.extend(list("spec.recipes.process.run", &recipe.run).into_iter().zip(&recipe.run).map(|(at, text)| (at, text.as_str(), placeholder::PROCESS)));
        all.extend(recipe.env.iter().map(|(key, text)| (format!("spec.recipes.process.env.{key}"), text.as_str(), placeholder::PROCESS)));
    }
    if let Some(recipe) = &spec.recipes.command {
        let observe = recipe.observe.as_deref().unwrap_or_default();
        all.extend(list("spec.recipes.command.apply", &recipe.apply).into_iter().zip(&recipe.apply).map(|(at, text)| (at, text.as_str(), placeholder::COMMAND)));
        all.extend(list("spec.recipes.command.observe", observe).into_iter().zip(observe).map(|(at, text)| (at, text.as_str(), placeholder::COMMAND)));
    }
    for (i, check) in spec.checks.iter().enumerate() {
        match &check.run {
            CheckRun::Http(http) => all.push((format!("spec.checks[{i}].run.http.path"), &http.path, placeholder::HTTP_CHECK)),
            CheckRun::Command(command) => {
                let path = format!("spec.checks[{i}].run.command.argv");
                all.extend(list(&path, &command.argv).into_iter().zip(&command.argv).map(|(at, text)| (at, text.as_str(), placeholder::COMMAND_CHECK)));
                all.extend(command.junit.iter().map(|text| (format!("spec.checks[{i}].run.command.junit"), text.as_str(), placeholder::COMMAND_CHECK)));
            }
        }
    }
    all
}

fn placeholders(world: &World<'_>, service: &Name, spec: &ServiceSpec, path: &str, text: &str, words: &[&str], reasons: &mut Vec<Reason>) {
    let subject = || format!("service/{service}");
    let Ok(names) = placeholder::names(text) else {
        return invalid(reasons, subject(), path, "a `{` without its `}`", "close it, or write `{{` for a brace");
    };
    for name in names {
        if let Some(other) = name.strip_prefix(placeholder::ENDPOINT) {
            if !world.services.contains_key(other) {
                unknown(reasons, subject(), path.to_owned(), "service", other);
            }
        } else if !spec.components.is_empty() && !words.contains(&name) && !spec.components.iter().any(|c| c.as_str() == name) {
            let known = spec.components.iter().map(Name::as_str).chain(words.iter().copied()).chain(["endpoint:SERVICE"]);
            let known = known.map(|word| format!("`{{{word}}}`")).collect::<Vec<_>>().join(", ");
            let short: String = name.chars().take(60).collect();
            invalid(reasons, subject(), path, format!("`{{{short}}}` is not a placeholder here"), format!("use one of {known}; write `{{{{` for a brace"));
        }
    }
}

pub(super) fn feature(state: &State, world: &World<'_>, key: &FeatureKey, spec: &FeatureSpec, reasons: &mut Vec<Reason>) {
    let subject = || format!("feature/{key}");
    if !spec.variants.contains_key(&spec.off) {
        invalid(reasons, subject(), "spec.off", format!("`off` names the variant `{}`, which is not among the variants", spec.off), "add it to `variants`");
    }
    for (variant, value) in &spec.variants {
        if !spec.r#type.admits(value) {
            invalid(
                reasons,
                subject(),
                &format!("spec.variants.{variant}"),
                format!("variant `{variant}` is not of type {}", spec.r#type),
                "give a value of that type (numbers within ±(2^53−1))",
            );
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
    prerequisites::named(world, key, spec, reasons);
    if let Some(old) = state.features.get(key) {
        let changed = old.spec.r#type != spec.r#type;
        if changed {
            readers(state, key, "its type cannot change", "spec.type", |_| true, reasons);
            serving(state, key, None, "its type cannot change", "spec.type", reasons);
        }
        for variant in old.spec.variants.keys().filter(|v| !spec.variants.contains_key(*v)) {
            let what = format!("variant `{variant}` cannot be removed");
            readers(state, key, &what, "spec.variants", |_| true, reasons);
            serving(state, key, Some(variant), &what, "spec.variants", reasons);
            prerequisites::needed(state, world, key, Some(variant), &what, "spec.variants", reasons);
            standing(world, old, variant, &what, reasons);
        }
        // what users of production get is a release's business, never a manifest's
        let production = |e: &Name| state.is_production(e);
        if old.spec.off != spec.off && spec.variants.contains_key(&old.spec.off) {
            readers(state, key, "its `off` cannot change", "spec.off", production, reasons);
            serving(state, key, None, "its `off` cannot change", "spec.off", reasons);
        }
        if old.spec.prerequisites != spec.prerequisites {
            readers(state, key, "its prerequisites cannot change", "spec.prerequisites", production, reasons);
            serving(state, key, None, "its prerequisites cannot change", "spec.prerequisites", reasons);
        }
        for (variant, value) in old.spec.variants.iter().filter(|_| !changed) {
            if spec.variants.get(variant).is_some_and(|new| new != value) {
                let (what, at) = (format!("the value of variant `{variant}` cannot change"), format!("spec.variants.{variant}"));
                readers(state, key, &what, &at, production, reasons);
                serving(state, key, Some(variant), &what, &at, reasons);
            }
        }
    }
}

/// Releases that serve `variant` of `key`, or any variant, or are to serve it in some environment and over in another: the
/// scope of those cannot change.
fn serving(state: &State, key: &FeatureKey, variant: Option<&VariantName>, what: &str, path: &str, reasons: &mut Vec<Reason>) {
    let any = |r: &Release, is: fn(CourseKind) -> bool| r.environments.values().any(|i| is(i.course.kind()));
    for release in state.releases.values().filter(|r| any(r, CourseKind::started) || (any(r, CourseKind::waits) && !r.waits())) {
        if release.spec.features.iter().any(|f| f.key == *key && variant.is_none_or(|v| f.variant == *v)) {
            reasons.push(
                Reason::new(ReasonCode::StillReferenced, format!("feature/{key}"), format!("{what}: release `{}` serves it", release.name))
                    .remedy(format!("withdraw it first (greenroom release withdraw {}), or define a feature with another key", release.name))
                    .path(path),
            );
        }
    }
}

/// Baselines that serve `variant` and stay as they are: without it, all whom they serve would get `off`.
fn standing(world: &World<'_>, feature: &Feature, variant: &VariantName, what: &str, reasons: &mut Vec<Reason>) {
    let key = &feature.key;
    for (environment, baseline) in feature.baselines.iter().filter(|(environment, _)| !world.serves_anew(key, environment)) {
        let rules = baseline.rules.iter().filter(|rule| rule.names(variant)).map(|rule| (format!("rule `{}` in `{environment}` serves it", rule.name), "--rules FILE"));
        let default = (baseline.default == *variant).then(|| (format!("in `{environment}` it is for everyone whom no rule serves"), "VARIANT"));
        for (by, set) in rules.chain(default) {
            let remedy = format!("set another first: greenroom feature baseline {} {set} --env {environment}", argument(key.as_str()));
            reasons.push(Reason::new(ReasonCode::StillReferenced, format!("feature/{key}"), format!("{what}: {by}")).remedy(remedy).path("spec.variants"));
        }
    }
}

/// Live builds that read `key` where `place` says so: the reason why it cannot change under them.
pub(super) fn readers(state: &State, key: &FeatureKey, what: &str, path: &str, place: impl Fn(&Name) -> bool, reasons: &mut Vec<Reason>) {
    let mut said = BTreeSet::new();
    for placement in state
        .placed
        .iter()
        .filter(|(e, _, _)| place(e))
        .filter_map(|(e, s, t)| state.placements.get(&PlacementKey { environment: e.clone(), target: t.clone(), service: s.clone() }))
    {
        for digest in placement.observed.iter().flat_map(|o| o.serving.keys()) {
            let Some(build) = state.builds.get(digest).filter(|b| b.spec.reads.contains_key(key)) else { continue };
            let place = format!("{} in {}", build.spec.label(), placement.key.environment);
            if said.insert(place.clone()) {
                reasons.push(
                    Reason::new(ReasonCode::ReadByLiveBuild, format!("feature/{key}"), format!("{what}: {place} reads `{key}`"))
                        .remedy("deploy builds there that do not read it, or define a feature with another key")
                        .path(path),
                );
            }
        }
    }
}

pub(super) fn cohort(world: &World<'_>, name: &Name, spec: &CohortSpec, reasons: &mut Vec<Reason>) {
    if spec.any_of.is_empty() && spec.users.is_empty() {
        invalid(reasons, format!("cohort/{name}"), "spec", "the cohort is empty", "give `any_of` clauses or `users`");
    }
    let declared: BTreeMap<String, AttributeType> = world.attributes.iter().map(|(name, r#type)| ((*name).to_owned(), *r#type)).collect();
    for (i, group) in spec.any_of.iter().enumerate() {
        // asked of what will read it: one who misreads a clause would serve it to nobody
        let alone = model::Cohort { version: 1, any_of: vec![group.clone()], internal: false };
        let mut model = Model { attributes: declared.clone(), ..Model::new("check", 0) };
        model.cohorts.insert(name.to_string(), Arc::new(alone));
        if let Some(warning) = Snapshot::compile(&model).1.first() {
            invalid(reasons, format!("cohort/{name}"), &format!("spec.any_of[{i}]"), warning.message.clone(), "correct the clause");
        }
    }
    if spec.any_of.iter().any(Vec::is_empty) {
        invalid(reasons, format!("cohort/{name}"), "spec.any_of", "a group without clauses would be everyone", "give at least one clause");
    }
}

pub(super) fn policy(name: &Name, spec: &PolicySpec, reasons: &mut Vec<Reason>) {
    for (i, rule) in spec.rules.iter().enumerate() {
        match rule {
            Rule::Decision(rule) if rule.quorum == 0 => {
                invalid(reasons, format!("policy/{name}"), &format!("spec.rules[{i}].decision.quorum"), "a quorum of nobody decides nothing", "ask for at least one");
            }
            Rule::Withdrawal(rule) if rule.acknowledged == Share::NONE => {
                let remedy = "name a share, or leave it out: then it is everyone";
                invalid(
                    reasons,
                    format!("policy/{name}"),
                    &format!("spec.rules[{i}].withdrawal.acknowledged"),
                    "a withdrawal that nobody need acknowledge is effective before anyone knows of it",
                    remedy,
                );
            }
            Rule::Withdrawal(rule) if !(Span::secs(1)..=Span::secs(3600)).contains(&rule.deadline) => {
                invalid(
                    reasons,
                    format!("policy/{name}"),
                    &format!("spec.rules[{i}].withdrawal.deadline"),
                    format!("{} is no time to wait for evaluators", rule.deadline),
                    "give between 1s and 1h",
                );
            }
            Rule::Evidence(kinds) if kinds.is_empty() => {
                invalid(reasons, format!("policy/{name}"), &format!("spec.rules[{i}].evidence"), "no kind of check is named", "name at least one, or leave the rule out");
            }
            _ => {}
        }
    }
}

/// Whether nothing of the release is served or to come any more.
pub(super) fn done(release: &Release) -> bool {
    release.environments.values().all(|i| matches!(i.course.kind(), CourseKind::Cancelled | CourseKind::Withdrawn))
}
