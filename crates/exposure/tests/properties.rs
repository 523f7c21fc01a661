//! What holds for every model, change and caller.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom_exposure::model::{Algorithm, AttributeType, Blocked, Clause, Cohort, Feature, Op, Outcome, Prerequisite, Rule, Share, Split, TARGETING_KEY, Test, ValueType};
use greenroom_exposure::wire::{Success, read_request, unleash, write_answer};
use greenroom_exposure::{Attribute, Change, Explained, Json, Model, Pairs, Reason, Snapshot, Warning};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

fn algorithm() -> impl Strategy<Value = Algorithm> {
    select(vec![Algorithm::M3, Algorithm::Unleash, Algorithm::UnleashVariant])
}

fn salt() -> impl Strategy<Value = String> {
    select(vec!["autumn", "spring"]).prop_map(str::to_owned)
}

fn share() -> impl Strategy<Value = Share> {
    let attribute = select(vec![TARGETING_KEY, TARGETING_KEY, "tenant"]).prop_map(str::to_owned);
    (salt(), 0_u32..=101, algorithm(), attribute).prop_map(|(salt, percent, algorithm, attribute)| Share { salt, share: percent * 1_000, algorithm, attribute })
}

fn test() -> impl Strategy<Value = Test> {
    let words = || vec(select(vec!["gold", "GOLD", "silver", "1.2.0", "("]), 0..3);
    let texts = (select(vec!["plan", "version", TARGETING_KEY]), text_op(), words(), any::<bool>()).prop_map(|(attribute, op, values, ignore_case)| Test {
        attribute: attribute.to_owned(),
        op,
        values: values.into_iter().map(Into::into).collect(),
        ignore_case,
    });
    let numbers =
        (select(vec![Op::Eq, Op::Lt, Op::Ge, Op::In]), 0..5_i64).prop_map(|(op, value)| Test { attribute: "age".to_owned(), op, values: vec![value.into()], ignore_case: false });
    prop_oneof![3 => texts, 1 => numbers]
}

fn text_op() -> impl Strategy<Value = Op> {
    select(vec![Op::In, Op::In, Op::NotIn, Op::StartsWith, Op::Contains, Op::Regex, Op::SemverGe, Op::Present, Op::Absent])
}

fn plain_clause() -> impl Strategy<Value = Clause> {
    prop_oneof![3 => test().prop_map(Clause::Test), 1 => test().prop_map(Clause::Not), 1 => share().prop_map(Clause::Share)]
}

fn cohort_name() -> impl Strategy<Value = String> {
    select(vec!["staff", "beta", "ghost"]).prop_map(str::to_owned)
}

fn clause() -> impl Strategy<Value = Clause> {
    prop_oneof![3 => plain_clause(), 1 => cohort_name().prop_map(Clause::Cohort)]
}

fn cohort() -> impl Strategy<Value = Arc<Cohort>> {
    (1_u64..3, vec(vec(prop_oneof![9 => plain_clause(), 1 => clause()], 0..3), 0..3)).prop_map(|(version, any_of)| Arc::new(Cohort { version, any_of, internal: false }))
}

fn variant() -> impl Strategy<Value = String> {
    select(vec!["on", "on", "on", "off", "other", "other", "unknown"]).prop_map(str::to_owned)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let split = (salt(), algorithm(), vec((variant(), 0_u32..51), 1..4))
        .prop_map(|(salt, algorithm, weights)| Outcome::Split(Split { salt, algorithm, attribute: TARGETING_KEY.to_owned(), weights }));
    prop_oneof![3 => variant().prop_map(Outcome::Variant), 1 => split]
}

fn rule() -> impl Strategy<Value = Rule> {
    let (release, blocked) = (option::of(Just("autumn".to_owned())), option::weighted(0.2, Just("hold".to_owned())));
    ("[a-c]", vec(clause(), 0..3), outcome(), release, blocked).prop_map(|(name, when, then, release, blocked)| Rule { name, when, then, release, blocked })
}

fn blocked() -> impl Strategy<Value = Option<Blocked>> {
    option::weighted(0.2, Just(Blocked { release: Some("autumn".to_owned()), blocked_by: "waiting".to_owned() }))
}

fn key() -> impl Strategy<Value = String> {
    "[a-f]".prop_map(String::from)
}

fn feature() -> impl Strategy<Value = Arc<Feature>> {
    let prerequisite = (key(), vec(variant(), 1..3)).prop_map(|(feature, variants)| Prerequisite { feature, variants });
    let broken = prop_oneof![19 => Just(json!("")), 1 => Just(json!(0))];
    (broken, blocked(), vec(rule(), 0..3), vec(rule(), 0..3), variant(), vec(prerequisite, 0..2), blocked()).prop_map(
        |(off, killed, claims, baseline, default, prerequisites, dark)| {
            Arc::new(Feature {
                r#type: ValueType::String,
                variants: [("on", json!("shown")), ("off", off), ("other", json!("\"else\""))].map(|(name, value)| (name.to_owned(), value)).into(),
                off: "off".to_owned(),
                killed,
                claims,
                baseline,
                default,
                prerequisites,
                dark,
            })
        },
    )
}

fn attributes() -> impl Strategy<Value = std::collections::BTreeMap<String, AttributeType>> {
    btree_map(select(vec!["plan", "age", "version"]).prop_map(str::to_owned), select(vec![AttributeType::String, AttributeType::Number, AttributeType::Semver]), 0..2)
}

fn change() -> impl Strategy<Value = Change> {
    (option::weighted(0.2, attributes()), btree_map(cohort_name(), cohort(), 0..2), vec(cohort_name(), 0..2), btree_map(key(), feature(), 0..4), vec(key(), 0..3))
        .prop_map(|(attributes, put_cohorts, drop_cohorts, put, drop)| Change { revision: 0, attributes, put_cohorts, drop_cohorts, put, drop })
}

fn context() -> impl Strategy<Value = Map<String, Value>> {
    let user = option::weighted(0.8, (0..20_u32).prop_map(|n| json!(format!("user-{n}"))));
    let plan = option::of(select(vec![json!("gold"), json!("Gold"), json!("silver"), json!(7), json!(["gold"])]));
    let version = option::of(select(vec![json!("1.2.0"), json!("2.0.0-rc.1"), json!("new")]));
    (user, plan, version, option::of((0..5_i64).prop_map(|n| json!(n))), option::of(Just(json!("user-1")))).prop_map(|(user, plan, version, age, tenant)| {
        let given = [(TARGETING_KEY, user), ("plan", plan), ("version", version), ("age", age), ("tenant", tenant)];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

fn as_set(warnings: Vec<Warning>) -> BTreeSet<Warning> {
    warnings.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rules that begin alike are not asked alike twice, and no answer shows it.
    #[test]
    fn what_rules_share_is_asked_once(
        pool in vec(clause(), 3), shapes in vec((0_usize..=3, vec(clause(), 0..2), outcome()), 1..6),
        staff in cohort(), contexts in vec(context(), 1..8),
    ) {
        let rules = shapes.into_iter().enumerate().map(|(at, (shared, own, then))| Rule {
            name: format!("rule-{at}"), when: pool.iter().take(shared).cloned().chain(own).collect(), then, release: None, blocked: None,
        });
        let feature = Feature {
            r#type: ValueType::Boolean, variants: ["on", "off", "other"].map(|name| (name.to_owned(), json!(name == "on"))).into(), off: "off".to_owned(),
            killed: None, claims: vec![], baseline: rules.collect(), default: "other".to_owned(), prerequisites: vec![], dark: None,
        };
        let mut model = Model::new("production", 1);
        model.cohorts = ["staff", "beta"].map(|name| (name.to_owned(), staff.clone())).into();
        model.features.insert("f".to_owned(), Arc::new(feature));
        let snapshot = Snapshot::compile(&model).0;
        for context in &contexts {
            let answer = snapshot.evaluate("f", &Json(context));
            prop_assert_eq!(answer.as_ref().map(Explained::from), snapshot.explain("f", &Json(context)).map(|explanation| explanation.answer));
        }
    }

    /// A chain of changes ends where a compile of the whole would, and every answer agrees with its explanation.
    #[test]
    fn changing_is_compiling_anew(changes in vec(change(), 1..6), contexts in vec(context(), 1..6)) {
        let mut model = Model::new("production", 0);
        let mut snapshot = Snapshot::empty("production", 0);
        let mut loaded = snapshot.clone();
        for (revision, change) in (1..).zip(changes) {
            let change = Change { revision, ..change };
            model.apply(&change);
            let before = (snapshot.model(), snapshot.clone());
            snapshot = snapshot.with(&change).0;
            prop_assert_eq!(&before.0, &before.1.model(), "an old snapshot must not change");
            prop_assert_eq!(snapshot.change_from(&before.1), model.change_from(&before.0));

            let (anew, warnings) = Snapshot::compile(&model);
            // from its bytes, from its JSON, and what the same change makes of the one before that came from bytes
            let bytes = snapshot.to_bytes();
            prop_assert_eq!(&loaded.with(&change).0.to_bytes(), &bytes);
            prop_assert_eq!(&anew.to_bytes(), &bytes);
            let (read, of_json) = Snapshot::read(&serde_json::to_vec(&model).unwrap()).unwrap();
            prop_assert_eq!((&read.to_bytes(), &of_json), (&bytes, &warnings));
            let (from_bytes, of_bytes) = Snapshot::from_bytes(&bytes).unwrap();
            prop_assert_eq!((&from_bytes.to_bytes(), &of_bytes, &from_bytes.model()), (&bytes, &warnings, &model));
            loaded = from_bytes;
            prop_assert_eq!(snapshot.model(), model.clone());
            prop_assert_eq!((snapshot.revision(), snapshot.len()), (anew.revision(), anew.len()));
            prop_assert_eq!(as_set(snapshot.warnings()), as_set(anew.warnings()));
            prop_assert_eq!(as_set(snapshot.warnings()), as_set(warnings));
            for key in ["a", "b", "c", "d", "e", "f"] {
                prop_assert_eq!(snapshot.needs_targeting_key(key), anew.needs_targeting_key(key));
                for context in &contexts {
                    let context = Json(context);
                    let answer = snapshot.evaluate(key, &context);
                    let explanation = snapshot.explain(key, &context);
                    prop_assert_eq!(answer.as_ref().map(Explained::from), explanation.as_ref().map(|e| e.answer.clone()));
                    prop_assert_eq!(&explanation, &anew.explain(key, &context));
                    prop_assert_eq!(&explanation, &loaded.explain(key, &context));
                    prop_assert_eq!(loaded.evaluate(key, &context).as_ref().map(Explained::from), answer.as_ref().map(Explained::from));
                    let handle = snapshot.resolve(key).and_then(|handle| snapshot.evaluate_handle(handle, &context));
                    prop_assert_eq!(handle.as_ref().map(Explained::from), answer.as_ref().map(Explained::from));
                    let Some(answer) = answer else { continue };
                    prop_assert!(!answer.needs_targeting_key() || snapshot.needs_targeting_key(key));
                    prop_assert!(answer.reason() != Reason::Disabled || answer.blocked_by().is_some());
                    let mut wire = Vec::new();
                    write_answer(&mut wire, &snapshot, &answer);
                    let read: Success = serde_json::from_slice(&wire).unwrap();
                    prop_assert_eq!((read.key.as_str(), read.value.as_ref()), (key, Some(answer.value())));
                    prop_assert_eq!(read.variant.as_deref(), Some(answer.variant()));
                    prop_assert_eq!(answer.boolean(), answer.value().as_bool());
                    // what Unleash's frontend API lists is what an SDK would say
                    let (mut shown, said) = (Vec::new(), unleash::said(Some(answer)));
                    prop_assert_eq!(unleash::write_shown(&mut shown, &answer), said.enabled);
                    let listed = said.enabled.then(|| json!({"name": key, "enabled": true, "variant": said.variant, "impressionData": false}));
                    prop_assert_eq!(serde_json::from_slice::<Value>(&shown).ok(), listed);
                }
            }
        }
    }

    #[test]
    fn the_canonical_form_survives_its_json(change in change()) {
        let mut model = Model::new("test", 1);
        model.apply(&change);
        let json = serde_json::to_string(&model).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Model>(&json).unwrap(), &model);
        prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<Model>(&json).unwrap()).unwrap(), json);
    }

    /// Outside production and inside: a growing share, or stage after stage, never takes anyone out.
    #[test]
    fn growing_moves_no_one_out(salt in ".{0,12}", value in ".{1,12}", mut percents in vec(0_u32..=100, 2), unleash: bool) {
        percents.sort_unstable();
        let algorithm = if unleash { Algorithm::Unleash } else { Algorithm::M3 };
        let served: Vec<bool> = percents.iter().map(|percent| shown(&salt, percent * 1_000, algorithm, &value)).collect();
        prop_assert!(!served[0] || served[1], "{percents:?}");
        prop_assert!(!shown(&salt, 0, algorithm, &value) && shown(&salt, 100_000, algorithm, &value));
    }

    #[test]
    fn a_request_is_read_or_refused(body in vec(any::<u8>(), 0..64), text in ".{0,64}") {
        drop(read_request(&body));
        drop(read_request(text.as_bytes()));
        drop(read_request(format!("{{\"context\":{text}}}").as_bytes()));
    }

    #[test]
    fn a_context_reads_the_same_borrowed_or_parsed(context in context(), changes in vec(change(), 1..3)) {
        let mut model = Model::new("test", 1);
        changes.iter().for_each(|change| model.apply(change));
        let (snapshot, _) = Snapshot::compile(&model);
        let body = serde_json::to_vec(&json!({"context": context})).unwrap();
        let borrowed = read_request(&body).unwrap();
        for (key, _) in snapshot.features() {
            prop_assert_eq!(snapshot.explain(key, &borrowed), snapshot.explain(key, &Json(&context)));
        }
    }
}

fn rollout(salt: &str, share: u32, algorithm: Algorithm) -> Arc<Feature> {
    let clause = Share { salt: salt.to_owned(), share, algorithm, attribute: TARGETING_KEY.to_owned() };
    Arc::new(Feature {
        r#type: ValueType::Boolean,
        variants: [("on".to_owned(), json!(true)), ("off".to_owned(), json!(false))].into(),
        off: "off".to_owned(),
        killed: None,
        claims: vec![Rule { name: "stage".to_owned(), when: vec![Clause::Share(clause)], then: Outcome::Variant("on".to_owned()), release: None, blocked: None }],
        baseline: vec![],
        default: "off".to_owned(),
        prerequisites: vec![],
        dark: None,
    })
}

fn snapshot_of(features: impl IntoIterator<Item = (&'static str, Arc<Feature>)>) -> Snapshot {
    let mut model = Model::new("production", 1);
    model.features = features.into_iter().map(|(key, feature)| (key.to_owned(), feature)).collect();
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert_eq!(warnings, []);
    snapshot
}

fn shown(salt: &str, share: u32, algorithm: Algorithm, user: &str) -> bool {
    on(&snapshot_of([("f", rollout(salt, share, algorithm))]), "f", user)
}

fn on(snapshot: &Snapshot, key: &str, user: &str) -> bool {
    let caller = Pairs { targeting_key: Some(user), attributes: &[("n", Attribute::Number(1.0))] };
    snapshot.evaluate(key, &caller).unwrap().variant() == "on"
}

/// A release's salt gives its users all of it or none; another salt draws anew.
#[test]
fn equal_salts_take_the_same_users() {
    let snapshot =
        snapshot_of([("one", rollout("autumn", 10_000, Algorithm::M3)), ("two", rollout("autumn", 10_000, Algorithm::M3)), ("three", rollout("spring", 10_000, Algorithm::M3))]);
    let users: Vec<String> = (0..10_000).map(|n| format!("user-{n}")).collect();
    let served = |key: &str| -> BTreeSet<&String> { users.iter().filter(|user| on(&snapshot, key, user)).collect() };
    let (one, three) = (served("one"), served("three"));
    assert_eq!(one, served("two"));
    // Exact: a change of these numbers would move people.
    assert_eq!((one.len(), three.len(), one.intersection(&three).count()), (1_046, 1_002, 121));
}

#[test]
fn a_handle_outlives_changes_but_not_its_feature() {
    let first = snapshot_of([("a", rollout("s", 0, Algorithm::M3)), ("b", rollout("s", 100_000, Algorithm::M3))]);
    let (a, b) = (first.resolve("a").unwrap(), first.resolve("b").unwrap());
    let caller = Pairs { targeting_key: Some("user-1"), attributes: &[] };
    let put = |key: &str| [(key.to_owned(), rollout("s", 100_000, Algorithm::M3))].into();
    let (second, _) = first.with(&Change { revision: 2, put: put("a"), ..Change::default() });
    assert_eq!(second.evaluate_handle(a, &caller).unwrap().variant(), "on");
    assert_eq!(first.evaluate_handle(a, &caller).unwrap().variant(), "off");

    // The slot of `a` goes to `c`, for which the handle of `a` must not answer.
    let (third, _) = second.with(&Change { revision: 3, drop: vec!["a".to_owned()], put: put("c"), ..Change::default() });
    assert_eq!(third.resolve("c").unwrap().index(), a.index());
    assert!(third.evaluate_handle(a, &caller).is_none());
    assert_eq!(third.evaluate_handle(b, &caller).unwrap().key(), "b");
    assert_eq!(third.len(), 2);
}
