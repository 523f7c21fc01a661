//! Manifest sets: shown as a plan, applied whole or not at all.

use std::collections::HashSet;

use greenroom_access::{Action, Resource};
use greenroom_api::requests::ApplyManifests;
use greenroom_api::views::{ChangeAction, ManifestChange, ManifestPlan};
use greenroom_api::{Problem, manifest};
use greenroom_domain::command::{Command, Manifest};
use greenroom_domain::deployment::environment::{EnvironmentSpec, Purpose};
use greenroom_domain::event::Event;
use greenroom_domain::id::{Digest, Name, PlacementKey};
use greenroom_domain::state::{Recorded, State};
use serde::Serialize;
use serde_json::Value;

use crate::http::Look;
use crate::http::routes::{Ask, Asked, Params, Routes};
use crate::view::feature as view;

pub fn routes(routes: Routes) -> Routes {
    routes.command("PUT", "/manifests/{set}", "manifests.apply", "Apply a set of manifests, whole or not at all; with ?dry_run=true only show the plan", apply)
}

fn apply(asked: &Asked<'_>, params: &Params, request: ApplyManifests) -> Result<Ask<ManifestPlan>, Problem> {
    let set: Name = params.get("set")?;
    let parsed = manifest::parse(&request.documents).map_err(|problem| *problem)?;
    let manifests: Vec<Manifest> = parsed.iter().map(|p| p.manifest.clone()).collect();
    let before = asked.look.state.clone();
    let command = Command::Apply { set: set.clone(), manifests: manifests.clone(), prune: request.prune };
    // what the domain refuses is shown at its place in the file
    let planned = tokio::task::block_in_place(|| preview(asked, &command)).map_err(|problem| located(problem, &parsed))?;
    let Preview { events: planned, notes } = planned;
    let needs = needs(&before, &manifests, &planned);
    let mut ask = Ask::new(Action::ManifestsApply, Resource::Any, command, move |look, events| {
        let touched: HashSet<String> = events.iter().filter_map(|e| e.event.subjects().into_iter().next()).collect();
        let mut changes: Vec<ManifestChange> = manifests.iter().map(|m| change(&before, m, &touched)).collect();
        changes.extend(events.iter().filter_map(|e| removal(&before, &e.event)));
        let applied = look.engine.state.load().seq >= look.state.seq || !events.is_empty();
        Ok(ManifestPlan { set, changes, applied, notes })
    });
    ask.needs = needs;
    Ok(ask)
}

/// What would come of it.
#[derive(Default)]
struct Preview {
    events: Vec<Recorded>,
    /// Worked out here and not with the answer, which the writer renders.
    notes: Vec<String>,
}

fn preview(asked: &Asked<'_>, command: &Command) -> Result<Preview, Problem> {
    use greenroom_domain::actor::{Actor, Part};
    use greenroom_domain::decide::{Context, Decided, Mint, Stop, decide};
    use greenroom_domain::link::Seen;
    let seen = Seen::default();
    let texts = |sealed: &greenroom_domain::sealed::Sealed| asked.look.engine.directory.text(sealed);
    let context = Context { now: asked.look.now, actor: Actor::System(Part::Host), mint: Mint { seed: [0; 16], secret: [0; 16] }, seen: &seen, texts: &texts };
    match decide(asked.look.state, &context, command) {
        Err(Stop::Refused(refusal)) => Err(refusal.into()),
        Ok(Decided { events, state, .. }) => {
            let changed: Vec<_> = events.iter().filter_map(|e| if let Event::FeatureDefined(defined) = &e.event { state.features.get(&defined.key) } else { None }).collect();
            let mut notes = view::remote(&Look { state: &state, ..asked.look }, &changed);
            notes.extend(left_alone(asked.look.state, &state));
            Ok(Preview { events, notes })
        }
        Err(Stop::Recall(_)) => Ok(Preview::default()),
    }
}

/// What runs where nobody looks any more: taking a target away stops nothing.
fn left_alone(before: &State, after: &State) -> Vec<String> {
    let gone = before.placed.iter().filter(|placed| !after.placed.contains(*placed));
    let placements = gone
        .filter_map(|(environment, service, target)| before.placements.get(&PlacementKey { environment: environment.clone(), target: target.clone(), service: service.clone() }));
    let notes = placements.flat_map(|placement| {
        let PlacementKey { environment, target, service } = &placement.key;
        let what = move |digest: &Digest| before.builds.get(digest).map_or_else(|| format!("{service} ({})", digest.short()), |build| build.spec.label().to_string());
        let serving = placement.observed.iter().flat_map(|seen| seen.serving.keys());
        serving.map(move |digest| format!("`{}` goes on running on `{target}` of `{environment}`, and nobody looks at it any more: stopping it is yours", what(digest)))
    });
    notes.collect()
}

fn located(mut problem: Problem, parsed: &[manifest::Parsed]) -> Problem {
    let mut places = Vec::new();
    let mut excerpts = Vec::new();
    for reason in &problem.reasons {
        if let Some(place) = manifest::locate(parsed, reason) {
            places.push(format!("{}:{}", place.file, place.line));
            excerpts.push(place.excerpt);
        }
    }
    if !places.is_empty() {
        places.dedup();
        problem.detail = places.join(", ");
        problem.excerpt = Some(excerpts.join("\n"));
    }
    problem
}

/// Manifests govern what may be deployed: whoever changes an environment, or a policy it uses, must be allowed to there.
/// What an environment was counts as much as what it becomes, and removing it as much as changing it.
fn needs(state: &State, manifests: &[Manifest], planned: &[Recorded]) -> Vec<(Action, Resource)> {
    let mut needs = vec![(Action::ManifestsApply, Resource::Any)];
    let mut ask = |name: &Name, spec: &EnvironmentSpec| needs.push((Action::ManifestsApply, Resource::Environment { name: name.clone(), purpose: spec.purpose }));
    let ask_for_users_of = |policy: &Name, ask: &mut dyn FnMut(&Name, &EnvironmentSpec)| {
        for environment in state.environments.values().filter(|e| e.spec.policies.contains(policy) && e.spec.purpose == Purpose::Production) {
            ask(&environment.name, &environment.spec);
        }
    };
    for manifest in manifests {
        match manifest {
            Manifest::Environment { name, spec, .. } => {
                let known = state.environments.get(name);
                if known.is_none_or(|e| e.spec != *spec) {
                    ask(name, spec);
                    if let Some(known) = known {
                        ask(name, &known.spec);
                    }
                }
            }
            Manifest::Policy { name, spec, .. } if state.policies.get(name).is_none_or(|p| p.spec != *spec) => ask_for_users_of(name, &mut ask),
            _ => {}
        }
    }
    for recorded in planned {
        match &recorded.event {
            Event::EnvironmentRemoved(e) => {
                if let Some(known) = state.environments.get(&e.name) {
                    ask(&e.name, &known.spec);
                }
            }
            Event::PolicyRemoved(e) => ask_for_users_of(&e.name, &mut ask),
            _ => {}
        }
    }
    needs
}

fn value<T: Serialize>(spec: Option<&T>) -> Option<Value> {
    spec.and_then(|s| serde_json::to_value(s).ok())
}

pub(super) fn change(before: &State, manifest: &Manifest, touched: &HashSet<String>) -> ManifestChange {
    let subject = manifest.subject();
    let (kind, name) = subject.split_once('/').unwrap_or((&subject, ""));
    let (old, new) = match manifest {
        Manifest::Environment { name, spec, .. } => (value(before.environments.get(name).map(|x| &x.spec)), value(Some(spec))),
        Manifest::Service { name, spec, .. } => (value(before.services.get(name).map(|x| &x.spec)), value(Some(spec))),
        Manifest::Policy { name, spec, .. } => (value(before.policies.get(name).map(|x| &x.spec)), value(Some(spec))),
        Manifest::Feature { key, spec, .. } => (value(before.features.get(key).map(|x| &x.spec)), value(Some(spec))),
        Manifest::Attribute { name, spec, .. } => (value(before.attributes.get(name).map(|x| &x.spec)), value(Some(spec))),
        Manifest::Cohort { name, spec, .. } => (value(before.cohorts.get(name).map(|x| &x.spec)), value(Some(spec))),
    };
    let action = match (touched.contains(subject.as_str()), &old) {
        (false, _) => ChangeAction::Unchanged,
        (true, None) => ChangeAction::Create,
        (true, Some(_)) => ChangeAction::Change,
    };
    ManifestChange { kind: kind.to_owned(), name: name.to_owned(), action, before: old, after: new }
}

fn removal(before: &State, event: &Event) -> Option<ManifestChange> {
    let (kind, name, old) = match event {
        Event::EnvironmentRemoved(e) => ("environment", e.name.to_string(), value(before.environments.get(&e.name).map(|x| &x.spec))),
        Event::ServiceRemoved(e) => ("service", e.name.to_string(), value(before.services.get(&e.name).map(|x| &x.spec))),
        Event::PolicyRemoved(e) => ("policy", e.name.to_string(), value(before.policies.get(&e.name).map(|x| &x.spec))),
        Event::FeatureRemoved(e) => ("feature", e.key.to_string(), value(before.features.get(&e.key).map(|x| &x.spec))),
        Event::AttributeRemoved(e) => ("attribute", e.name.to_string(), value(before.attributes.get(&e.name).map(|x| &x.spec))),
        Event::CohortRemoved(e) => ("cohort", e.name.to_string(), value(before.cohorts.get(&e.name).map(|x| &x.spec))),
        _ => return None,
    };
    Some(ManifestChange { kind: kind.to_owned(), name, action: ChangeAction::Remove, before: old, after: None })
}
