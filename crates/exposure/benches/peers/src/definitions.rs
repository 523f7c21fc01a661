//! The same features in the words of each engine, and the same callers.

use greenroom_exposure::{Attribute, Pairs};
use serde_json::{Value, json};

/// What a feature asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Nothing,
    /// On for a half, by targeting key.
    Half,
    /// The caller is one of so many.
    In(usize),
    /// One of these plans.
    Plan,
    /// So many rules, each of two cohorts and a list of countries; the last one matches.
    Rules(usize),
    /// The feature before it in a chain is on.
    Needs(&'static str),
}

/// The features that rows are named after; [`mixed`] stand beside them.
pub const CASES: &[(&str, &str, Asks)] = &[
    ("plain", "plain", Asks::Nothing),
    ("50 % split", "half", Asks::Half),
    ("IN 50", "in-50", Asks::In(50)),
    ("IN 10,000", "in-10000", Asks::In(10_000)),
    ("five rules × two cohorts", "rules", Asks::Rules(5)),
    ("prerequisite chain of 3", "chain-a", Asks::Needs("chain-b")),
];

const CHAIN: &[(&str, Asks)] = &[("chain-b", Asks::Needs("chain-c")), ("chain-c", Asks::Nothing)];

/// `n` features as a company has them: 4 of 10 on or off for all, 3 for a half, 2 by plan, 1 by rules of cohorts.
pub fn mixed(n: usize) -> Vec<(String, Asks)> {
    let asks = [Asks::Nothing, Asks::Half, Asks::Nothing, Asks::Plan, Asks::Half, Asks::Nothing, Asks::Plan, Asks::Half, Asks::Nothing, Asks::Rules(2)];
    (0..n).map(|at| (format!("feature-{at}"), asks[at % asks.len()])).collect()
}

/// [`mixed`] and those of the rows.
pub fn all(n: usize) -> Vec<(String, Asks)> {
    let rows = CASES.iter().map(|(_, key, asks)| (*key, *asks)).chain(CHAIN.iter().copied());
    mixed(n).into_iter().chain(rows.map(|(key, asks)| (key.to_owned(), asks))).collect()
}

pub fn members(n: usize) -> Vec<String> {
    (0..n).map(|at| format!("user-{at}")).collect()
}

pub const PLANS: [&str; 2] = ["gold", "silver"];
pub const GOLD: [&str; 2] = ["gold", "platinum"];
pub const STAFF: &str = "@example.org";

/// The countries of the rule at `at` of `of`.
pub fn countries(at: usize, of: usize) -> [String; 2] {
    [format!("c{at}"), if at + 1 == of { "de".to_owned() } else { "xx".to_owned() }]
}

/// Half of them are in every list.
pub fn users() -> Vec<String> {
    (0..1_024).map(|n| format!("user-{}", if n % 2 == 0 { n % 50 } else { n + 20_000 })).collect()
}

pub const TEXTS: [(&str, &str); 4] = [("email", "ann@example.org"), ("country", "de"), ("plan", "gold"), ("language", "en")];

pub fn attributes() -> Vec<(&'static str, Attribute<'static>)> {
    TEXTS.iter().map(|(name, text)| (*name, Attribute::Text(text))).collect()
}

pub fn caller<'a>(user: &'a str, attributes: &'a [(&'a str, Attribute<'a>)]) -> Pairs<'a> {
    Pairs { targeting_key: Some(user), attributes }
}

pub fn greenroom_feature(key: &str, asks: Asks) -> Value {
    let rule = |at: usize, when: Value| json!({"name": format!("rule-{at}"), "when": when, "then": {"variant": "on"}});
    let test = |attribute: &str, values: Value| json!({"attribute": attribute, "op": "in", "values": values});
    let (baseline, prerequisites) = match asks {
        Asks::Nothing => (json!([rule(0, json!([]))]), json!([])),
        Asks::Half => (json!([{"name": "half", "then": {"split": {"salt": key, "weights": [["on", 1], ["off", 1]]}}}]), json!([])),
        Asks::In(n) => (json!([rule(0, json!([test("targetingKey", json!(members(n)))]))]), json!([])),
        Asks::Plan => (json!([rule(0, json!([test("plan", json!(PLANS))]))]), json!([])),
        Asks::Rules(of) => {
            let rules: Vec<Value> = (0..of).map(|at| rule(at, json!([{"cohort": "gold"}, {"cohort": "staff"}, test("country", json!(countries(at, of)))]))).collect();
            (json!(rules), json!([]))
        }
        Asks::Needs(other) => (json!([rule(0, json!([]))]), json!([{"feature": other, "variants": ["on"]}])),
    };
    json!({
        "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off",
        "baseline": baseline, "prerequisites": prerequisites,
    })
}

pub fn greenroom(features: &[(String, Asks)]) -> Value {
    let features: serde_json::Map<String, Value> = features.iter().map(|(key, asks)| (key.clone(), greenroom_feature(key, *asks))).collect();
    json!({
        "format": "greenroom/snapshot/1", "environment": "production", "revision": 1, "features": features,
        "cohorts": {
            "gold": {"version": 1, "any_of": [[{"attribute": "plan", "op": "in", "values": GOLD}]]},
            "staff": {"version": 1, "any_of": [[{"attribute": "email", "op": "ends_with", "values": [STAFF]}]]},
        },
    })
}

pub fn unleash_feature(key: &str, asks: Asks) -> Value {
    let constraint = |name: &str, operator: &str, values: Value| json!({"contextName": name, "operator": operator, "values": values});
    let strategy = |constraints: Value| json!({"name": "default", "constraints": constraints});
    let strategies = match asks {
        Asks::Nothing | Asks::Needs(_) => json!([strategy(json!([]))]),
        Asks::Half => json!([{"name": "flexibleRollout", "parameters": {"rollout": "50", "stickiness": "userId", "groupId": key}}]),
        Asks::In(n) => json!([strategy(json!([constraint("userId", "IN", json!(members(n)))]))]),
        Asks::Plan => json!([strategy(json!([constraint("plan", "IN", json!(PLANS))]))]),
        Asks::Rules(of) => {
            let rules = (0..of).map(|at| json!({"name": "default", "segments": [1, 2], "constraints": [constraint("country", "IN", json!(countries(at, of)))]}));
            json!(rules.collect::<Vec<Value>>())
        }
    };
    // one level is what Unleash allows, so its chain of three features is one that needs two
    let dependencies = match (key, asks) {
        ("chain-a", _) => json!([{"feature": "chain-b"}, {"feature": "chain-c"}]),
        _ => json!([]),
    };
    json!({"name": key, "type": "release", "enabled": true, "strategies": strategies, "dependencies": dependencies})
}

pub fn unleash(features: &[(String, Asks)]) -> Value {
    let features: Vec<Value> = features.iter().map(|(key, asks)| unleash_feature(key, *asks)).collect();
    json!({"version": 2, "features": features, "segments": [
        {"id": 1, "name": "gold", "constraints": [{"contextName": "plan", "operator": "IN", "values": GOLD}]},
        {"id": 2, "name": "staff", "constraints": [{"contextName": "email", "operator": "STR_ENDS_WITH", "values": [STAFF]}]},
    ]})
}

pub fn launchdarkly_flag(key: &str, asks: Asks) -> Value {
    let clause = |attribute: &str, op: &str, values: Value| json!({"attribute": attribute, "op": op, "values": values});
    let rule = |at: usize, clauses: Value| json!({"id": format!("rule-{at}"), "variation": 0, "clauses": clauses, "trackEvents": false});
    let half = json!({"rollout": {"variations": [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]}});
    let (rules, fallthrough) = match asks {
        Asks::Nothing | Asks::Needs(_) => (json!([]), json!({"variation": 0})),
        Asks::Half => (json!([]), half),
        Asks::In(n) => (json!([rule(0, json!([clause("key", "in", json!(members(n)))]))]), json!({"variation": 1})),
        Asks::Plan => (json!([rule(0, json!([clause("plan", "in", json!(PLANS))]))]), json!({"variation": 1})),
        Asks::Rules(of) => {
            let segment = |name: &str| clause("", "segmentMatch", json!([name]));
            let rules = (0..of).map(|at| rule(at, json!([segment("gold"), segment("staff"), clause("country", "in", json!(countries(at, of)))])));
            (json!(rules.collect::<Vec<Value>>()), json!({"variation": 1}))
        }
    };
    let prerequisites = if let Asks::Needs(other) = asks { json!([{"key": other, "variation": 0}]) } else { json!([]) };
    json!({
        "key": key, "version": 1, "on": true, "targets": [], "rules": rules, "prerequisites": prerequisites, "fallthrough": fallthrough,
        "offVariation": 1, "variations": [true, false], "clientSide": false, "salt": key,
    })
}

pub fn launchdarkly(features: &[(String, Asks)]) -> Value {
    let flags: serde_json::Map<String, Value> = features.iter().map(|(key, asks)| (key.clone(), launchdarkly_flag(key, *asks))).collect();
    let segment = |key: &str, attribute: &str, op: &str, values: Value| {
        json!({"key": key, "version": 1, "included": [], "excluded": [], "salt": "s",
               "rules": [{"clauses": [{"attribute": attribute, "op": op, "values": values}]}]})
    };
    json!({"flags": flags, "segments": {
        "gold": segment("gold", "plan", "in", json!(GOLD)), "staff": segment("staff", "email", "endsWith", json!([STAFF])),
    }})
}
