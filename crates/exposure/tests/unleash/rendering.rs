//! What is handed out to SDKs says what we say: rendered, imported again and asked, it answers as the original does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use greenroom_exposure::model::{Algorithm, AttributeType, Clause, Cohort, Feature, Op, Outcome, Prerequisite, Rule, Share, Split, TARGETING_KEY, Test, ValueType};
use greenroom_exposure::wire::unleash::{Asker, Level, NONCE, Said, features, numbers, said};
use greenroom_exposure::{Evaluated, Model, Protocol, Snapshot, capabilities};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::{Specification, compiled};

/// Why the feature is not handed out; empty if it is.
fn because(snapshot: &Snapshot, key: &str) -> Vec<String> {
    let unleash = capabilities(snapshot, key).unwrap().into_iter().find(|capability| capability.protocol == Protocol::Unleash).unwrap();
    if unleash.evaluated == Evaluated::Remotely { unleash.because } else { Vec::new() }
}

/// What comes back when all that an SDK of this level is handed is imported.
fn again(snapshot: &Snapshot, level: Level) -> Snapshot {
    let (again, refused) = compiled(&serde_json::to_string(&features(snapshot, level)).unwrap());
    assert_eq!(refused, BTreeSet::new(), "{}", serde_json::to_string_pretty(&features(snapshot, level)).unwrap());
    again
}

/// An SDK has a clock of its own.
fn ask(snapshot: &Snapshot, numbers: &BTreeSet<String>, key: &str, context: &Map<String, Value>) -> Said {
    said(snapshot.evaluate(key, &Asker::new(context.clone()).or(NONCE, "4711").or("currentTime", "2026-07-01T00:00:00Z").with_numbers(numbers)))
}

/// Features that an SDK is handed at some level and at no lower one, and those it never is.
fn agree(snapshot: &Snapshot, contexts: &[Map<String, Value>]) -> (BTreeMap<Level, usize>, Vec<String>) {
    let ours = numbers(snapshot);
    let mut known = BTreeSet::new();
    let mut first: BTreeMap<Level, usize> = BTreeMap::new();
    for level in Level::ALL {
        let again = again(snapshot, level);
        let theirs = numbers(&again);
        for (key, _) in again.features() {
            *first.entry(level).or_default() += usize::from(known.insert(key.to_owned()));
            for context in contexts {
                let (here, there) = (ask(snapshot, &ours, key, context), ask(&again, &theirs, key, context));
                assert_eq!(
                    here,
                    there,
                    "{key} for {context:?}:\n{:#?}\nas\n{:#?}",
                    snapshot.feature(key),
                    features(snapshot, level).features.iter().find(|toggle| toggle.name == key)
                );
            }
        }
        assert!(known.iter().all(|key| again.feature(key).is_some()), "a higher level is handed all that a lower one is");
    }
    for (key, _) in snapshot.features() {
        assert_eq!(known.contains(key), because(snapshot, key).is_empty(), "the report agrees with what is handed out: {key}");
    }
    (first, snapshot.features().filter(|(key, _)| !known.contains(*key)).map(|(key, _)| key.to_owned()).collect())
}

#[test]
fn what_the_specification_imports_is_handed_out_again() {
    let (mut handed, mut withheld) = (BTreeMap::new(), BTreeMap::new());
    for (specification, text) in Specification::all() {
        let (snapshot, _) = compiled(&text);
        let users = (0..40).map(|n| Map::from_iter([("userId".to_owned(), json!(n.to_string()))]));
        let contexts: Vec<Map<String, Value>> = specification.cases().map(|case| case.context.clone()).chain(users).collect();
        let (levels, kept) = agree(&snapshot, &contexts);
        levels.into_iter().for_each(|(level, count)| *handed.entry(level).or_insert(0) += count);
        withheld.extend(kept.into_iter().map(|key| (key.clone(), because(&snapshot, &key))));
    }
    let withheld: Vec<String> = withheld.into_iter().map(|(key, because)| format!("{key}: {}", because.join("; "))).collect();
    assert_eq!(withheld, WITHHELD);
    assert_eq!(handed, BTreeMap::from(HANDED));
}

/// Of the features of the specification, which SDKs evaluate and we do not hand out.
const WITHHELD: [&str; 2] = [
    r#"R02.perl_digit_class: `targetingKey regex "^user\\d{3}$"`: libraries differ in what `\d` means"#,
    r#"R04.word_boundary_ascii: `targetingKey regex "\\bcat\\b"`: libraries differ in what `\b` means"#,
];
const HANDED: [(Level, usize); 4] = [(Level::Bare, 69), (Level::Segments, 32), (Level::Variants, 27), (Level::Patterns, 16)];

fn unleash() -> impl Strategy<Value = Algorithm> {
    prop_oneof![9 => Just(Algorithm::Unleash), 1 => Just(Algorithm::M3)]
}

fn divider() -> impl Strategy<Value = String> {
    select(vec![TARGETING_KEY, TARGETING_KEY, "sessionId", NONCE, "tenant"]).prop_map(str::to_owned)
}

fn share() -> impl Strategy<Value = Share> {
    (select(vec!["autumn", "f"]), 0_u32..=100, unleash(), divider()).prop_map(|(salt, percent, algorithm, attribute)| Share {
        salt: salt.to_owned(),
        share: percent * 1_000,
        algorithm,
        attribute,
    })
}

fn test() -> impl Strategy<Value = Test> {
    let words = || vec(select(vec!["gold", "silver", "go", "2", "x"]), 1..4);
    let text_op = select(vec![Op::In, Op::In, Op::NotIn, Op::StartsWith, Op::EndsWith, Op::Contains, Op::Present, Op::Absent]);
    let texts = (select(vec!["plan", "plan", "tenant", TARGETING_KEY]), text_op, words(), prop::bool::weighted(0.2)).prop_map(|(attribute, op, values, ignore_case)| {
        let values = if matches!(op, Op::Present | Op::Absent) { Vec::new() } else { values };
        let ignore_case = ignore_case && !values.is_empty();
        Test { attribute: attribute.to_owned(), op, values: values.into_iter().map(Into::into).collect(), ignore_case }
    });
    let single = |op, attribute: &str, value: &str| Test { attribute: attribute.to_owned(), op, values: vec![value.into()], ignore_case: false };
    let versions = select(vec![Op::SemverEq, Op::SemverLt, Op::SemverLe, Op::SemverGt, Op::SemverGe]).prop_map(move |op| single(op, "version", "1.2.0"));
    let patterns = select(vec!["^g", "o.?l", "\\d"]).prop_map(move |pattern| single(Op::Regex, "plan", pattern));
    let dates = select(vec![Op::Before, Op::After]).prop_map(move |op| single(op, "currentTime", "2026-06-01T00:00:00Z"));
    let networks = select(vec!["10.0.0.0/8", "10.1.2.3", "2001:db8::/32"]).prop_map(move |network| single(Op::Cidr, "remoteAddress", network));
    let number_op = select(vec![Op::Eq, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::In, Op::NotIn, Op::Present, Op::Absent]);
    let numbers = (select(vec!["age", "seats"]), number_op, 0..5_i64).prop_map(|(attribute, op, value)| Test {
        attribute: attribute.to_owned(),
        op,
        values: if matches!(op, Op::Present | Op::Absent) { Vec::new() } else { vec![value.into()] },
        ignore_case: false,
    });
    prop_oneof![6 => texts, 1 => versions, 1 => patterns, 1 => dates, 1 => networks, 3 => numbers]
}

fn plain_clause() -> impl Strategy<Value = Clause> {
    prop_oneof![3 => test().prop_map(Clause::Test), 1 => test().prop_map(Clause::Not)]
}

fn clause() -> impl Strategy<Value = Clause> {
    prop_oneof![6 => plain_clause(), 1 => share().prop_map(Clause::Share), 1 => select(vec!["staff", "segment-7"]).prop_map(Clause::cohort)]
}

fn cohort() -> impl Strategy<Value = Arc<Cohort>> {
    vec(vec(plain_clause(), 0..3), 0..3).prop_map(|any_of| Arc::new(Cohort { version: 1, any_of, internal: false }))
}

fn variant() -> impl Strategy<Value = String> {
    select(vec!["on", "on", "on", "other", "other", "off"]).prop_map(str::to_owned)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let drawn = (select(vec!["autumn", "f"]), divider(), vec((select(vec!["on", "other", "on", "other", "off"]), 0_u32..51), 1..3)).prop_map(|(salt, attribute, weights)| Split {
        salt: salt.to_owned(),
        algorithm: Algorithm::UnleashVariant,
        attribute,
        weights: weights.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect(),
    });
    let divided = (0_u32..=100, divider(), variant(), variant()).prop_map(|(first, attribute, one, other)| Split {
        salt: "autumn".to_owned(),
        algorithm: Algorithm::Unleash,
        attribute,
        weights: vec![(one, first), (other, 100 - first)],
    });
    prop_oneof![5 => variant().prop_map(Outcome::Variant), 1 => drawn.prop_map(Outcome::Split), 1 => divided.prop_map(Outcome::Split)]
}

fn rule() -> impl Strategy<Value = Rule> {
    (vec(clause(), 0..3), outcome(), option::weighted(0.1, Just("hold".to_owned()))).prop_map(|(when, then, blocked)| Rule {
        name: "rule".to_owned(),
        when,
        then,
        release: None,
        blocked,
    })
}

fn key() -> impl Strategy<Value = String> {
    "[f-i]".prop_map(String::from)
}

fn feature() -> impl Strategy<Value = Arc<Feature>> {
    let values = select(vec![
        (ValueType::Boolean, json!({"on": true, "other": true, "off": false})),
        (ValueType::String, json!({"on": "shown", "other": "\"else\"", "off": ""})),
        (ValueType::Float, json!({"on": 10, "other": 0.5, "off": 0})),
        (ValueType::Object, json!({"on": {"a": 1}, "other": {"a": 2}, "off": {}})),
    ]);
    let needed = (key(), vec(variant(), 1..3)).prop_map(|(feature, variants)| Prerequisite { feature, variants });
    let default = select(vec!["off", "off", "off", "on"]).prop_map(str::to_owned);
    (values, vec(rule(), 0..4), default, vec(needed, 0..2)).prop_map(|((r#type, variants), baseline, default, prerequisites)| {
        let variants: BTreeMap<String, Value> = serde_json::from_value(variants).unwrap();
        Arc::new(Feature { r#type, variants, off: "off".to_owned(), killed: None, claims: vec![], baseline, default, prerequisites, dark: None })
    })
}

fn model() -> impl Strategy<Value = Model> {
    (cohort(), cohort(), prop::collection::btree_map(key(), feature(), 1..4)).prop_map(|(one, other, features)| {
        let mut model = Model::new("production", 1);
        model.attributes.insert("seats".to_owned(), AttributeType::Number);
        model.cohorts = [("staff".to_owned(), one), ("segment-7".to_owned(), other)].into();
        model.features = features;
        model
    })
}

fn context() -> impl Strategy<Value = Map<String, Value>> {
    let among = |values: &[&str]| option::of(select(values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()));
    let user = option::weighted(0.8, (0..40_u32).prop_map(|n| format!("user-{n}")));
    let more = (
        among(&["10.1.2.3", "10.200.0.1", "192.168.0.1", "2001:db8::7", "here"]),
        among(&["2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z"]),
        among(&["1.2.0", "2.0.0-rc.1", "new"]),
    );
    let numbers = (among(&["0", "2", "4.5", "-1"]), among(&["0", "2", "4.5"]));
    (user, among(&["gold", "Gold", "silver", "go", "2"]), among(&["x", "gold", "2", "t-1"]), among(&["s-1", "s-2"]), more, numbers).prop_map(
        |(user, plan, tenant, session, (address, time, version), (age, seats))| {
            let given = [
                ("userId", user),
                ("plan", plan),
                ("tenant", tenant),
                ("sessionId", session),
                ("remoteAddress", address),
                ("currentTime", time),
                ("version", version),
                ("age", age),
                ("seats", seats),
            ];
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_handed_out_says_what_we_say(model in model(), contexts in vec(context(), 12)) {
        agree(&Snapshot::compile(&model).0, &contexts);
    }
}
