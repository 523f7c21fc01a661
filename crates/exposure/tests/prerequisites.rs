//! Prerequisites to any depth, on a stack that is small.

use std::sync::Arc;

use greenroom_exposure::model::{Blocked, Clause, Feature, Op, Outcome, Prerequisite, Rule, ValueType};
use greenroom_exposure::{Attribute, Change, Model, Pairs, Reason, Snapshot};
use serde_json::json;

const DEPTH: usize = 10_000;
const STACK: usize = 256 << 10;

fn key(at: usize) -> String {
    format!("link-{at:05}")
}

fn feature(needs: Option<usize>, when: Vec<Clause>) -> Feature {
    let on = Outcome::Variant("on".to_owned());
    Feature {
        r#type: ValueType::Boolean,
        variants: [("on".to_owned(), json!(true)), ("off".to_owned(), json!(false))].into(),
        off: "off".to_owned(),
        killed: None,
        claims: Vec::new(),
        baseline: vec![Rule { name: "rule".to_owned(), when, then: on, release: None, blocked: None }],
        default: "off".to_owned(),
        prerequisites: needs.map(|at| Prerequisite { feature: key(at), variants: vec!["on".to_owned()] }).into_iter().collect(),
        dark: None,
    }
}

/// Each link needs the one below it; the lowest asks this.
fn chain(when: Vec<Clause>) -> Snapshot {
    let mut model = Model::new("production", 1);
    model.features.insert(key(0), Arc::new(feature(None, when)));
    model.features.extend((1..DEPTH).map(|at| (key(at), Arc::new(feature(Some(at - 1), Vec::new())))));
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert_eq!(warnings, []);
    snapshot
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_chain_of_ten_thousand_asks_its_lowest_link() {
    on_a_small_stack(|| {
        let snapshot = chain(vec![Clause::test("plan", Op::In, ["gold"]), Clause::share("salt", 100_000)]);
        let top = key(DEPTH - 1);
        let of = |plan: &'static str| [("plan", Attribute::Text(plan))];
        let (gold, silver) = (of("gold"), of("silver"));
        let caller = |attributes| Pairs { targeting_key: Some("user-1"), attributes };

        let answer = snapshot.evaluate(&top, &caller(&gold)).unwrap();
        assert_eq!((answer.variant(), answer.reason()), ("on", Reason::TargetingMatch));
        let answer = snapshot.evaluate(&top, &caller(&silver)).unwrap();
        assert_eq!((answer.variant(), answer.blocked_by()), ("off", Some("prerequisite:link-09998")));
        let answer = snapshot.evaluate(&top, &caller(&[])).unwrap();
        assert_eq!((answer.variant(), answer.missing()), ("off", Some("plan")));
        assert!(snapshot.needs_targeting_key(&top));

        let explanation = snapshot.explain(&top, &caller(&gold)).unwrap();
        assert_eq!(explanation.answer.variant, "on");
        // Two clauses below; then each link says whether it holds, and that its rule is for everyone.
        assert_eq!(explanation.steps.len(), 2 + 2 * (DEPTH - 1));
    });
}

#[test]
fn what_is_known_beforehand_follows_every_change() {
    on_a_small_stack(|| {
        let mut snapshot = chain(Vec::new());
        let top = key(DEPTH - 1);
        let mut change = |put: Vec<(String, Feature)>, drop: Vec<String>| {
            let put = put.into_iter().map(|(key, feature)| (key, Arc::new(feature))).collect();
            snapshot = snapshot.with(&Change { revision: snapshot.revision() + 1, put, drop, ..Change::default() }).0;
            let anew = Snapshot::compile(&snapshot.model()).0;
            let answers = [&snapshot, &anew].map(|snapshot| {
                let answer = snapshot.evaluate(&top, &greenroom_exposure::Anonymous).unwrap();
                (answer.variant().to_owned(), answer.blocked_by().map(str::to_owned), answer.missing().map(str::to_owned))
            });
            assert_eq!(answers[0], answers[1]);
            (answers[0].0.clone(), answers[0].2.clone())
        };
        let (on, off) = (("on".to_owned(), None), ("off".to_owned(), None));

        assert_eq!(change(vec![], vec![]), on);
        let killed = Feature { killed: Some(Blocked { release: None, blocked_by: "killed".to_owned() }), ..feature(Some(4_999), Vec::new()) };
        assert_eq!(change(vec![(key(5_000), killed)], vec![]), off);
        assert_eq!(change(vec![(key(5_000), feature(Some(4_999), Vec::new()))], vec![]), on);
        assert_eq!(change(vec![], vec![key(0)]), off);
        assert_eq!(change(vec![(key(0), feature(None, vec![Clause::test("plan", Op::In, ["gold"])]))], vec![]), ("off".to_owned(), Some("plan".to_owned())));
        // A cycle of all: everyone is off, and no longer once it is broken.
        assert_eq!(change(vec![(key(0), feature(Some(DEPTH - 1), Vec::new()))], vec![]), off);
        assert_eq!(change(vec![(key(0), feature(None, Vec::new()))], vec![]), on);
    });
}

/// Who waits in the middle may be asked for again by others.
#[test]
fn a_prerequisite_may_be_shared() {
    let mut model = Model::new("production", 1);
    let needs = |names: &[&str], when| Feature {
        prerequisites: names.iter().map(|name| Prerequisite { feature: (*name).to_owned(), variants: vec!["on".to_owned()] }).collect(),
        ..feature(None, when)
    };
    let gold = || vec![Clause::test("plan", Op::In, ["gold"])];
    model.features = [
        ("base".to_owned(), Arc::new(needs(&[], gold()))),
        ("left".to_owned(), Arc::new(needs(&["base"], vec![]))),
        ("right".to_owned(), Arc::new(needs(&["base", "left"], vec![Clause::share("salt", 0)]))),
        ("top".to_owned(), Arc::new(needs(&["left", "right", "base"], vec![]))),
    ]
    .into();
    let snapshot = Snapshot::compile(&model).0;
    let gold = [("plan", Attribute::Text("gold"))];
    let caller = Pairs { targeting_key: None, attributes: &gold };
    let answer = snapshot.evaluate("top", &caller).unwrap();
    assert_eq!((answer.variant(), answer.blocked_by(), answer.needs_targeting_key()), ("off", Some("prerequisite:right"), true));
    let clauses: Vec<String> = snapshot.explain("top", &caller).unwrap().steps.into_iter().filter_map(|step| step.clause).collect();
    let base = ["plan in [\"gold\"]", "prerequisite base"];
    assert_eq!(clauses[..5], [&base[..], &["prerequisite left"], &base[..]].concat());
    assert_eq!(clauses[5..], [&base[..], &["prerequisite left", "share 0%", "prerequisite right"]].concat());
}
