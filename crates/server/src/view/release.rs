//! Releases: contents, needs, readiness and who decided, all computed.

use std::collections::{BTreeMap, BTreeSet};

use greenroom_api::views::{ContentChange, ContentComponent, ContentService, Contents, Coverage, NeedView, PlacementView, Release as View, ReleaseIn};
use greenroom_domain::deployment::build::Build;
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::id::{BuildLabel, Name};
use greenroom_domain::judge::releases::growth;
use greenroom_domain::link::{self, Need, Seen};
use greenroom_domain::refusal::{Reason, ReasonCode};
use greenroom_domain::release::release::{Course, CourseKind, InEnvironment, Release, audience};

use super::people;
use crate::http::Look;

pub fn release(look: &Look<'_>, release: &Release) -> View {
    let environments: Vec<ReleaseIn> = release.environments.iter().map(|(name, inside)| in_environment(look, release, name, inside)).collect();
    let states: BTreeSet<&str> = environments.iter().map(|e| e.state.as_str()).collect();
    let state = match states.iter().collect::<Vec<_>>().as_slice() {
        [one] => (**one).to_owned(),
        _ => environments.iter().map(|e| format!("{} in {}", e.state, e.environment)).collect::<Vec<_>>().join(", "),
    };
    View {
        name: release.name.clone(),
        number: release.number,
        spec: release.spec.clone(),
        state,
        decisions: release.decisions.iter().map(|d| people::decision(look, d, &release.scope)).collect(),
        authors: release.authors.iter().map(|a| look.engine.directory.who(look.state, *a)).collect(),
        contents: contents(look, release),
        environments,
    }
}

fn in_environment(look: &Look<'_>, release: &Release, environment: &Name, inside: &InEnvironment) -> ReleaseIn {
    let seen = Seen(look.engine.seen.load_full());
    let needs: Vec<NeedView> =
        link::needs(look.state, release, environment, look.now, &seen).into_iter().map(|(need, status)| need_view(look, environment, &need, &status, &seen)).collect();
    let missing = match inside.course.kind() {
        CourseKind::Draft | CourseKind::Planned | CourseKind::Armed | CourseKind::Exposing | CourseKind::Paused => growth(look.state, release, environment, look.now, &seen, false),
        _ => Vec::new(),
    };
    let stage = match inside.course {
        Course::Exposing { stage, .. } | Course::Paused { stage, .. } => stage.checked_sub(1).and_then(|i| release.spec.stages.get(i as usize)).map(|s| s.name.clone()),
        _ => None,
    };
    let serves = link::binds(look.state, release, environment).map(|(_, share)| share).or_else(|| release.serving_stage(environment).map(|s| audience(&release.slices(s))));
    ReleaseIn {
        environment: environment.clone(),
        state: inside.course.kind().to_string(),
        stage,
        serves,
        headline: headline(&needs, &missing, inside),
        needs,
        missing,
        refused: inside.refused.clone(),
    }
}

/// *"3 of 4 needs met; legal has not signed"*: readiness in one line.
fn headline(needs: &[NeedView], missing: &[Reason], inside: &InEnvironment) -> String {
    let met = needs.iter().filter(|n| n.status == "met").count();
    let mut parts = vec![format!("{met} of {} needs met", needs.len())];
    parts.extend(missing.iter().filter(|r| !matches!(r.code, ReasonCode::NeedUnmet | ReasonCode::NeedUnknown)).map(|r| r.message.clone()));
    if missing.is_empty() {
        parts.push(match inside.course.kind() {
            CourseKind::Draft => "a draft: features or stages are missing".to_owned(),
            CourseKind::Planned => "ready to start".to_owned(),
            CourseKind::Armed => "armed, starts by itself".to_owned(),
            other => other.to_string(),
        });
    }
    parts.join("; ")
}

fn need_view(look: &Look<'_>, environment: &Name, need: &greenroom_domain::id::Requirement, status: &Need, seen: &Seen) -> NeedView {
    let (status, why) = match status {
        Need::Met { fresh: true } => ("met", None),
        Need::Met { fresh: false } => ("stale", Some("not observed lately".to_owned())),
        Need::Unmet { placement, runs } => ("unmet", Some(format!("`{}` runs {runs}", placement.target))),
        Need::Unknown { why } => ("unknown", Some(why.clone())),
    };
    let by = look.state.placements_of(environment, &need.service).map(|p| PlacementView {
        target: p.key.target.clone(),
        runs: p.observed.as_ref().and_then(|o| o.build()).and_then(|d| look.state.builds.get(d)).map(|b| b.spec.version.clone()),
        observed: seen.0.get(&p.key).copied(),
    });
    NeedView { service: need.service.clone(), floor: need.floor.clone(), status: status.to_owned(), why, by: by.collect() }
}

/// New, changed or unchanged: what production would have with the builds that the release needs, against what it had
/// before any of them came.
fn contents(look: &Look<'_>, release: &Release) -> Contents {
    let production = release.environments.keys().next();
    let mut services = Vec::new();
    let mut changes = Vec::new();
    let mut confirmed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut work_items = BTreeSet::new();
    for need in release.needs() {
        let Some(to) = look.state.build(&BuildLabel { service: need.service.clone(), version: need.floor.clone() }) else { continue };
        let before = production.and_then(|e| runs_before(look, e, to));
        services.push(ContentService {
            service: need.service.clone(),
            change: kind(before.is_none(), before.is_some_and(|b| b.digest != to.digest)).to_owned(),
            from: before.map(|b| b.spec.version.clone()),
            to: to.spec.version.clone(),
            components: components(before, to),
        });
        let from = before.map_or(0, |b| b.sequence);
        let between = look.state.builds_of.iter().filter(|(s, n, _)| *s == need.service && *n > from && *n <= to.sequence).filter_map(|(_, _, d)| look.state.builds.get(d));
        for build in between.filter(|b| b.spec.line == to.spec.line) {
            for change in &build.spec.changes {
                work_items.extend(change.work_items.iter().cloned());
                changes.push(ContentChange {
                    service: need.service.clone(),
                    version: build.spec.version.clone(),
                    commit: change.commit.clone(),
                    summary: change.summary.clone(),
                    work_items: change.work_items.clone(),
                });
            }
        }
        for check in look.state.checks.iter().filter(|(k, _)| k.service == need.service && k.build == to.digest).map(|(_, r)| r) {
            for requirement in &check.requirements {
                let by = confirmed.entry(requirement.clone()).or_default();
                if check.outcome == Outcome::Pass {
                    by.insert(format!("{} in {}", check.name, check.environment));
                }
            }
        }
        if let Some(service) = look.state.services.get(&need.service) {
            for requirement in service.spec.checks.iter().flat_map(|c| &c.requirements) {
                confirmed.entry(requirement.clone()).or_default();
            }
        }
    }
    Contents {
        services,
        changes,
        requirements: confirmed.into_iter().map(|(requirement, by)| Coverage { requirement, confirmed: !by.is_empty(), by: by.into_iter().collect() }).collect(),
        work_items: work_items.into_iter().collect(),
    }
}

/// The build that production had before `to`: what runs there, or what ran before if `to` is there already.
fn runs_before<'a>(look: &Look<'a>, environment: &Name, to: &Build) -> Option<&'a Build> {
    let placements = look.state.placements.values().filter(|p| p.key.environment == *environment && p.key.service == to.spec.service);
    let mut found = None;
    for placement in placements {
        let runs = placement.observed.as_ref().and_then(|o| o.build());
        let digest = if runs == Some(&to.digest) { placement.previous.as_ref().map(|p| &p.build) } else { runs };
        found = digest.and_then(|d| look.state.builds.get(d)).or(found);
    }
    found.map(|b| &**b)
}

const fn kind(new: bool, changed: bool) -> &'static str {
    match (new, changed) {
        (true, _) => "new",
        (false, true) => "changed",
        (false, false) => "unchanged",
    }
}

fn components(before: Option<&Build>, to: &Build) -> Vec<ContentComponent> {
    to.spec
        .artifacts
        .iter()
        .map(|(component, artifact)| {
            let old = before.and_then(|b| b.spec.artifacts.get(component));
            let changed = old.is_some_and(|old| old.digests.is_disjoint(&artifact.digests));
            ContentComponent { component: component.clone(), change: kind(old.is_none(), changed).to_owned() }
        })
        .collect()
}
