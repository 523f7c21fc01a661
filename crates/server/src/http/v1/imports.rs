//! Definitions of other products, taken over into an environment that is not production.

use std::collections::HashSet;

use greenroom_access::{Action, Resource};
use greenroom_api::requests::{Import, Product};
use greenroom_api::{Problem, problem, views};
use greenroom_domain::command::Command;
use greenroom_domain::event::Event;
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::import::{Translated, translate};
use greenroom_exposure::import;

use super::{environment, manifests};
use crate::http::routes::{Ask, Asked, Params, Routes};

pub fn routes(routes: Routes) -> Routes {
    routes.command("POST", "/imports", "manifests.apply", "Take over definitions of another product; with ?dry_run=true only show what would come of it", take_over)
}

fn take_over(asked: &Asked<'_>, _: &Params, request: Import) -> Result<Ask<views::Import>, Problem> {
    let resource = environment(asked.look.state, &request.environment)?;
    // there it is refused to everyone, and told why
    let production = asked.look.state.is_production(&request.environment);
    let unreadable = |error: &dyn std::error::Error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Problem::new(problem::Code::Invalid, format!("{error}{cause}")).detail("in the request, text")
    };
    let (imported, name) = match request.from {
        Product::Unleash => (import::unleash(&request.text).map_err(|error| unreadable(&error))?, "unleash"),
        Product::Flagd => (import::flagd(&request.text).map_err(|error| unreadable(&error))?, "flagd"),
    };
    let set = match request.set {
        Some(set) => set,
        None => Name::new(name).map_err(|error| Problem::new(problem::Code::Internal, error.to_string()))?,
    };
    let Translated { manifests, serves, refused, notes } = translate(imported);
    let command = Command::Import { set: set.clone(), environment: request.environment.clone(), manifests: manifests.clone(), serves: serves.clone() };
    let (before, environment) = (asked.look.state.clone(), request.environment);
    let mut ask = Ask::new(Action::ManifestsApply, Resource::Any, command, move |_, events| {
        let touched: HashSet<String> = events.iter().filter(|e| !matches!(e.event, Event::BaselineSet(_))).filter_map(|e| e.event.subjects().into_iter().next()).collect();
        let served: HashSet<&FeatureKey> = events.iter().filter_map(|e| if let Event::BaselineSet(set) = &e.event { Some(&set.feature) } else { None }).collect();
        Ok(views::Import {
            set,
            environment,
            changes: manifests.iter().map(|m| manifests::change(&before, m, &touched)).collect(),
            serves: serves
                .iter()
                .map(|s| views::Imported { feature: s.feature.clone(), rules: s.rules.len() as u64, default: s.default.clone(), changed: served.contains(&s.feature) })
                .collect(),
            refused: refused.into_iter().map(|r| views::NotImported { feature: r.feature, because: r.because }).collect(),
            notes,
        })
    });
    if !production {
        ask.needs.push((Action::FeatureBaseline, resource));
    }
    Ok(ask)
}
