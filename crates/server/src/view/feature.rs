//! Features and environments.

use greenroom_api::views;
use greenroom_domain::deployment::environment::Environment;
use greenroom_domain::deployment::service::Service;
use greenroom_domain::release::feature::Feature;
use greenroom_domain::release::release::audience;

use crate::http::Look;

pub fn feature(look: &Look<'_>, feature: &Feature) -> views::Feature {
    let environments = look.state.environments.keys().map(|environment| {
        let production = look.state.is_production(environment);
        let claims = look.state.releases.values().filter_map(|r| {
            let item = r.spec.features.iter().find(|f| f.key == feature.key)?;
            let stage = r.serving_stage(environment).filter(|s| *s > 0)?;
            Some(format!("release `{}`: {} to {}", r.name, item.variant, audience(&r.slices(stage))))
        });
        let baseline = feature.baselines.get(environment);
        let entries =
            baseline.into_iter().flat_map(|b| &b.entries).map(|e| format!("baseline `{}`: {}{}", e.name, e.variant, if e.off.is_some() { " (off: a need is unmet)" } else { "" }));
        let rules = baseline.into_iter().flat_map(|b| &b.rules).map(|rule| format!("rule {rule}"));
        views::FeatureIn {
            environment: environment.clone(),
            default: feature.default_in(environment, production).clone(),
            killed: feature.kills.contains_key(environment),
            serves: claims.chain(entries).chain(rules).collect(),
        }
    });
    views::Feature { key: feature.key.clone(), title: feature.title.clone(), spec: feature.spec.clone(), environments: environments.collect() }
}

pub fn environment(look: &Look<'_>, environment: &Environment) -> views::Environment {
    let targets = environment.spec.targets.iter().map(|t| views::Target {
        name: t.name.clone(),
        driver: t.driver.to_string(),
        address: t.address.clone(),
        wave: t.wave,
        endpoints: t.endpoints.iter().map(|(s, a)| (s.clone(), a.to_string())).collect(),
    });
    views::Environment {
        name: environment.name.clone(),
        title: environment.title.clone(),
        purpose: environment.spec.purpose,
        after: environment.spec.after.clone(),
        policies: environment.spec.policies.clone(),
        targets: targets.collect(),
        revision: look.state.revision(&environment.name),
    }
}

pub fn service(look: &Look<'_>, service: &Service) -> views::Service {
    let newest = look.state.builds_of.iter().rev().find(|(s, _, _)| *s == service.name).and_then(|(_, _, d)| look.state.builds.get(d));
    views::Service {
        name: service.name.clone(),
        title: service.title.clone(),
        components: service.spec.components.clone(),
        newest: newest.map(|b| b.spec.version.clone()),
        builds: service.registered,
    }
}
