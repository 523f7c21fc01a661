//! What users are served: claims, kills and baselines, compiled to the canonical form of the `exposure` crate.
//!
//! Deployment facts are resolved here, before anything is published: what may not be shown compiles to `off`.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom_exposure::model::{self, Blocked, Clause, Model, Op, Outcome, Prerequisite};

use crate::event::Event;
use crate::id::{FeatureKey, Name, VariantName};
use crate::release::cohort::Cohort;
use crate::release::feature::{Audience, Baseline, Feature, FeatureSpec};
use crate::release::plan::Slice;
use crate::release::release::Course;
use crate::sealed::Sealed;
use crate::state::State;

/// What an event changes about an environment's exposure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affected {
    Nothing,
    Features(Vec<FeatureKey>),
    /// Cohorts, declared attributes or the like: everything.
    All,
}

/// Environments whose exposure `event` changes, judged on the state after it.
#[must_use]
pub fn affected(state: &State, event: &Event) -> Vec<(Name, Affected)> {
    let everywhere = |what: Affected| state.environments.keys().map(|e| (e.clone(), what.clone())).collect::<Vec<_>>();
    let release = |name: &Name, environment: &Name| {
        let keys: Vec<FeatureKey> = state.releases.get(name).map(|r| r.spec.features.iter().map(|f| f.key.clone()).collect()).unwrap_or_default();
        if keys.is_empty() { Vec::new() } else { vec![(environment.clone(), Affected::Features(keys))] }
    };
    let at_stage_zero = |name: &Name, environment: &Name| {
        state.releases.get(name).and_then(|r| r.environments.get(environment)).is_some_and(|i| matches!(i.course, Course::Paused { stage: 0, .. }))
    };
    match event {
        Event::EnvironmentDefined(e) => vec![(e.name.clone(), Affected::All)],
        Event::EnvironmentRemoved(e) => vec![(e.name.clone(), Affected::All)],
        Event::FeatureDefined(e) => everywhere(Affected::Features(vec![e.key.clone()])),
        Event::FeatureRemoved(e) => everywhere(Affected::Features(vec![e.key.clone()])),
        Event::CohortDefined(_) | Event::CohortRemoved(_) | Event::AttributeDefined(_) | Event::AttributeRemoved(_) => everywhere(Affected::All),
        Event::ReleasePlanned(e) => e.environments.iter().flat_map(|env| release(&e.name, env)).collect(),
        // features that left the scope change too, so everything is compiled again
        Event::ReleaseScopeChanged(_) => everywhere(Affected::All),
        Event::Archived(e) if !e.releases.is_empty() => everywhere(Affected::All),
        Event::ReleaseArmed(e) => release(&e.name, &e.environment),
        Event::ReleaseRefused(e) => release(&e.name, &e.environment),
        Event::ReleaseStageStarted(e) => release(&e.name, &e.environment),
        Event::ReleasePaused(e) if e.off || at_stage_zero(&e.name, &e.environment) => release(&e.name, &e.environment),
        Event::ReleaseResumed(e) => release(&e.name, &e.environment),
        Event::ReleaseWithdrawing(e) => release(&e.name, &e.environment),
        // nobody's variant, but what they are told
        Event::ReleaseWithdrawn(e) => release(&e.name, &e.environment),
        Event::ReleaseClosed(e) => release(&e.name, &e.environment),
        Event::ReleaseCancelled(e) => release(&e.name, &e.environment),
        Event::BaselineBlocked(e) => release(&e.release, &e.environment),
        Event::BaselineRestored(e) => release(&e.release, &e.environment),
        Event::BaselineSet(e) => vec![(e.environment.clone(), Affected::Features(vec![e.feature.clone()]))],
        Event::FeatureKilled(e) => vec![(e.environment.clone(), Affected::Features(vec![e.feature.clone()]))],
        Event::FeatureRestored(e) => vec![(e.environment.clone(), Affected::Features(vec![e.feature.clone()]))],
        // whom a cohort listed by name, it does not know any more
        Event::Erased(e) if state.cohorts.values().chain(state.earlier_cohorts.values()).any(|c| c.users.as_ref().is_some_and(|list| e.sealed.contains(list))) => {
            everywhere(Affected::All)
        }
        _ => Vec::new(),
    }
}

/// The whole of an environment's exposure. `users` opens a cohort's sealed list.
#[must_use]
pub fn compile(state: &State, environment: &Name, users: &dyn Fn(&Sealed) -> Option<String>) -> Model {
    Model { features: state.features.values().map(|f| (f.key.to_string(), Arc::new(feature(state, environment, f)))).collect(), ..audiences(state, environment, users) }
}

/// The same without its features: whom rules may name, and what they may read of callers.
#[must_use]
pub fn audiences(state: &State, environment: &Name, users: &dyn Fn(&Sealed) -> Option<String>) -> Model {
    Model { cohorts: cohorts(state).map(|(name, c)| (name, Arc::new(cohort(c, users)))).collect(), ..bare(state, environment) }
}

fn bare(state: &State, environment: &Name) -> Model {
    let attributes = state.attributes.values().map(|a| (a.name.to_string(), a.spec.r#type)).collect();
    Model { attributes, ..Model::new(environment.as_str(), state.revision(environment)) }
}

/// By the names that rules have for them.
fn cohorts(state: &State) -> impl Iterator<Item = (String, &Cohort)> {
    let earlier = state.earlier_cohorts.values().map(|c| (earlier(&c.name, c.version), &**c));
    state.cohorts.values().map(|c| (c.name.to_string(), &**c)).chain(earlier)
}

/// As much of an environment's exposure as the answers of one feature rest on: what it needs, and whom its rules name.
#[must_use]
pub fn around(state: &State, environment: &Name, key: &FeatureKey, users: &dyn Fn(&Sealed) -> Option<String>) -> Model {
    let mut model = bare(state, environment);
    let mut wanted = vec![key];
    while let Some(key) = wanted.pop() {
        if let Some(found) = state.features.get(key)
            && !model.features.contains_key(key.as_str())
        {
            model.features.insert(key.to_string(), Arc::new(feature(state, environment, found)));
            wanted.extend(found.spec.prerequisites.keys());
        }
    }
    let clauses = model.features.values().flat_map(|f| f.claims.iter().chain(&f.baseline)).flat_map(|rule| &rule.when);
    let named: BTreeSet<&str> = clauses.filter_map(|clause| if let Clause::Cohort(name) = clause { Some(name.as_str()) } else { None }).collect();
    model.cohorts = cohorts(state).filter(|(name, _)| named.contains(name.as_str())).map(|(name, c)| (name, Arc::new(cohort(c, users)))).collect();
    model
}

/// What an earlier version of a cohort is called; no name holds an `@`.
fn earlier(name: &Name, version: u64) -> String {
    format!("{name}@{version}")
}

fn cohort(cohort: &Cohort, users: &dyn Fn(&Sealed) -> Option<String>) -> model::Cohort {
    let mut any_of = cohort.spec.any_of.clone();
    let listed: Vec<String> = cohort.users.as_ref().and_then(users).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if !listed.is_empty() {
        any_of.push(vec![Clause::test(model::TARGETING_KEY, Op::In, listed)]);
    }
    model::Cohort { version: cohort.version, any_of, internal: cohort.spec.internal }
}

/// One feature in one environment.
#[must_use]
pub fn feature(state: &State, environment: &Name, feature: &Feature) -> model::Feature {
    let production = state.is_production(environment);
    let mut claims: Vec<(u64, &Name, Vec<model::Rule>)> = Vec::new();
    let mut pending: Option<(u8, u64, Blocked)> = None;
    for release in state.releases.values() {
        let Some(item) = release.spec.features.iter().find(|f| f.key == feature.key) else { continue };
        let Some(inside) = release.environments.get(environment) else { continue };
        if let Some(stage) = release.serving_stage(environment).filter(|s| *s > 0) {
            claims.push((inside.started.unwrap_or(u64::MAX), &release.name, slices(state, &release.name, &release.salt, &release.slices(stage), &item.variant)));
        } else if let Some((rank, why)) = why_dark(&inside.course)
            && pending.as_ref().is_none_or(|(best, number, _)| (*best, *number) < (rank, release.number))
        {
            pending = Some((rank, release.number, Blocked { release: Some(release.name.to_string()), blocked_by: why.to_owned() }));
        }
    }
    claims.sort_by_key(|(started, _, _)| *started);
    let baseline = feature.baselines.get(environment);
    // whom no claim reaches is kept out by the newest of them, whatever else is still to come
    let outside = claims.last().map(|(_, release, _)| Blocked { release: Some(release.to_string()), blocked_by: "not-in-audience".to_owned() });
    model::Feature {
        r#type: feature.spec.r#type.wire(),
        variants: feature.spec.variants.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        off: feature.spec.off.to_string(),
        killed: feature.kills.get(environment).map(|kill| {
            let silenced = kill.silenced.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
            Blocked { release: (!silenced.is_empty()).then_some(silenced), blocked_by: "killed".to_owned() }
        }),
        claims: claims.into_iter().flat_map(|(_, _, rules)| rules).collect(),
        baseline: baseline.map(|b| entries(state, b)).unwrap_or_default(),
        default: feature.default_in(environment, production).to_string(),
        prerequisites: prerequisites(&feature.spec),
        dark: outside
            .or_else(|| pending.map(|(_, _, blocked)| blocked))
            .or_else(|| (production && baseline.is_none_or(|b| b.entries.is_empty())).then(|| Blocked { release: None, blocked_by: "not-released".to_owned() })),
    }
}

/// What must hold before a feature is anything but `off`, in the canonical form.
fn prerequisites(spec: &FeatureSpec) -> Vec<Prerequisite> {
    spec.prerequisites.iter().map(|(key, variants)| Prerequisite { feature: key.to_string(), variants: variants.iter().map(VariantName::to_string).collect() }).collect()
}

/// Why a release shows nothing, and how much that says about the feature: what was served and is not any more, or is
/// about to be, comes before what is only planned.
fn why_dark(course: &Course) -> Option<(u8, &'static str)> {
    Some(match course {
        Course::Paused { off: true, .. } => (7, "need-unmet"),
        Course::Paused { off: false, .. } => (6, "paused"),
        Course::Exposing { .. } => (5, "deploying"),
        Course::Withdrawing { .. } => (4, "withdrawing"),
        Course::Armed => (3, "armed"),
        Course::Planned => (2, "not-started"),
        Course::Withdrawn { .. } => (1, "withdrawn"),
        Course::Draft => (0, "not-started"),
        Course::Exposed { .. } | Course::Closed { .. } | Course::Cancelled { .. } => return None,
    })
}

fn slices(state: &State, release: &Name, salt: &str, slices: &[Slice], variant: &VariantName) -> Vec<model::Rule> {
    slices
        .iter()
        .map(|slice| {
            let mut when = Vec::new();
            if let Some(cohort) = &slice.cohort {
                when.push(Clause::cohort(cohort.as_str()));
                // as planned, and still: joining later is growth that nobody decided, leaving is at once
                if let Some(version) = slice.version.filter(|v| state.cohorts.get(cohort).is_some_and(|c| c.version != *v)) {
                    when.push(Clause::cohort(earlier(cohort, version)));
                }
            }
            if slice.share != crate::time::Share::ALL {
                when.push(Clause::share(salt, slice.share.get()));
            }
            let whom = slice.cohort.as_ref().map_or("everyone", Name::as_str);
            model::Rule {
                name: format!("{release}: {} of {whom}", slice.share),
                when,
                then: Outcome::Variant(variant.to_string()),
                release: Some(release.to_string()),
                blocked: None,
            }
        })
        .collect()
}

/// Newest first, then what was set. What was taken off comes last: whoever an earlier release serves too stays with it,
/// as with claims, and everyone else is told why there is nothing.
fn entries(state: &State, baseline: &Baseline) -> Vec<model::Rule> {
    let set = baseline.rules.iter().map(|rule| model::Rule { name: rule.name.clone(), when: rule.when.clone(), then: rule.then.clone(), release: None, blocked: None });
    let (blocked, mut rules): (Vec<_>, Vec<_>) = baseline
        .entries
        .iter()
        .flat_map(|entry| {
            let blocked = entry.off.as_ref().map(|need| format!("need-unmet: {need}"));
            let rules = match &entry.audience {
                Audience::Slices { salt, slices: parts } => {
                    let name = entry.release.clone();
                    let mut rules = name.map(|n| slices(state, &n, salt, parts, &entry.variant)).unwrap_or_default();
                    for rule in &mut rules {
                        rule.name = format!("baseline, from {}", rule.name);
                    }
                    rules
                }
                Audience::When(clauses) => {
                    vec![model::Rule { name: entry.name.clone(), when: clauses.clone(), then: Outcome::Variant(entry.variant.to_string()), release: None, blocked: None }]
                }
            };
            rules.into_iter().map(move |mut rule| {
                rule.blocked.clone_from(&blocked);
                rule
            })
        })
        .chain(set)
        .partition(|rule| rule.blocked.is_some());
    rules.extend(blocked);
    rules
}
