//! Environments, services, features, and what callers say of themselves.

use greenroom_access::Action;
use greenroom_api::{Problem, requests, views};
use greenroom_domain::command::Command;
use greenroom_domain::exposure;
use greenroom_domain::id::{AttributeName, FeatureKey, Name};
use greenroom_domain::state::Recorded;
use serde_json::Value;

use super::{NoQuery, Paging, environment, missing, page};
use crate::http::Look;
use crate::http::routes::{Ask, Asked, Params, Routes};
use crate::view::attributes as callers;
use crate::view::feature as view;

pub fn routes(routes: Routes) -> Routes {
    routes
        .read("/environments", Action::EnvironmentsRead, "Environments and their targets", environments)
        .survey("/environments/{name}/exposure", Action::FeaturesRead, "Everything an environment answers from, as canonical snapshot", exposure_of)
        .read("/services", Action::EnvironmentsRead, "Services", services)
        .survey("/features", Action::FeaturesRead, "Features and how they stand in each environment", features)
        .read("/features/{key}", Action::FeaturesRead, "One feature", feature)
        .read("/attributes", Action::FeaturesRead, "Declared attributes of callers, and who reads them", attributes)
        .read("/attributes/{name}", Action::FeaturesRead, "One declared attribute", attribute)
        .command("POST", "/features/{key}/kill", "feature.kill", "Take a feature from everyone in an environment, at once", kill)
        .command("POST", "/features/{key}/restore", "feature.restore", "Lift a kill", restore)
        .command(
            "PUT",
            "/features/{key}/baseline",
            "feature.baseline",
            "Set what is served where no release serves, outside production: rules, and the variant for everyone else",
            baseline,
        )
}

fn environments(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Environment>, Problem> {
    let look = asked.look;
    page(crate::view::board::in_order(&look).into_iter().map(|e| view::environment(&look, e)), &paging, |e| e.name.to_string())
}

fn exposure_of(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<Value, Problem> {
    let name: Name = params.get("name")?;
    environment(asked.look.state, &name)?;
    // explicit user lists are personal: they stay sealed here
    let model = exposure::compile(asked.look.state, &name, &|_| None);
    serde_json::to_value(model).map_err(|e| Problem::new(greenroom_api::problem::Code::Internal, e.to_string()))
}

fn services(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Service>, Problem> {
    let look = asked.look;
    page(look.state.services.values().map(|s| view::service(&look, s)), &paging, |s| s.name.to_string())
}

fn features(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Feature>, Problem> {
    let look = asked.look;
    let forced = view::forced(&look);
    page(look.state.features.values().map(|f| view::feature(&look, &forced, f)), &paging, |f| f.key.to_string())
}

fn feature(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<views::Feature, Problem> {
    let key: FeatureKey = params.get("key")?;
    asked.look.state.features.get(&key).map(|f| view::whole(&asked.look, f)).ok_or_else(|| missing("feature", key))
}

fn attributes(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Attribute>, Problem> {
    let state = asked.look.state;
    let readers = callers::readers(state);
    page(state.attributes.values().map(|a| callers::attribute(&readers, a)), &paging, |a| a.name.to_string())
}

fn attribute(asked: &Asked<'_>, params: &Params, _: NoQuery) -> Result<views::Attribute, Problem> {
    let name: AttributeName = params.get("name")?;
    let state = asked.look.state;
    state
        .attributes
        .get(&name)
        .map(|a| callers::attribute(&callers::readers(state), a))
        .ok_or_else(|| missing("attribute", name).detail("see what there is: greenroom attribute list"))
}

/// The feature after a command. `ruled`: the environment that has other rules now, of which protocols may make something else.
fn shown(key: FeatureKey, ruled: Option<Name>) -> impl FnOnce(&Look<'_>, &[Recorded]) -> Result<views::Feature, Problem> + Send + 'static {
    move |look, _| look.state.features.get(&key).map(|f| view::saved(look, f, |environment| ruled.as_ref() == Some(environment))).ok_or_else(|| missing("feature", key))
}

fn kill(asked: &Asked<'_>, params: &Params, request: requests::KillFeature) -> Result<Ask<views::Feature>, Problem> {
    let key: FeatureKey = params.get("key")?;
    let resource = environment(asked.look.state, &request.environment)?;
    let command = Command::KillFeature { feature: key.clone(), environment: request.environment.clone(), reason: request.reason.clone() };
    let answer = move |look: &Look<'_>, events: &[Recorded]| {
        let mut feature = shown(key, None)(look, events)?;
        let killed = feature.environments.iter_mut().filter(|inside| !events.is_empty() && inside.environment == request.environment);
        // the reason is sealed with this very command
        killed.filter_map(|inside| inside.kill.as_mut()).for_each(|kill| kill.reason.clone_from(&request.reason));
        Ok(feature)
    };
    Ok(Ask::new(Action::FeatureKill, resource, command, answer))
}

fn restore(asked: &Asked<'_>, params: &Params, request: requests::RestoreFeature) -> Result<Ask<views::Feature>, Problem> {
    let key: FeatureKey = params.get("key")?;
    let resource = environment(asked.look.state, &request.environment)?;
    Ok(Ask::new(Action::FeatureRestore, resource, Command::RestoreFeature { feature: key.clone(), environment: request.environment }, shown(key, None)))
}

fn baseline(asked: &Asked<'_>, params: &Params, request: requests::SetBaseline) -> Result<Ask<views::Feature>, Problem> {
    let key: FeatureKey = params.get("key")?;
    let resource = environment(asked.look.state, &request.environment)?;
    let ruled = request.rules.is_some().then(|| request.environment.clone());
    let command = Command::SetBaseline { feature: key.clone(), environment: request.environment, rules: request.rules, variant: request.variant };
    Ok(Ask::new(Action::FeatureBaseline, resource, command, shown(key, ruled)))
}
