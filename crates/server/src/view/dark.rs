//! What is deployed and not released: since when, held by whom, and what waiting costs.

use std::collections::BTreeMap;

use greenroom_api::views::Dark;
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::deployment::service::ReleaseGate;
use greenroom_domain::id::{BuildLabel, FeatureKey, Name};
use greenroom_domain::judge::releases::growth;
use greenroom_domain::link::Seen;
use greenroom_domain::reach::{hidden_since, reaches_users};
use greenroom_domain::refusal::Reason;
use greenroom_domain::release::release::{CourseKind, Release};
use greenroom_domain::time::At;

use super::people::in_words;
use crate::http::Look;

const WEEK: f64 = 7.0 * 86_400.0 * 1e6;

/// Features read by a live production build that no real user is served, and unflagged builds that wait.
pub fn dark(look: &Look<'_>) -> Vec<Dark> {
    let mut all = Vec::new();
    for environment in look.state.environments.values().filter(|e| e.spec.purpose == Purpose::Production) {
        let mut read: BTreeMap<&FeatureKey, (At, Vec<BuildLabel>)> = BTreeMap::new();
        for placement in look.state.placements_in(&environment.name) {
            let Some(build) = placement.observed.as_ref().and_then(|o| o.build()).and_then(|d| look.state.builds.get(d)) else { continue };
            for key in build.spec.reads.keys() {
                let since = placement.reads_since.get(key).copied().unwrap_or(placement.observed_since);
                let entry = read.entry(key).or_insert((since, Vec::new()));
                entry.0 = entry.0.min(since);
                if !entry.1.contains(&build.spec.label()) {
                    entry.1.push(build.spec.label());
                }
            }
        }
        for (key, (since, builds)) in read {
            let Some(feature) = look.state.features.get(key).filter(|f| !reaches_users(look.state, &environment.name, f)) else { continue };
            let since = hidden_since(look.state, &environment.name, feature).map_or(since, |hidden| hidden.max(since));
            let release = newest(look, &environment.name, |r| r.spec.features.iter().any(|f| f.key == feature.key));
            all.push(one(look, "feature", key.to_string(), &environment.name, since, builds, release));
        }
        for service in look.state.services.values().filter(|s| s.spec.release == ReleaseGate::Required) {
            let waiting =
                look.state.waiting.iter().filter_map(|(_, id)| look.state.rollouts.get(id)).find(|r| r.key.environment == environment.name && r.key.service == service.name);
            let Some(build) = waiting.and_then(|r| look.state.builds.get(&r.build)) else { continue };
            let label = build.spec.label();
            let release = newest(look, &environment.name, |r| r.spec.services.contains(&label));
            let since = waiting.map_or(look.now, |r| r.moved_at);
            all.push(one(look, "service", label.to_string(), &environment.name, since, vec![label.clone()], release));
        }
    }
    all
}

fn newest<'a>(look: &Look<'a>, environment: &Name, holds: impl Fn(&Release) -> bool) -> Option<&'a Release> {
    look.state
        .releases
        .values()
        .filter(|r| holds(r) && r.environments.get(environment).is_some_and(|i| i.course.kind() != CourseKind::Cancelled))
        .max_by_key(|r| r.number)
        .map(|r| &**r)
}

fn one(look: &Look<'_>, kind: &str, name: String, environment: &Name, since: At, builds: Vec<BuildLabel>, release: Option<&Release>) -> Dark {
    let weeks = look.now.since(since).0 as f64 / WEEK;
    let seen = Seen(look.engine.seen.load_full());
    let reasons: Vec<Reason> = release.map(|r| growth(look.state, r, environment, look.now, &seen, false)).unwrap_or_default();
    let reasons = in_words(&look.engine.directory, look.state, reasons);
    let mut held_by = Vec::new();
    // without a release nobody holds it: nothing is planned
    if let Some(r) = release {
        let course = r.environments.get(environment).map_or(CourseKind::Draft, |i| i.course.kind());
        let owner = r.spec.owner.clone().unwrap_or_else(|| r.authors.first().map_or_else(|| "nobody".to_owned(), |a| look.engine.directory.who(look.state, *a)));
        if reasons.is_empty() {
            held_by.push(format!("{owner}: release `{}` is {course} and ready", r.name));
        } else {
            held_by.push(format!("{owner}: release `{}` is {course}", r.name));
        }
    }
    let cost = release.and_then(|r| r.spec.cost_of_delay.as_ref()).map(|c| format!("{:.0} {}", c.per_week * weeks, c.currency));
    Dark { kind: kind.to_owned(), name, environment: environment.clone(), since, builds, release: release.map(|r| r.name.clone()), held_by, reasons, weeks, cost }
}
