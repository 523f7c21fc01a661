//! Manifests: everything wrong is said at once, with its place and a remedy; a set comes whole or not at all.

use greenroom_domain::command::{Command, Manifest};
use greenroom_domain::event::Event;
use greenroom_domain::refusal::{ReasonCode, RefusalKind};
use greenroom_exposure::Anonymous;
use serde_json::{Value, json};

use crate::world::*;

fn set(manifests: Vec<Manifest>) -> Command {
    Command::Apply { set: n("shop"), manifests, prune: false }
}

fn staging(more: &Value) -> Manifest {
    let mut spec = json!({"purpose": "staging", "targets": [target("staging", "s1", 0, 7000)]});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    manifest("environment", "staging", spec)
}

fn feature(more: &Value) -> Manifest {
    let mut spec = json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off"});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    manifest("feature", "checkout", spec)
}

#[test]
fn every_bad_input_is_one_clear_error_and_changes_nothing() {
    let mut w = World::shop();
    let twice = |field: &str, value: Value| {
        let mut spec = service();
        spec[field] = value;
        manifest("service", "web", spec)
    };
    let cases: Vec<(Vec<Manifest>, &str, &str, ReasonCode)> = vec![
        (vec![staging(&json!({"after": ["nowhere"]}))], "environment/staging", "spec.after[0]", ReasonCode::UnknownReference),
        (vec![staging(&json!({"policies": ["none"]}))], "environment/staging", "spec.policies[0]", ReasonCode::UnknownReference),
        (vec![staging(&json!({"after": ["production"]}))], "environment/production", "spec.after", ReasonCode::Cycle),
        (vec![staging(&json!({"after": ["staging"]}))], "environment/staging", "spec.after", ReasonCode::Cycle),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/production/p1/"}]}))],
            "environment/staging",
            "spec.targets[0].address",
            ReasonCode::AddressTaken,
        ),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/s", "endpoints": {"web": "127.0.0.1:7100"}}]}))],
            "environment/staging",
            "spec.targets[0].endpoints.web",
            ReasonCode::AddressTaken,
        ),
        (vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": " "}]}))], "environment/staging", "spec.targets[0].address", ReasonCode::Invalid),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/s", "services": ["nothing"]}]}))],
            "environment/staging",
            "spec.targets[0].services[0]",
            ReasonCode::UnknownReference,
        ),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/s"}, {"name": "s1", "driver": "process", "address": "/t"}]}))],
            "environment/staging",
            "spec.targets[1].name",
            ReasonCode::Invalid,
        ),
        (vec![staging(&json!({"purpose": "test"}))], "environment/staging", "spec.purpose", ReasonCode::Invalid),
        (vec![feature(&json!({"off": "dim"}))], "feature/checkout", "spec.off", ReasonCode::Invalid),
        (vec![feature(&json!({"variants": {"on": true, "off": "no"}}))], "feature/checkout", "spec.variants.off", ReasonCode::Invalid),
        (vec![feature(&json!({"defaults": {"nowhere": "on"}}))], "feature/checkout", "spec.defaults.nowhere", ReasonCode::UnknownReference),
        (vec![feature(&json!({"defaults": {"production": "on"}}))], "feature/checkout", "spec.defaults.production", ReasonCode::Invalid),
        (vec![feature(&json!({"defaults": {"staging": "dim"}}))], "feature/checkout", "spec.defaults.staging", ReasonCode::UnknownReference),
        (vec![manifest("cohort", "staff", json!({}))], "cohort/staff", "spec", ReasonCode::Invalid),
        (vec![manifest("cohort", "staff", json!({"any_of": [[]]}))], "cohort/staff", "spec.any_of", ReasonCode::Invalid),
        (vec![manifest("cohort", "staff", json!({"any_of": [[{"cohort": "staff"}]]}))], "cohort/staff", "spec.any_of[0]", ReasonCode::Invalid),
        (vec![manifest("cohort", "staff", json!({"any_of": [[{"attribute": "mail", "op": "regex", "values": ["("]}]]}))], "cohort/staff", "spec.any_of[0]", ReasonCode::Invalid),
        (
            vec![manifest("policy", "production", json!({"rules": [{"decision": {"role": "approver", "quorum": 0}}]}))],
            "policy/production",
            "spec.rules[0].decision.quorum",
            ReasonCode::Invalid,
        ),
        (
            vec![manifest("policy", "production", json!({"rules": [{"withdrawal": {"acknowledged": "0%"}}]}))],
            "policy/production",
            "spec.rules[0].withdrawal.acknowledged",
            ReasonCode::Invalid,
        ),
        (
            vec![manifest("policy", "production", json!({"rules": [{"withdrawal": {"deadline": "0s"}}]}))],
            "policy/production",
            "spec.rules[0].withdrawal.deadline",
            ReasonCode::Invalid,
        ),
        (vec![manifest("policy", "production", json!({"rules": [{"evidence": []}]}))], "policy/production", "spec.rules[0].evidence", ReasonCode::Invalid),
        (vec![twice("components", json!([]))], "service/web", "spec.components", ReasonCode::Invalid),
        (vec![twice("components", json!(["app", "app"]))], "service/web", "spec.components[1]", ReasonCode::Invalid),
        (vec![twice("recipes", json!({"process": {"run": [], "ready": {"http": "/"}}}))], "service/web", "spec.recipes.process.run", ReasonCode::Invalid),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/production/./nowhere/..//p1"}]}))],
            "environment/staging",
            "spec.targets[0].address",
            ReasonCode::AddressTaken,
        ),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "/s", "endpoints": {"web": "0.0.0.0:7100"}}]}))],
            "environment/staging",
            "spec.targets[0].endpoints.web",
            ReasonCode::AddressTaken,
        ),
        (
            vec![twice("recipes", json!({"process": {"run": ["{app}", "--on={listen}", "{nope}"], "ready": {"http": "/"}}}))],
            "service/web",
            "spec.recipes.process.run[2]",
            ReasonCode::Invalid,
        ),
        (
            vec![twice("recipes", json!({"process": {"run": ["{app}"], "env": {"STOCK": "http://{endpoint:stocks}/"}, "ready": {"http": "/"}}}))],
            "service/web",
            "spec.recipes.process.env.STOCK",
            ReasonCode::UnknownReference,
        ),
        (vec![twice("recipes", json!({"command": {"apply": ["{app"]}}))], "service/web", "spec.recipes.command.apply[0]", ReasonCode::Invalid),
        (
            vec![twice("recipes", json!({"command": {"apply": ["{app}", "{op}"], "observe": ["{target}", "{listen}"]}}))],
            "service/web",
            "spec.recipes.command.observe[1]",
            ReasonCode::Invalid,
        ),
        (
            vec![twice("checks", json!([{"name": "real", "kind": "real_data", "purposes": ["staging"], "run": {"command": {"argv": ["{app}", "{work}", "{port}"]}}}]))],
            "service/web",
            "spec.checks[0].run.command.argv[2]",
            ReasonCode::Invalid,
        ),
        // what comes is blamed, and not what is there already
        (
            vec![manifest("environment", "acceptance", json!({"purpose": "test", "targets": [{"name": "a", "driver": "process", "address": "/staging/s1"}]}))],
            "environment/acceptance",
            "spec.targets[0].address",
            ReasonCode::AddressTaken,
        ),
        (
            vec![staging(&json!({"targets": [{"name": "s1", "driver": "process", "address": "run/../../outside"}]}))],
            "environment/staging",
            "spec.targets[0].address",
            ReasonCode::Invalid,
        ),
        (
            vec![twice("checks", json!([{"name": "real", "kind": "real_data", "purposes": [], "run": {"http": {"path": "/"}}}]))],
            "service/web",
            "spec.checks[0].purposes",
            ReasonCode::Invalid,
        ),
        (
            vec![twice("checks", json!([{"name": "real", "kind": "real_data", "purposes": ["staging"], "run": {"http": {"path": "/", "status": 99}}}]))],
            "service/web",
            "spec.checks[0].run.http.status",
            ReasonCode::Invalid,
        ),
        (
            vec![twice("recipes", json!({"process": {"run": ["{app}"], "ready": {"http": "/", "times": 0}}}))],
            "service/web",
            "spec.recipes.process.ready.times",
            ReasonCode::Invalid,
        ),
        (vec![manifest("policy", "x", json!({"rules": []})), manifest("policy", "x", json!({"rules": []}))], "policy/x", "metadata.name", ReasonCode::AlreadyExists),
    ];
    for (manifests, subject, path, code) in cases {
        let before = w.state.seq;
        let refusal = w.attempt(&set(manifests.clone())).expect_err(path);
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        let said: Vec<_> = refusal.reasons.iter().map(|r| (r.subject.as_str(), r.path.as_deref().unwrap_or_default(), r.code)).collect();
        assert_eq!(said, [(subject, path, code)], "{manifests:?}");
        assert!(!refusal.reasons[0].remedy.is_empty() && !refusal.reasons[0].message.is_empty());
        assert_eq!(w.state.seq, before);
    }
}

#[test]
fn a_longer_cycle_is_named_once_and_in_full() {
    let mut w = World::empty();
    let environment = |name: &str, after: &str| manifest("environment", name, json!({"purpose": "test", "after": [after], "targets": []}));
    let refusal = w.attempt(&set(vec![environment("a", "c"), environment("b", "a"), environment("c", "b"), environment("d", "c")])).unwrap_err();
    assert_eq!(refusal.reasons.len(), 1);
    assert_eq!(refusal.reasons[0].message, "`a` after `c` after `b` after `a`: a cycle");
}

#[test]
fn one_bad_manifest_keeps_the_whole_set_out() {
    let mut w = World::shop();
    let refusal =
        w.attempt(&set(vec![manifest("service", "new", service()), staging(&json!({"after": ["nowhere"], "policies": ["none"]})), feature(&json!({"off": "dim"}))])).unwrap_err();
    assert_eq!(refusal.reasons.len(), 3);
    assert!(!w.state.services.contains_key(&n("new")));
}

#[test]
fn applying_again_changes_nothing() {
    let mut w = World::shop();
    assert_eq!(w.apply(shop()), []);
    let events = w.apply(vec![feature(&json!({"owner": "checkout team"}))]);
    assert!(matches!(events.as_slice(), [Event::FeatureDefined(_)]));
}

#[test]
fn a_list_that_is_given_again_is_the_same_list() {
    let mut w = World::shop();
    let friends = |users: &[&str]| vec![manifest("cohort", "friends", json!({ "users": users }))];
    assert_eq!(w.apply(friends(&["ida", "joe"])).len(), 1);
    assert_eq!(w.apply(friends(&["ida", "joe"])), []);
    assert_eq!(w.apply(friends(&["joe", "ida"])), []);
    assert_eq!(w.apply(friends(&["joe"])).len(), 1);
    let list = w.state.cohorts[&n("friends")].users.clone().unwrap();
    w.texts.remove(&list.0);
    assert_eq!(w.apply(friends(&["joe"])).len(), 1, "what was erased is written anew");
}

#[test]
fn what_an_environment_is_for_does_not_change_under_what_it_serves() {
    let mut w = World::shop();
    let lab = |purpose: &str| vec![manifest("environment", "lab", json!({"purpose": purpose, "targets": []}))];
    let refused = |w: &mut World| {
        let refusal = w.attempt(&set(lab("production"))).unwrap_err();
        refusal.reasons.iter().map(|r| r.path.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    w.apply(lab("test"));
    w.apply(lab("preview"));
    w.ok(&Command::SetBaseline { feature: key("checkout"), environment: n("lab"), rules: None, variant: Some(variant("on")) });
    assert_eq!(refused(&mut w), ["spec.purpose"], "a manifest would turn it on for users");
    // nor by way of taking it away and bringing it back
    let others: Vec<_> = shop();
    w.ok(&Command::Apply { set: n("shop"), manifests: others, prune: true });
    assert!(w.state.features.values().all(|f| f.baselines.is_empty()));
    w.apply(lab("test"));
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "environments": ["lab"], "stages": [{"name": "all", "share": "100%"}]}));
    assert_eq!(refused(&mut w), ["spec.purpose"]);
    w.ok(&Command::CancelRelease { name: n("summer") });
    w.apply(lab("production"));
}

#[test]
fn references_within_a_set_need_no_order() {
    let mut w = World::empty();
    let mut backwards = shop();
    backwards.reverse();
    w.apply(backwards);
    assert_eq!(w.state.environments.len(), 2);
}

#[test]
fn pruning_removes_what_the_set_no_longer_names_and_nothing_else() {
    let mut w = World::shop();
    w.ok(&Command::Apply { set: n("other"), manifests: vec![manifest("policy", "theirs", json!({"rules": []}))], prune: true });
    let mut fewer = shop();
    fewer.retain(|m| m.subject() != "cohort/staff" && m.subject() != "feature/basket");
    let prune = |manifests: Vec<Manifest>| Command::Apply { set: n("shop"), manifests, prune: true };
    let events = w.ok(&prune(fewer.clone()));
    assert!(matches!(events.as_slice(), [Event::FeatureRemoved(_), Event::CohortRemoved(_)]), "{events:?}");
    assert!(w.state.policies.contains_key(&n("theirs")));
    assert_eq!(w.ok(&prune(fewer.clone())), []);

    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.0.0"], "stages": [{"name": "all", "share": "100%"}]}));
    let without = |gone: &[&str]| fewer.iter().filter(|m| !gone.contains(&m.subject().as_str())).cloned().collect::<Vec<_>>();
    let codes = |w: &mut World, gone: &[&str]| {
        let mut codes = w.refused(&prune(without(gone)));
        codes.dedup();
        codes
    };
    assert_eq!(codes(&mut w, &["feature/checkout"]), [ReasonCode::StillReferenced]);
    assert_eq!(codes(&mut w, &["environment/production"]), [ReasonCode::StillReferenced]);
    assert_eq!(codes(&mut w, &["policy/production"]), [ReasonCode::UnknownReference], "the environment names it");
    assert_eq!(codes(&mut w, &["service/web"]), [ReasonCode::UnknownReference, ReasonCode::StillReferenced], "targets name it, it runs, and a release needs it");
    w.ok(&Command::CancelRelease { name: n("summer") });
    w.ok(&prune(without(&["feature/checkout"])));
}

#[test]
fn what_belongs_to_another_set_is_not_taken_over() {
    let mut w = World::shop();
    let refusal = w.attempt(&Command::Apply { set: n("mine"), manifests: shop(), prune: false }).unwrap_err();
    assert!(refusal.reasons.iter().all(|r| r.code == ReasonCode::AlreadyExists && r.message.contains("`shop`")));
    assert_eq!(refusal.reasons.len(), shop().len());
}

#[test]
fn a_feature_does_not_change_under_those_who_read_it() {
    let mut w = World::shop();
    w.apply(vec![feature(&json!({"variants": {"on": true, "off": false, "beta": true}}))]);
    w.register_with("web@1.1.0", &json!({"reads": {"checkout": "boolean"}}));
    w.deploy("web@1.1.0", "staging");
    let retyped = json!({"type": "string", "variants": {"on": "yes", "off": "no", "beta": "b"}});
    assert_eq!(w.refused(&set(vec![feature(&retyped)])), [ReasonCode::ReadByLiveBuild]);
    assert_eq!(w.refused(&set(vec![feature(&json!({}))])), [ReasonCode::ReadByLiveBuild], "a variant would go");
    assert_eq!(
        w.refused(&Command::Apply { set: n("shop"), manifests: shop().into_iter().filter(|m| m.subject() != "feature/checkout").collect(), prune: true }),
        [ReasonCode::ReadByLiveBuild]
    );
    w.deploy("web@1.0.0", "staging");
    w.apply(vec![feature(&retyped)]);
}

#[test]
fn manifests_never_change_what_production_serves() {
    let mut w = World::shop();
    let spec = |off: &str, new: &str| vec![manifest("feature", "basket", json!({"type": "string", "variants": {"new": new, "other": "other", "off": "old"}, "off": off}))];
    w.apply(spec("off", "newer"));
    w.register_with("web@1.1.0", &json!({"reads": {"basket": "string"}}));
    w.deploy("web@1.1.0", "staging");
    w.apply(spec("off", "newest"));
    w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.refused(&set(spec("new", "newest"))), [ReasonCode::ReadByLiveBuild], "everyone would get it");
    assert_eq!(w.refused(&set(spec("off", "sneaky"))), [ReasonCode::ReadByLiveBuild]);
    w.plan("summer", json!({"features": [{"key": "basket", "variant": "new"}], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("summer"));
    assert_eq!(w.refused(&set(spec("off", "sneaky"))), [ReasonCode::ReadByLiveBuild, ReasonCode::StillReferenced]);
}

#[test]
fn units_are_spelt_out_when_they_do_not_read() {
    let reads = |spec: Value| serde_json::from_value::<greenroom_domain::deployment::policy::PolicySpec>(spec).unwrap_err().to_string();
    assert!(reads(json!({"rules": [{"soak": "soon"}]})).contains("use numbers with ms, s, m, h or d"));
    assert!(reads(json!({"rules": [{"sock": "1h"}]})).contains("unknown variant `sock`"));
    assert!(reads(json!({"rules": [], "more": 1})).contains("unknown field `more`"));
}

/// A boolean feature that needs others.
fn needing(name: &str, prerequisites: &Value) -> Manifest {
    manifest("feature", name, json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "prerequisites": prerequisites}))
}

#[test]
fn prerequisites_name_what_is_there_and_never_lead_back() {
    let mut w = World::shop();
    let long = |last: &str| -> Vec<Manifest> {
        (0..70).map(|i| needing(&format!("n{i}"), &if i == 69 { json!({last: ["on"]}) } else { json!({format!("n{}", i + 1): ["on"]}) })).collect()
    };
    for (manifests, subject, path, code) in [
        (vec![needing("gift", &json!({"chekout": ["on"]}))], "feature/gift", "spec.prerequisites.chekout", ReasonCode::UnknownReference),
        (vec![needing("gift", &json!({"checkout": ["on", "maybe"]}))], "feature/gift", "spec.prerequisites.checkout[1]", ReasonCode::UnknownReference),
        (vec![needing("gift", &json!({"checkout": []}))], "feature/gift", "spec.prerequisites.checkout", ReasonCode::Invalid),
        (vec![needing("gift", &json!({"gift": ["on"]}))], "feature/gift", "spec.prerequisites", ReasonCode::Cycle),
        (vec![needing("a", &json!({"b": ["on"]})), needing("b", &json!({"c": ["on"]})), needing("c", &json!({"a": ["on"]}))], "feature/a", "spec.prerequisites", ReasonCode::Cycle),
    ] {
        let before = w.state.seq;
        let refusal = w.attempt(&set(manifests)).expect_err(path);
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        let said: Vec<_> = refusal.reasons.iter().map(|r| (r.subject.as_str(), r.path.as_deref().unwrap_or_default(), r.code)).collect();
        assert_eq!(said, [(subject, path, code)]);
        assert!(!refusal.reasons[0].remedy.is_empty());
        assert_eq!(w.state.seq, before);
    }
    let round = w.attempt(&set(long("n0"))).expect_err("a long way round");
    assert_eq!(round.reasons.len(), 1, "a cycle is named once, however long: {:?}", round.reasons);
    assert!(World::shop().attempt(&set(long("checkout"))).is_ok(), "however deep");

    w.apply(vec![needing("gift", &json!({"checkout": ["on"]}))]);
    let closing = w.attempt(&set(vec![needing("checkout", &json!({"gift": ["on"]}))])).expect_err("closes the circle");
    assert_eq!((closing.reasons[0].subject.as_str(), closing.reasons.len()), ("feature/checkout", 1), "what this set brings is named");
    assert!(closing.reasons[0].message.contains("`checkout` needs `gift` needs `checkout`"), "{}", closing.reasons[0].message);
}

#[test]
fn what_another_feature_needs_stays() {
    let mut w = World::shop();
    w.apply(vec![needing("gift", &json!({"basket": ["new"]}))]);
    let basket = |variants: Value| manifest("feature", "basket", json!({"type": "string", "variants": variants, "off": "off"}));
    let without = |name: &str| -> Vec<Manifest> { shop().into_iter().chain([needing("gift", &json!({"basket": ["new"]}))]).filter(|m| m.subject() != name).collect() };
    assert_eq!(w.refused(&set(vec![basket(json!({"other": "other", "off": "old"}))])), [ReasonCode::StillReferenced], "its variant would go");
    assert_eq!(w.refused(&Command::Apply { set: n("shop"), manifests: without("feature/basket"), prune: true }), [ReasonCode::UnknownReference], "the set itself names it");
    let rest: Vec<Manifest> = shop().into_iter().filter(|m| m.subject() != "feature/basket").collect();
    w.ok(&Command::Apply { set: n("gifts"), manifests: vec![needing("card", &json!({"basket": ["new", "other"]}))], prune: false });
    assert_eq!(w.refused(&Command::Apply { set: n("shop"), manifests: rest.clone(), prune: true }), [ReasonCode::StillReferenced], "another set's feature needs it");

    // both go at once, and a variant that nobody asks for goes any time
    w.ok(&Command::Apply { set: n("gifts"), manifests: Vec::new(), prune: true });
    w.apply(vec![basket(json!({"new": "new", "off": "old"}))]);
    w.ok(&Command::Apply { set: n("shop"), manifests: rest, prune: true });
    assert!(!w.state.features.contains_key("gift") && !w.state.features.contains_key("basket"));
}

#[test]
fn what_rules_name_stays() {
    let mut w = World::shop();
    let rules = |rules: Value, everyone: &str| Command::SetBaseline {
        feature: key("basket"),
        environment: n("staging"),
        rules: Some(serde_json::from_value(rules).unwrap()),
        variant: Some(variant(everyone)),
    };
    let half = json!({"name": "half", "then": {"split": {"salt": "s", "weights": [["new", 1], ["off", 1]]}}});
    let staff = json!({"name": "team", "when": [{"cohort": "staff"}], "then": {"variant": "other"}});
    let basket = |variants: Value| set(vec![manifest("feature", "basket", json!({"type": "string", "variants": variants, "off": "off"}))]);
    let without = |name: &str| Command::Apply { set: n("shop"), manifests: shop().into_iter().filter(|m| m.subject() != name).collect(), prune: true };
    w.ok(&rules(json!([half, staff]), "new"));
    let said = |w: &mut World, command: &Command| {
        let refusal = w.attempt(command).expect_err("should be refused");
        assert_eq!(refusal.kind, RefusalKind::Refused);
        refusal.reasons.iter().map(|r| (r.path.clone().unwrap_or_default(), r.message.clone(), r.remedy.clone())).collect::<Vec<_>>()
    };
    let place = |message: &str, how: &str| ("spec.variants".to_owned(), message.to_owned(), format!("set another first: greenroom feature baseline basket {how} --env staging"));
    assert_eq!(
        said(&mut w, &basket(json!({"off": "old"}))),
        [
            place("variant `new` cannot be removed: rule `half` in `staging` serves it", "--rules FILE"),
            place("variant `new` cannot be removed: in `staging` it is for everyone whom no rule serves", "VARIANT"),
            place("variant `other` cannot be removed: rule `team` in `staging` serves it", "--rules FILE"),
        ]
    );
    let (path, message, remedy) = &said(&mut w, &without("cohort/staff"))[0];
    assert_eq!((path.as_str(), message.as_str()), ("metadata.name", "`cohort/staff` is still used by rule `team` of feature `basket` in `staging`"));
    assert_eq!(remedy, "set other rules first: greenroom feature baseline basket --rules FILE --env staging");
    // the feature may go with all that serves it, and without rules so may what they named
    let mut both = w.clone();
    both.ok(&Command::Apply {
        set: n("shop"),
        manifests: shop().into_iter().filter(|m| !["cohort/staff", "feature/basket"].contains(&m.subject().as_str())).collect(),
        prune: true,
    });
    w.ok(&rules(json!([]), "off"));
    w.ok(&basket(json!({"off": "old"})));
    assert_eq!(w.ok(&without("cohort/staff")).len(), 2, "and what was left of the feature comes back");
}

#[test]
fn a_feature_is_off_until_what_it_needs_is_served() {
    let mut w = World::shop();
    w.apply(vec![needing("gift", &json!({"checkout": ["on"]}))]);
    w.plan("gifts", json!({"features": [{"key": "gift", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("gifts"));
    assert_eq!(w.served("gift", "user-1"), "off");
    let snapshot = w.snapshot(PRODUCTION);
    assert_eq!(snapshot.evaluate("gift", &Anonymous).and_then(|a| a.blocked_by().map(str::to_owned)).as_deref(), Some("prerequisite:checkout"));
    assert_eq!(w.refused(&set(vec![needing("gift", &json!({}))])), [ReasonCode::StillReferenced], "everyone would get it, and no release said so");

    w.plan("checkouts", json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "some", "share": "30%"}, {"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("checkouts"));
    let (gift, checkout) = (w.audience("gift"), w.audience("checkout"));
    assert!(!checkout.is_empty() && checkout.len() < 1000);
    assert_eq!(gift, checkout, "the same callers, one by one");
    w.withdraw("checkouts");
    assert!(w.audience("gift").is_empty());
}
