//! Releases: contents, needs, readiness and who decided, all computed.

use std::collections::{BTreeMap, BTreeSet};

use greenroom_api::views::{ContentChange, ContentComponent, ContentService, Contents, Coverage, NeedView, PlacementView, Release as View, ReleaseIn};
use greenroom_domain::deployment::build::Build;
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::id::{BuildLabel, Digest, FeatureKey, Name};
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
        decisions: release.decisions.iter().map(|d| people::decision(look, d, &release.scope, &release.authors)).collect(),
        authors: release.authors.iter().map(|a| look.engine.directory.who(look.state, *a)).collect(),
        contents: contents(look, release),
        environments,
    }
}

fn in_environment(look: &Look<'_>, release: &Release, environment: &Name, inside: &InEnvironment) -> ReleaseIn {
    let seen = Seen(look.engine.seen.load_full());
    let needs: Vec<NeedView> =
        link::needs(look.state, release, environment, look.now, &seen).into_iter().map(|(need, status)| need_view(look, environment, &need, &status, &seen)).collect();
    let (missing, notes) = match inside.course.kind() {
        CourseKind::Draft | CourseKind::Planned | CourseKind::Armed | CourseKind::Exposing | CourseKind::Paused => {
            (people::in_words(&look.engine.directory, look.state, growth(look.state, release, environment, look.now, &seen, false)), unread(look, release, environment))
        }
        _ => (Vec::new(), Vec::new()),
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
        headline: headline(&needs, &missing, &notes, inside),
        needs,
        missing,
        notes,
        refused: inside.refused.clone(),
    }
}

/// Features that nothing there reads, where the release does not wait for a build that does: it may start, and show nothing.
fn unread(look: &Look<'_>, release: &Release, environment: &Name) -> Vec<String> {
    let live = |key: &FeatureKey| {
        let serving = look.state.placements_in(environment).filter_map(|p| p.observed.as_ref()).flat_map(|o| o.serving.keys());
        serving.filter_map(|digest| look.state.builds.get(digest)).any(|b| b.spec.reads.contains_key(key))
    };
    let note = |key: &FeatureKey| {
        // the newest of each service that reads it
        let mut readers: BTreeMap<&Name, &Build> = BTreeMap::new();
        for build in look.state.builds_of.iter().filter_map(|(_, _, digest)| look.state.builds.get(digest)).filter(|b| b.spec.reads.contains_key(key)) {
            readers.insert(&build.spec.service, build);
        }
        if release.needs().any(|need| readers.contains_key(&need.service)) {
            return None;
        }
        Some(match readers.values().next() {
            None => format!("no registered build says that it reads `{key}`: register the one that does with --reads {key}, and let the release need it"),
            Some(first) => {
                let known = readers.values().map(|b| b.spec.label().to_string()).collect::<Vec<_>>().join(", ");
                let (service, version) = (&first.spec.service, &first.spec.version);
                format!("nothing that runs in `{environment}` reads `{key}`, and the release needs no build that does; {known} would: add `needs: [\"{service}>={version}\"]`")
            }
        })
    };
    release.spec.features.iter().map(|item| &item.key).filter(|key| !live(key)).filter_map(note).collect()
}

/// *"3 of 4 needs met; legal has not signed"*: readiness in one line.
fn headline(needs: &[NeedView], missing: &[Reason], notes: &[String], inside: &InEnvironment) -> String {
    let met = needs.iter().filter(|n| n.status == "met").count();
    let mut parts = vec![format!("{met} of {} needs met", needs.len())];
    parts.extend(missing.iter().filter(|r| !matches!(r.code, ReasonCode::NeedUnmet | ReasonCode::NeedUnknown)).map(|r| r.message.clone()));
    if missing.is_empty() {
        parts.push(match inside.course.kind() {
            CourseKind::Draft => "a draft: features or stages are missing".to_owned(),
            CourseKind::Planned if !notes.is_empty() => "ready to start, with a warning".to_owned(),
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
        let Some(floor) = look.state.build(&BuildLabel { service: need.service.clone(), version: need.floor.clone() }) else { continue };
        let (before, to) = production.map_or((None, &**floor), |e| around(look, e, floor));
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

/// What production had before the need for `floor` was met, and what meets it: the build that runs there if it reaches the
/// floor, or the floor itself. Where both that runs and that ran before reach it, nothing comes with the release.
fn around<'a>(look: &Look<'a>, environment: &Name, floor: &'a Build) -> (Option<&'a Build>, &'a Build) {
    let service = &floor.spec.service;
    let versioning = look.state.services.get(service).map(|s| s.spec.versioning).unwrap_or_default();
    let (mut before, mut to) = (None, floor);
    for placement in look.state.placements_of(environment, service) {
        let build = |digest: &Digest| look.state.builds.get(digest).map(|b| &**b);
        let Some(runs) = placement.observed.as_ref().and_then(|o| o.build()).and_then(build) else { continue };
        if !runs.reaches(floor, versioning) {
            before = Some(runs);
            continue;
        }
        to = runs;
        let earlier = placement.previous.as_ref().and_then(|p| build(&p.build));
        before = match earlier {
            Some(earlier) if earlier.reaches(floor, versioning) => Some(runs),
            Some(earlier) => Some(earlier),
            None => before,
        };
    }
    (before, to)
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
