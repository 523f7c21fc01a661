//! Features and environments.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenroom_api::views;
use greenroom_domain::deployment::environment::Environment;
use greenroom_domain::deployment::service::{Service, Versioning};
use greenroom_domain::exposure;
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::release::feature::{Feature, Kill, Withdrawal};
use greenroom_domain::release::release::audience;
use greenroom_domain::sealed::Sealed;
use greenroom_domain::time::At;
use greenroom_exposure::wire::follow::Forced;
use greenroom_exposure::{Capability, Evaluated, Protocol, Snapshot};

use crate::http::Look;

pub fn feature(look: &Look<'_>, forced: &ForcedOff, feature: &Feature) -> views::Feature {
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
            kill: feature.kills.get(environment).map(|k| kill(look, environment, k)),
            serves: claims.chain(entries).chain(rules).collect(),
            forced_off: forced_off(forced, environment, &feature.key),
            protocols: Vec::new(),
        }
    });
    views::Feature { key: feature.key.clone(), title: feature.title.clone(), spec: feature.spec.clone(), environments: environments.collect() }
}

fn kill(look: &Look<'_>, environment: &Name, kill: &Kill) -> views::Kill {
    let text = |sealed: &Sealed| look.engine.directory.text(sealed).unwrap_or_else(|| "(erased)".to_owned());
    views::Kill {
        at: kill.at,
        by: look.engine.directory.who(look.state, kill.by),
        reason: text(&kill.reason),
        silenced: kill.silenced.clone(),
        withdrawal: kill.withdrawal.as_ref().map(|w| withdrawal(look, environment, w)),
    }
}

fn withdrawal(look: &Look<'_>, environment: &Name, of: &Withdrawal) -> views::Withdrawal {
    let state = match (of.effective, of.partial) {
        (Some(_), _) => "effective",
        (None, true) => "partial",
        (None, false) => "withdrawing",
    };
    let Withdrawal { mut in_contact, mut acknowledged, mut laggards, .. } = of.clone();
    if of.effective.is_none() && !of.partial {
        // not reported yet: as it is at this moment
        let said = look.engine.presence.acknowledged(environment.as_str(), of.seq);
        (in_contact, acknowledged, laggards) = (said.in_contact, said.acknowledged, said.laggards);
    }
    views::Withdrawal { state: state.to_owned(), deadline: of.deadline, effective: of.effective, in_contact, acknowledged, laggards }
}

/// With what each protocol makes of it in each environment.
pub fn whole(look: &Look<'_>, of: &Feature) -> views::Feature {
    saved(look, of, |_| true)
}

/// With what each protocol makes of it in some environments. It is compiled for each of them: the writer, which renders
/// the answers of commands, asks only where the command has changed it.
pub fn saved(look: &Look<'_>, of: &Feature, within: impl Fn(&Name) -> bool) -> views::Feature {
    let mut view = feature(look, &forced(look), of);
    for inside in view.environments.iter_mut().filter(|inside| within(&inside.environment)) {
        inside.protocols = capabilities(look, &inside.environment, of)
            .into_iter()
            .map(|c| views::Capability { protocol: c.protocol.to_string(), evaluated: c.evaluated.to_string(), because: c.because })
            .collect();
    }
    view
}

/// By environment, what relays in contact say: asked once for however many features.
pub type ForcedOff = BTreeMap<Name, Vec<Forced>>;

pub fn forced(look: &Look<'_>) -> ForcedOff {
    look.state.environments.keys().map(|environment| (environment.clone(), look.engine.presence.forced(environment.as_str()))).collect()
}

fn forced_off(forced: &ForcedOff, environment: &Name, key: &FeatureKey) -> Vec<views::ForcedOff> {
    let until = |forced: &Forced| At(i64::try_from(forced.until).unwrap_or(0).saturating_mul(1_000_000));
    let here = forced.get(environment).into_iter().flatten().filter(|forced| forced.feature == key.as_str());
    here.map(|forced| views::ForcedOff { relay: forced.relay.clone(), until: until(forced), reason: forced.reason.clone() }).collect()
}

fn capabilities(look: &Look<'_>, environment: &Name, feature: &Feature) -> Vec<Capability> {
    let model = exposure::around(look.state, environment, &feature.key, &|sealed| look.engine.directory.text(sealed));
    greenroom_exposure::capabilities(&Snapshot::compile(&model).0, feature.key.as_str()).unwrap_or_default()
}

/// Where applications that use some protocol will not be able to evaluate these features themselves: said when they are
/// saved, so that nobody finds out in production.
pub fn remote(look: &Look<'_>, features: &[&Arc<Feature>]) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut all: BTreeMap<(FeatureKey, String, String), Vec<&Name>> = BTreeMap::new();
    for feature in features {
        for environment in look.state.environments.keys() {
            // OFREP providers always ask
            let remote = capabilities(look, environment, feature).into_iter().filter(|c| c.evaluated == Evaluated::Remotely && c.protocol != Protocol::Ofrep);
            for capability in remote {
                all.entry((feature.key.clone(), capability.protocol.to_string(), capability.because.join("; "))).or_default().push(environment);
            }
        }
    }
    let more = all.len().saturating_sub(SHOWN);
    let lines = all.into_iter().take(SHOWN).map(|((key, protocol, because), environments)| {
        let places = environments.into_iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        format!("`{key}` cannot be evaluated locally by {protocol} in {places}: {because}")
    });
    lines.chain((more > 0).then(|| format!("and {more} more: greenroom feature show"))).collect()
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
    // by registration, the last one first
    let all = look.state.builds_of.iter().rev().skip_while(|(s, ..)| *s != service.name).take_while(|(s, ..)| *s == service.name);
    let mut builds = all.filter_map(|(_, _, digest)| look.state.builds.get(digest));
    let newest = match service.spec.versioning {
        Versioning::Sequence => builds.next(),
        Versioning::Semver => builds.reduce(|newest, build| if build.reaches_version(&newest.spec.version, Versioning::Semver) { build } else { newest }),
    };
    views::Service {
        name: service.name.clone(),
        title: service.title.clone(),
        components: service.spec.components.clone(),
        newest: newest.map(|b| b.spec.version.clone()),
        builds: service.registered,
    }
}
