//! What a feature needs of others. SDKs look one step far, so what can be said in one step is brought there.

use super::{Asked, Level, Offer, Wire};
use crate::model::{Feature, Outcome, Prerequisite};
use crate::program::Gate;
use crate::wire::unleash::{Dependency, Toggle, is_on, named};

/// Features that one may need, over all steps.
const MAX_STEPS: usize = 16;

/// What it takes for a feature to answer one of some variants.
enum Holds {
    Always,
    Never,
    If(Vec<Dependency>),
}

/// Adds the dependencies of the feature of this key, or says why it has none that SDKs would follow.
pub(super) fn depend(wire: &Wire<'_>, key: &str, offer: &mut Offer) {
    let Some((_, feature)) = wire.asked(key).filter(|(program, _)| matches!(program.gate, Gate::Open)) else { return };
    let mut steps = 0;
    match all(wire, &feature.prerequisites, &mut steps) {
        Ok(Holds::Always) => {}
        Ok(Holds::Never) => {
            let name = std::mem::take(&mut offer.toggle.name);
            offer.toggle = Toggle { name, ..Toggle::default() };
            offer.segments.clear();
        }
        Ok(Holds::If(_)) if !offer.toggle.enabled => {}
        Ok(Holds::If(dependencies)) => {
            let parents = dependencies.iter().filter_map(|parent| wire.asked(&parent.feature));
            offer.least = parents.map(|parent| wire.body(parent).needs()).fold(offer.least, Level::max);
            offer.toggle.dependencies = dependencies;
        }
        Err(because) => offer.because.push(because),
    }
}

fn all(wire: &Wire<'_>, needed: &[Prerequisite], steps: &mut usize) -> Result<Holds, String> {
    let mut dependencies = Vec::new();
    for needed in needed {
        *steps += 1;
        if *steps > MAX_STEPS {
            return Err(format!("it needs more than {MAX_STEPS} features, over all steps"));
        }
        match one(wire, needed, steps)? {
            Holds::Always => {}
            Holds::Never => return Ok(Holds::Never),
            Holds::If(more) => more.into_iter().for_each(|dependency| {
                if !dependencies.contains(&dependency) {
                    dependencies.push(dependency);
                }
            }),
        }
    }
    Ok(if dependencies.is_empty() { Holds::Always } else { Holds::If(dependencies) })
}

fn one(wire: &Wire<'_>, needed: &Prerequisite, steps: &mut usize) -> Result<Holds, String> {
    let key = needed.feature.as_str();
    let constant = |holds| if holds { Holds::Always } else { Holds::Never };
    let wanted = |variant: &str| needed.variants.iter().any(|name| name == variant);
    let Some((program, feature)) = wire.asked(key).filter(|(program, _)| !matches!(program.gate, Gate::Unusable(_))) else {
        return Ok(Holds::Never);
    };
    let off = wanted(&feature.off);
    if !matches!(program.gate, Gate::Open) {
        return Ok(constant(off));
    }
    let above = all(wire, &feature.prerequisites, steps)?;
    match (above, alone(feature)) {
        (Holds::Never, _) => Ok(constant(off)),
        (Holds::Always, Some(variant)) => Ok(constant(wanted(variant))),
        (Holds::If(_), Some(variant)) if wanted(variant) == off => Ok(constant(off)),
        (Holds::If(above), Some(_)) if !off => Ok(Holds::If(above)),
        (Holds::If(_), _) => Err(format!("it needs `{key}`, which needs others itself: no SDK of Unleash follows that")),
        (Holds::Always, None) => {
            if !wire.body((program, feature)).because.is_empty() {
                return Err(format!("it needs `{key}`, which cannot be evaluated locally"));
            }
            asked((program, feature), needed)
        }
    }
}

/// The variant that all get who are not kept off by what the feature needs, if that is one.
fn alone(feature: &Feature) -> Option<&str> {
    match feature.claims.iter().chain(&feature.baseline).next() {
        None => Some(&feature.default),
        Some(rule) if !rule.when.is_empty() => None,
        Some(rule) => match &rule.then {
            Outcome::Variant(_) if rule.blocked.is_some() => Some(&feature.off),
            Outcome::Variant(name) => Some(name),
            // who has no bucket goes on to the next rule
            Outcome::Split(_) => None,
        },
    }
}

/// The parent is handed out, and an SDK can ask whether it is on, and for the name of its variant.
fn asked((program, feature): Asked<'_>, needed: &Prerequisite) -> Result<Holds, String> {
    let (mut inside, mut outside) = (Seen::default(), Seen::default());
    for name in program.names() {
        let seen = if needed.variants.iter().any(|other| other == name) { &mut inside } else { &mut outside };
        let Some(value) = program.variant(name) else { continue };
        if is_on(&feature.off, name, value) {
            seen.names.push(named(feature.r#type, name, value).map(|(name, _)| name));
        } else {
            seen.off = true;
        }
    }
    let dependency = |enabled, variants| Holds::If(vec![Dependency { feature: needed.feature.clone(), enabled: Some(enabled), variants }]);
    let unclear = || Err(format!("SDKs cannot tell the variants of `{}` that it needs from the others", needed.feature));
    match (inside.off, outside.off) {
        (true, _) if outside.names.is_empty() && !outside.off => Ok(Holds::Always),
        (_, _) if inside.names.is_empty() && !inside.off => Ok(Holds::Never),
        (true, true) => unclear(),
        (true, false) if inside.names.is_empty() => Ok(dependency(false, Vec::new())),
        (true, false) => unclear(),
        (false, _) if outside.names.is_empty() => Ok(dependency(true, Vec::new())),
        (false, _) if inside.names.iter().any(|name| name.is_none() || outside.names.contains(name)) => unclear(),
        (false, _) => Ok(dependency(true, inside.names.into_iter().flatten().collect())),
    }
}

/// What SDKs are told of some variants of a feature.
#[derive(Default)]
struct Seen {
    off: bool,
    /// `None` where they are told that it is on, and no more.
    names: Vec<Option<String>>,
}
