//! Another product's definitions: what becomes of them here, what is refused, and that it happens at once or not at all.

use greenroom_domain::command::Command;
use greenroom_domain::event::Event;
use greenroom_domain::exposure;
use greenroom_domain::import::{Translated, translate};
use greenroom_domain::refusal::ReasonCode;
use greenroom_exposure::import::unleash;
use greenroom_exposure::{Json, Snapshot};
use serde_json::{Value, json};

use crate::world::*;

#[expect(clippy::needless_pass_by_value, reason = "a literal reads better without a borrow")]
fn file(features: Value) -> Translated {
    let everyone = json!({"id": 1, "name": "everyone", "constraints": []});
    let gold = json!({"id": 2, "name": "gold", "constraints": [{"contextName": "plan", "operator": "IN", "values": ["gold"]}]});
    translate(unleash(&json!({"version": 2, "features": features, "segments": [everyone, gold]}).to_string()).unwrap())
}

fn import(environment: &str, translated: &Translated) -> Command {
    Command::Import { set: n("unleash"), environment: n(environment), manifests: translated.manifests.clone(), serves: translated.serves.clone() }
}

#[expect(clippy::needless_pass_by_value, reason = "a literal reads better without a borrow")]
fn strategy(segments: Value) -> Value {
    json!([{"name": "default", "segments": segments}])
}

#[test]
fn what_it_served_is_served_here_and_again_changes_nothing() {
    let mut w = World::shop();
    let translated = file(json!([
        {"name": "Search/v2", "enabled": true, "strategies": strategy(json!([1, 2]))},
        {"name": "child", "enabled": true, "strategies": strategy(json!([])), "dependencies": [{"feature": "Search/v2"}]},
        {"name": "gone", "enabled": false, "strategies": strategy(json!([]))},
    ]));
    assert_eq!(translated.refused, []);
    let events = w.ok(&import("staging", &translated));
    let cohorts = events.iter().filter(|e| matches!(e, Event::CohortDefined(_))).count();
    assert_eq!((cohorts, events.len()), (1, 1 + 3 + 3), "who is everyone is no cohort: {events:?}");
    let (snapshot, warnings) = Snapshot::compile(&exposure::compile(&w.state, &n("staging"), &|_| None));
    assert!(warnings.is_empty(), "{warnings:?}");
    for (plan, wanted) in [("gold", true), ("silver", false)] {
        let context = json!({"targetingKey": "u", "plan": plan});
        for feature in ["Search/v2", "child"] {
            assert_eq!(*snapshot.evaluate(feature, &Json(context.as_object().unwrap())).unwrap().value(), json!(wanted), "{feature} for {plan}");
        }
    }
    assert!(w.ok(&import("staging", &translated)).is_empty());
    let production = exposure::compile(&w.state, &n(PRODUCTION), &|_| None);
    assert!(production.features["Search/v2"].baseline.is_empty(), "nothing is shown in production");
}

/// No manifest may ask for that, and yet the rest of the file is good.
#[test]
fn who_needs_what_is_never_answered_is_off() {
    let child = json!({"name": "child", "enabled": true, "strategies": strategy(json!([])), "dependencies": [{"feature": "parent", "variants": ["none"]}]});
    let translated = file(json!([{"name": "parent", "enabled": true, "strategies": strategy(json!([]))}, child]));
    assert!(translated.notes.iter().any(|note| note.starts_with("`child` needs what")), "{:?}", translated.notes);
    let mut w = World::shop();
    w.ok(&import("staging", &translated));
    let (snapshot, _) = Snapshot::compile(&exposure::compile(&w.state, &n("staging"), &|_| None));
    let answer = |feature: &str| snapshot.evaluate(feature, &Json(&serde_json::Map::new())).unwrap().value().clone();
    assert_eq!((answer("parent"), answer("child")), (json!(true), json!(false)));
}

/// Applications ask by the names that they have, and compare what they get with them.
#[test]
fn names_are_taken_as_they_are() {
    let mut w = World::shop();
    let variants = json!([{"name": "Blue Button", "weight": 1000}]);
    let features = |variants: &Value| {
        file(json!([
            {"name": "Feature.UTF-8.😊_φriend_你好_🌍", "enabled": true, "strategies": [{"name": "default"}], "variants": variants},
            {"name": "needs it", "enabled": true, "strategies": [{"name": "default"}], "dependencies": [{"feature": "Feature.UTF-8.😊_φriend_你好_🌍", "variants": ["Blue Button"]}]},
        ]))
    };
    let translated = features(&variants);
    assert_eq!(translated.refused, []);
    w.ok(&import("staging", &translated));
    let (snapshot, warnings) = Snapshot::compile(&exposure::compile(&w.state, &n("staging"), &|_| None));
    assert!(warnings.is_empty(), "{warnings:?}");
    let caller = json!({"targetingKey": "u"});
    let variant = |feature: &str| snapshot.evaluate(feature, &Json(caller.as_object().unwrap())).unwrap().variant().to_owned();
    assert_eq!(variant("Feature.UTF-8.😊_φriend_你好_🌍"), "Blue Button");
    assert_ne!(variant("needs it"), "off");
    // a variant that only the former import served may go with the next
    let red = json!([{"name": "Blue Button", "weight": 500}, {"name": "Röd", "weight": 500}]);
    w.ok(&import("staging", &features(&red)));
    w.ok(&import("staging", &translated));
    assert!(w.ok(&import("staging", &translated)).is_empty());
}

#[test]
fn names_that_we_do_not_take_are_refused_with_whoever_needs_them() {
    let variants = json!([{"name": "Blue\nButton", "weight": 1000}]);
    let translated = file(json!([
        {"name": "a b ", "enabled": true, "strategies": []},
        {"name": "parent", "enabled": true, "strategies": [{"name": "default"}], "variants": variants},
        {"name": "child", "enabled": true, "strategies": [{"name": "default"}], "dependencies": [{"feature": "parent"}]},
    ]));
    assert_eq!(translated.serves, []);
    let refused: Vec<_> = translated.refused.iter().map(|r| (r.feature.as_str(), r.because.as_str())).collect();
    assert!(
        matches!(refused[..], [("a b ", _), ("child", "it depends on `parent`, which was refused"), ("parent", because)] if because.starts_with("`Blue\nButton` is not the name of a variant")),
        "{refused:?}"
    );
}

#[test]
fn production_takes_no_import_and_a_feature_of_another_set_is_not_taken_over() {
    let mut w = World::shop();
    let before = w.state.clone();
    let one = file(json!([{"name": "new", "enabled": true, "strategies": []}]));
    assert_eq!(w.refused(&import(PRODUCTION, &one)), [ReasonCode::NotReleased]);
    let theirs = file(json!([{"name": "new", "enabled": true, "strategies": []}, {"name": "basket", "enabled": true, "strategies": []}]));
    assert!(w.attempt(&import("staging", &theirs)).is_err());
    assert_eq!(w.state.seq, before.seq, "nothing of it");
}
