//! Strategies as rules.

use std::collections::{BTreeMap, BTreeSet};

use super::constraint::{all, attribute as ours, members, networks};
use super::variants::Values;
use crate::model::{Clause, Cohort, Feature, Op, Outcome, Rule, Scalar, TARGETING_KEY, Test};
use crate::wire::unleash::{Draw, Roll, Stickiness, Strategy, Toggle, Variant, expand};

/// A feature, and what to know of it.
pub(super) struct Translated {
    pub feature: Feature,
    pub notes: Vec<String>,
}

/// To whom a strategy applies.
struct Audience {
    when: Vec<Clause>,
    roll: Option<Roll>,
}

type Cohorts = BTreeMap<i64, Result<Cohort, String>>;

pub(super) fn cohort_name(id: i64) -> String {
    format!("segment-{id}")
}

pub(super) fn feature(toggle: &Toggle, cohorts: &Cohorts, numbers: &BTreeSet<String>) -> Result<Translated, String> {
    let everyone = Strategy { name: "default".to_owned(), ..Strategy::default() };
    let strategies: Vec<&Strategy> = match toggle.strategies.as_slice() {
        [] => vec![&everyone],
        strategies => strategies.iter().filter(|strategy| !strategy.disabled).collect(),
    };
    let plain = strategies.iter().any(|strategy| weight(variants(toggle, strategy)) == 0);
    let values = Values::of(toggle, plain)?;
    let mut notes = Vec::new();
    let mut baseline = Vec::new();
    if toggle.enabled {
        for (at, strategy) in strategies.iter().enumerate() {
            let at = at + 1;
            let told = |because: String| format!("strategy {at}, `{}`: {because}", strategy.name);
            match audience(strategy, cohorts, numbers).map_err(told)? {
                Some(audience) => baseline.extend(rules(toggle, strategy, at, &audience, &values, numbers).map_err(told)?),
                None => notes.push(format!("strategy {at}, `{}`, holds for nobody and was left out", strategy.name)),
            }
        }
    } else {
        notes.push("it is disabled in Unleash: its strategies were left out".to_owned());
    }
    let Values { r#type, values, off, .. } = values;
    let feature = Feature { r#type, variants: values, default: off.clone(), off, killed: None, claims: Vec::new(), baseline, prerequisites: Vec::new(), dark: None };
    Ok(Translated { feature, notes })
}

/// A strategy's own variants come before the feature's.
fn variants<'t>(toggle: &'t Toggle, strategy: &'t Strategy) -> &'t [Variant] {
    if strategy.variants.is_empty() { &toggle.variants } else { &strategy.variants }
}

fn weight(variants: &[Variant]) -> u64 {
    variants.iter().map(|variant| u64::from(variant.weight)).sum()
}

/// `None` if it holds for nobody.
fn audience(strategy: &Strategy, cohorts: &Cohorts, numbers: &BTreeSet<String>) -> Result<Option<Audience>, String> {
    let mut when = Vec::new();
    for id in &strategy.segments {
        match cohorts.get(id) {
            Some(Ok(cohort)) if cohort.any_of.is_empty() => return Ok(None),
            Some(Ok(_)) => when.push(Clause::cohort(cohort_name(*id))),
            Some(Err(because)) => return Err(because.clone()),
            None => return Err(format!("segment {id} is not in the file")),
        }
    }
    let Some(constraints) = all(&strategy.constraints, numbers)? else { return Ok(None) };
    when.extend(constraints);
    let listed = |name: &str| -> Vec<String> {
        let list = strategy.parameter(name).unwrap_or_default();
        list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    };
    let mut among = |attribute: &str, op, values: Vec<Scalar>, ignore_case| {
        let any = !values.is_empty();
        when.push(Clause::Test(Test { attribute: attribute.to_owned(), op, values, ignore_case }));
        any
    };
    let by = |attribute: &str| Stickiness::By(attribute.to_owned());
    let roll = match strategy.name.as_str() {
        "default" => None,
        "userWithId" if among(TARGETING_KEY, Op::In, listed("userIds").into_iter().map(Scalar::from).collect(), false) => None,
        "remoteAddress" if among("remoteAddress", Op::Cidr, networks(listed("IPs").iter().map(String::as_str)), false) => None,
        "applicationHostname" if among("applicationHostname", Op::In, listed("hostNames").into_iter().map(Scalar::from).collect(), true) => None,
        "userWithId" | "remoteAddress" | "applicationHostname" => return Ok(None),
        "flexibleRollout" => Some(roll(strategy, "rollout", Stickiness::read(strategy.parameter("stickiness").as_deref()))?),
        "gradualRolloutUserId" => Some(roll(strategy, "percentage", by(TARGETING_KEY))?),
        "gradualRolloutSessionId" => Some(roll(strategy, "percentage", by("sessionId"))?),
        "gradualRolloutRandom" => Some(roll(strategy, "percentage", Stickiness::Random)?),
        unknown => return Err(format!("the strategy `{unknown}` is not one of Unleash's own")),
    };
    if let Some(Roll { by: Stickiness::By(attribute), .. }) = &roll
        && numbers.contains(attribute)
    {
        return Err(format!("`{attribute}` is compared as a number elsewhere, and callers are divided by text"));
    }
    Ok(match roll {
        Some(roll) if roll.percent == 0 => None,
        // everyone has a user, a session or chance; but who lacks a named attribute is in no share
        Some(roll) if roll.percent == 100 && !matches!(roll.by, Stickiness::By(_)) => Some(Audience { when, roll: None }),
        roll => Some(Audience { when, roll }),
    })
}

/// Buckets are whole percents, so what is beyond the point does not count.
fn roll(strategy: &Strategy, parameter: &str, by: Stickiness) -> Result<Roll, String> {
    let text = strategy.parameter(parameter).ok_or_else(|| format!("there is no `{parameter}`"))?;
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(|| format!("`{parameter}` is `{text}`, not 0 to 100"))?;
    Ok(Roll { group: strategy.parameter("groupId").unwrap_or_default(), percent: percent as u32, by })
}

fn rules(toggle: &Toggle, strategy: &Strategy, at: usize, audience: &Audience, values: &Values, numbers: &BTreeSet<String>) -> Result<Vec<Rule>, String> {
    let variants = variants(toggle, strategy);
    let roll = audience.roll.as_ref();
    let mut rules = Vec::new();
    let mut add = |title: &str, more: &[Clause], choice: Result<&str, &Draw>| {
        for (clauses, then, by) in expand(roll, choice) {
            let by = by.filter(|_| !rules.is_empty()).map_or_else(String::new, |by| format!(" by {by}"));
            let when = audience.when.iter().chain(more).cloned().chain(clauses).collect();
            rules.push(Rule { name: format!("{at} {}{title}{by}", strategy.name), when, then, release: None, blocked: None });
        }
    };
    if weight(variants) == 0 {
        add("", &[], Ok(&values.on));
        return Ok(rules);
    }
    for variant in variants {
        for person in &variant.overrides {
            let attribute = ours(&person.context_name);
            let listed: Vec<Scalar> = person.values.iter().flat_map(|text| members(text, numbers.contains(attribute))).collect();
            if !listed.is_empty() {
                add(&format!(" to {}", variant.name), &[Clause::test(attribute, Op::In, listed)], Ok(&values.name(variant)));
            }
        }
    }
    let weights: Vec<(String, u32)> = variants.iter().filter(|variant| variant.weight > 0).map(|variant| (values.name(variant), variant.weight)).collect();
    if let [(only, _)] = weights.as_slice() {
        add("", &[], Ok(only));
        return Ok(rules);
    }
    let sticky = variants.first().and_then(|variant| variant.stickiness.clone());
    let (group, sticky) = if strategy.variants.is_empty() {
        (toggle.name.clone(), sticky)
    } else {
        (strategy.parameter("groupId").unwrap_or_else(|| toggle.name.clone()), sticky.or_else(|| strategy.parameter("stickiness")))
    };
    let draw = Draw { group, by: Stickiness::read(sticky.as_deref()), weights };
    if let Stickiness::By(attribute) = &draw.by
        && numbers.contains(attribute)
    {
        return Err(format!("`{attribute}` is compared as a number elsewhere, and callers are divided by text"));
    }
    add("", &[], Err(&draw));
    Ok(rules)
}

/// The attributes that a feature's rules read.
pub(super) fn attributes(feature: &Feature) -> impl Iterator<Item = &str> {
    feature.baseline.iter().flat_map(|rule| {
        let split = match &rule.then {
            Outcome::Split(split) => Some(split.attribute.as_str()),
            Outcome::Variant(_) => None,
        };
        rule.when.iter().filter_map(attribute).chain(split)
    })
}

/// The attribute that a clause reads.
pub(super) fn attribute(clause: &Clause) -> Option<&str> {
    match clause {
        Clause::Test(test) | Clause::Not(test) => Some(&test.attribute),
        Clause::Share(share) => Some(&share.attribute),
        Clause::Cohort(_) => None,
    }
}
