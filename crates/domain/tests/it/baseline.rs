//! Rules that people set for an environment: what they serve, what they are refused for, and what they leave alone.

use greenroom_domain::command::Command;
use greenroom_domain::event::Event;
use greenroom_domain::exposure;
use greenroom_domain::refusal::ReasonCode;
use greenroom_exposure::{Json, Snapshot};
use serde_json::{Value, json};

use crate::world::*;

fn set(environment: &str, rules: Value) -> Command {
    Command::SetBaseline { feature: key("basket"), environment: n(environment), rules: Some(serde_json::from_value(rules).unwrap()), variant: None }
}

/// The variant of `basket` in staging, and the rule that gave it.
fn gets(w: &World, context: &Value) -> (String, Option<String>) {
    let (snapshot, warnings) = Snapshot::compile(&exposure::compile(&w.state, &n("staging"), &|_| None));
    assert!(warnings.is_empty(), "{warnings:?}");
    let answer = snapshot.evaluate("basket", &Json(context.as_object().unwrap())).unwrap();
    (answer.variant().to_owned(), answer.rule().map(str::to_owned))
}

fn gold() -> Value {
    json!({"name": "gold", "when": [{"attribute": "plan", "op": "in", "values": ["gold"]}], "then": {"variant": "new"}})
}

#[test]
fn the_first_rule_that_matches_decides_and_the_variant_is_for_everyone_else() {
    let mut w = World::shop();
    let half = json!({"name": "half of berlin", "when": [{"attribute": "city", "op": "eq", "values": [7]}],
                      "then": {"split": {"salt": "s", "weights": [["new", 0], ["other", 3]]}}});
    let events = w.ok(&set("staging", json!([gold(), half])));
    assert!(matches!(events.as_slice(), [Event::BaselineSet(e)] if e.baseline.rules.len() == 2 && e.baseline.default == variant("off")));
    assert_eq!(gets(&w, &json!({"targetingKey": "u", "plan": "gold", "city": 7})), ("new".to_owned(), Some("gold".to_owned())));
    assert_eq!(gets(&w, &json!({"targetingKey": "u", "city": 7})), ("other".to_owned(), Some("half of berlin".to_owned())));
    assert_eq!(gets(&w, &json!({"targetingKey": "u"})), ("off".to_owned(), None));
    assert!(w.ok(&set("staging", json!([gold(), half]))).is_empty(), "again changes nothing");
    // the variant alone leaves the rules, and no rules take them away
    w.ok(&Command::SetBaseline { feature: key("basket"), environment: n("staging"), rules: None, variant: Some(variant("new")) });
    assert_eq!(gets(&w, &json!({"targetingKey": "u", "city": 7})).1.as_deref(), Some("half of berlin"));
    w.ok(&set("staging", json!([])));
    assert_eq!(gets(&w, &json!({"targetingKey": "u", "city": 7})), ("new".to_owned(), None));
}

#[test]
fn what_could_not_be_served_is_refused_with_every_place() {
    let mut w = World::shop();
    assert_eq!(w.refused(&set(PRODUCTION, json!([gold()]))), [ReasonCode::NotReleased]);
    let rules = json!([
        gold(),
        {"name": "gold", "then": {"variant": "other"}},
        {"name": "", "then": {"variant": "other"}},
        {"name": "regex", "when": [{"attribute": "a", "op": "regex", "values": ["("]}], "then": {"variant": "new"}},
        {"name": "cohort", "when": [{"cohort": "nobody"}], "then": {"variant": "new"}},
        {"name": "variant", "then": {"variant": "none"}},
        {"name": "weights", "then": {"split": {"salt": "s", "weights": [["new", 0]]}}},
    ]);
    let before = w.state.clone();
    let Err(refusal) = w.attempt(&set("staging", rules)) else { panic!("taken") };
    let places: Vec<_> = refusal.reasons.iter().map(|r| r.path.as_deref().unwrap()).collect();
    assert_eq!(places, ["rules[1].name", "rules[2].name", "rules[3]", "rules[4]", "rules[5]", "rules[6]"], "{refusal:?}");
    assert_eq!(w.state.features, before.features);
}

#[test]
fn what_a_closed_release_left_stays_and_comes_first() {
    let mut w = World::shop();
    w.ok(&set("staging", json!([gold()])));
    let spec = json!({"features": [{"key": "basket", "variant": "new"}], "environments": ["staging"], "stages": [{"name": "all", "share": "100%"}]});
    w.plan("summer", spec);
    w.ok(&World::start_command("summer"));
    w.settle();
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    let never = json!({"name": "old for all", "then": {"variant": "other"}});
    w.ok(&set("staging", json!([never])));
    let baseline = &w.state.features[&key("basket")].baselines[&n("staging")];
    assert_eq!((baseline.entries.len(), baseline.rules.len()), (1, 1));
    assert_eq!(gets(&w, &json!({"targetingKey": "u"})).0, "new");
}
