//! Declared attributes: who reads one by another type is refused, whoever comes first, and nothing served goes off by it.

use greenroom_domain::command::{Command, Manifest};
use greenroom_domain::event::Event;
use greenroom_domain::exposure;
use greenroom_domain::import::translate;
use greenroom_domain::refusal::{ReasonCode, RefusalKind};
use greenroom_exposure::Snapshot;
use greenroom_exposure::import::unleash;
use greenroom_exposure::model::AttributeType;
use serde_json::{Value, json};

use crate::world::*;

const TYPES: [&str; 6] = ["string", "number", "boolean", "date", "semver", "address"];

fn attribute(name: &str, r#type: &str) -> Manifest {
    manifest("attribute", name, json!({"type": r#type}))
}

fn cohort(name: &str, clause: &Value) -> Manifest {
    manifest("cohort", name, json!({"any_of": [[clause]]}))
}

fn set(manifests: Vec<Manifest>) -> Command {
    Command::Apply { set: n("shop"), manifests, prune: false }
}

fn rules(rules: Value) -> Command {
    Command::SetBaseline { feature: key("basket"), environment: n("staging"), rules: Some(serde_json::from_value(rules).unwrap()), variant: None }
}

/// No environment is served anything that cannot be compiled.
fn sound(w: &World) {
    for environment in w.state.environments.keys() {
        let (_, warnings) = Snapshot::compile(&exposure::compile(&w.state, environment, &|_| None));
        assert!(warnings.is_empty(), "{environment}: {warnings:?}");
    }
}

/// Code, subject, place and message of each reason.
fn said(w: &mut World, command: &Command) -> Vec<(ReasonCode, String, String, String)> {
    let seq = w.state.seq;
    let refusal = w.attempt(command).expect_err("should be refused");
    assert_eq!(w.state.seq, seq);
    assert!(refusal.reasons.iter().all(|r| !r.remedy.is_empty()), "{refusal:?}");
    refusal.reasons.into_iter().map(|r| (r.code, r.subject, r.path.unwrap_or_default(), r.message)).collect()
}

#[test]
fn what_is_declared_is_published_everywhere_and_again_changes_nothing() {
    let mut w = World::shop();
    let before = exposure::compile(&w.state, &n(PRODUCTION), &|_| None);
    let declared = || set(vec![attribute("app.version", "semver"), attribute("Größe in €", "number")]);
    assert_eq!(w.ok(&declared()).len(), 2);
    assert!(w.ok(&declared()).is_empty());
    for environment in ["staging", PRODUCTION] {
        let model = exposure::compile(&w.state, &n(environment), &|_| None);
        assert_eq!(model.attributes["app.version"], AttributeType::Semver);
        assert_eq!(model.attributes["Größe in €"], AttributeType::Number);
        assert_eq!(model.revision, w.state.seq, "{environment}");
    }
    let after = exposure::compile(&w.state, &n(PRODUCTION), &|_| None);
    let change = after.change_from(&before);
    assert_eq!((change.attributes.as_ref(), change.put.len()), (Some(&after.attributes), 0), "followers are told");
    let events = w.ok(&Command::Apply { set: n("shop"), manifests: shop().into_iter().chain([attribute("app.version", "string")]).collect(), prune: true });
    assert!(matches!(&events[..], [Event::AttributeDefined(d), Event::AttributeRemoved(r)] if d.name.as_str() == "app.version" && r.name.as_str() == "Größe in €"), "{events:?}");
    assert_eq!(exposure::compile(&w.state, &n("staging"), &|_| None).attributes.into_iter().collect::<Vec<_>>(), [("app.version".to_owned(), AttributeType::String)]);
}

/// Every operator, by every type, wherever clauses stand: it does not matter who comes first, and whoever comes second is
/// refused exactly if the two do not fit.
#[test]
fn the_order_of_declaring_and_reading_makes_no_difference() {
    let all = [("present", json!([])), ("absent", json!([])), ("in", json!(["x"])), ("not_in", json!([1])), ("in", json!([true])), ("in", json!(["x", 1]))];
    let texts = ["starts_with", "ends_with", "contains", "regex"].map(|op| (op, json!(["x"])));
    let numbers = ["eq", "lt", "le", "gt", "ge"].map(|op| (op, json!([1])));
    let dates = ["before", "after"].map(|op| (op, json!(["2026-01-01T00:00:00Z"])));
    let versions = ["semver_eq", "semver_lt", "semver_le", "semver_gt", "semver_ge"].map(|op| (op, json!(["1.0.0"])));
    let clauses = [&all[..], &texts, &numbers, &dates, &versions, &[("cidr", json!(["10.0.0.0/8"]))]].concat();
    let clauses = clauses.into_iter().map(|(op, values)| json!({"attribute": "a", "op": op, "values": values}));
    let mut clauses: Vec<Value> = clauses.flat_map(|clause| [json!({"not": clause}), clause]).collect();
    clauses.push(json!({"share": {"salt": "s", "share": 50_000, "attribute": "a"}}));
    let split = json!([{"name": "split", "then": {"split": {"salt": "s", "attribute": "a", "weights": [["new", 1]]}}}]);
    let rule = |clause: &Value| json!([{"name": "rule", "when": [clause], "then": {"variant": "new"}}]);
    let reads = clauses.iter().flat_map(|clause| [set(vec![cohort("readers", clause)]), rules(rule(clause))]).chain([rules(split)]);
    let world = World::shop();
    let mut counted = (0, 0);
    for read in reads {
        for r#type in TYPES {
            let declare = set(vec![attribute("a", r#type)]);
            let try_both = |first: &Command, second: &Command| {
                let mut w = world.clone();
                w.ok(first);
                let taken = w.attempt(second).is_ok();
                sound(&w);
                taken
            };
            let fits = try_both(&declare, &read);
            assert_eq!(try_both(&read, &declare), fits, "{read:?} of {type}");
            if let Command::Apply { manifests, .. } = &read {
                let mut w = world.clone();
                let together = set(manifests.iter().cloned().chain([attribute("a", r#type)]).collect());
                assert_eq!(w.attempt(&together).is_ok(), fits, "{read:?} with {type}");
                sound(&w);
            }
            if fits { counted.0 += 1 } else { counted.1 += 1 }
        }
    }
    assert!(counted.0 > 150 && counted.1 > 300, "{counted:?}");
}

#[test]
fn whoever_reads_it_otherwise_is_named() {
    let mut w = World::shop();
    let older = json!({"attribute": "age", "op": "gt", "values": [18]});
    w.ok(&set(vec![cohort("adults", &older)]));
    w.ok(&rules(
        json!([{"name": "grown", "when": [older], "then": {"variant": "new"}}, {"name": "by age", "then": {"split": {"salt": "s", "attribute": "age", "weights": [["new", 1]]}}}]),
    ));
    let declare = |r#type| set(vec![attribute("age", r#type)]);
    let reasons = said(&mut w, &declare("string"));
    let messages: Vec<_> = reasons.iter().map(|(_, _, _, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "cohort `adults` reads it by another type: `gt` does not fit attribute `age`, declared as string",
            "rule `grown` of feature `basket` in `staging` reads it by another type: `gt` does not fit attribute `age`, declared as string",
        ]
    );
    assert!(reasons.iter().all(|(code, subject, path, _)| (*code, subject.as_str(), path.as_str()) == (ReasonCode::StillReferenced, "attribute/age", "spec.type")));
    let by = said(&mut w, &declare("number")).into_iter().map(|(_, _, _, message)| message).collect::<Vec<_>>();
    assert_eq!(by, ["rule `by age` of feature `basket` in `staging` reads it by another type: attribute `age` is not declared as text, so callers cannot be divided by it"]);
    assert_eq!(w.attempt(&declare("number")).unwrap_err().kind, RefusalKind::Refused);
    w.ok(&rules(json!([])));
    w.ok(&declare("number"));
    // and what comes later is refused at its own place
    let text = json!({"attribute": "age", "op": "contains", "values": ["1"]});
    let fault = "`contains` does not fit attribute `age`, declared as number";
    assert_eq!(said(&mut w, &set(vec![cohort("adults", &text)])), [(ReasonCode::Invalid, "cohort/adults".to_owned(), "spec.any_of[0]".to_owned(), fault.to_owned())]);
    let rule = json!([{"name": "r", "when": [text], "then": {"variant": "new"}}]);
    assert_eq!(said(&mut w, &rules(rule)), [(ReasonCode::Invalid, "feature/basket".to_owned(), "rules[0]".to_owned(), format!("rule `r`: {fault}"))]);
    // another type may come with what reads it
    w.ok(&set(vec![attribute("age", "string"), cohort("adults", &text)]));
    sound(&w);
}

/// Whoever was in a cohort when a release was planned is served by what the cohort said then.
#[test]
fn a_release_goes_on_reading_what_its_cohort_was() {
    let mut w = World::shop();
    let by = |op: &str, value: Value| cohort("friends", &json!({"attribute": "level", "op": op, "values": [value]}));
    w.ok(&set(vec![by("ge", json!(3))]));
    w.ship("web@1.1.0");
    w.plan("summer", json!({"features": [{"key": "basket", "variant": "new"}], "stages": [{"name": "friends", "cohort": "friends", "share": "100%"}]}));
    w.ok(&World::start_command("summer"));
    let both = set(vec![by("in", json!("high")), attribute("level", "string")]);
    let reasons = said(&mut w, &both);
    assert!(
        matches!(&reasons[..], [(ReasonCode::StillReferenced, _, _, message)] if message.starts_with("cohort `friends` as release `summer` was planned with it reads it")),
        "{reasons:?}"
    );
    w.withdraw("summer");
    w.settle();
    w.ok(&both);
    assert_eq!(w.state.attributes.len(), 1);
}

#[test]
fn who_asks_is_text() {
    let mut w = World::shop();
    let reasons = said(&mut w, &set(vec![attribute("targetingKey", "number")]));
    assert!(matches!(&reasons[..], [(ReasonCode::Invalid, _, path, _)] if path == "spec.type"), "{reasons:?}");
    w.ok(&set(vec![attribute("targetingKey", "string")]));
    sound(&w);
}

#[test]
fn an_import_that_reads_by_another_type_is_refused_with_its_place() {
    let mut w = World::shop();
    w.ok(&set(vec![attribute("plan", "number")]));
    let strategy = json!({"name": "default", "constraints": [{"contextName": "plan", "operator": "STR_CONTAINS", "values": ["go"]}]});
    let file = json!({"version": 2, "features": [{"name": "Suche 你好", "enabled": true, "strategies": [strategy]}]});
    let translated = translate(unleash(&file.to_string()).unwrap());
    let import = Command::Import { set: n("unleash"), environment: n("staging"), manifests: translated.manifests, serves: translated.serves };
    let reasons = said(&mut w, &import);
    assert!(
        matches!(&reasons[..], [(ReasonCode::Invalid, subject, path, message)] if subject == "feature/Suche 你好" && path == "rules[0]" && message.contains("declared as number")),
        "{reasons:?}"
    );
}

#[test]
fn a_checkpoint_keeps_declarations() {
    let mut w = World::shop();
    w.ok(&set(vec![attribute("app.version", "semver")]));
    let back = greenroom_domain::state::State::from_checkpoint(&w.state.to_checkpoint()).unwrap();
    assert_eq!(back.attributes, w.state.attributes);
}
