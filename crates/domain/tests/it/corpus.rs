//! Events as they were written, once and for all: every version of Greenroom reads every line of the corpus.
//!
//! Lines are only ever added. A kind that gets a new version gets new lines, and a hop in `event.rs` for the old ones.

use std::collections::BTreeSet;

use greenroom_domain::actor::{Actor, Part};
use greenroom_domain::event::{DecodeError, Event};
use greenroom_domain::state::{Recorded, State};
use greenroom_domain::time::At;
use serde_json::Value;

const CORPUS: &str = include_str!("../../corpus/events-v1.jsonl");

fn lines() -> Vec<(String, u16, Value)> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let version = u16::try_from(line["version"].as_u64().unwrap()).unwrap();
        (line["kind"].as_str().unwrap().to_owned(), version, line["body"].take())
    };
    CORPUS.lines().map(line).collect()
}

#[test]
fn every_line_reads_and_what_is_current_is_written_the_same() {
    for (kind, version, body) in lines() {
        let event = Event::decode(&kind, version, &serde_json::to_vec(&body).unwrap()).unwrap_or_else(|e| panic!("{kind}/{version}: {e:?}"));
        assert_eq!(event.kind(), kind);
        if event.version() == version {
            let again: Value = serde_json::from_slice(&event.encode().unwrap()).unwrap();
            assert_eq!(again, body, "{kind}/{version}");
        }
        let subjects = event.subjects();
        assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), subjects.len(), "{kind}: each subject once");
        assert!(!subjects.is_empty() || kind == "erased", "{kind}");
    }
}

#[test]
fn every_kind_and_version_has_a_line() {
    let there: BTreeSet<(String, u16)> = lines().into_iter().map(|(kind, version, _)| (kind, version)).collect();
    let missing: Vec<_> = Event::KINDS.iter().filter(|(kind, version)| !there.contains(&((*kind).to_owned(), *version))).collect();
    assert!(missing.is_empty(), "add lines for {missing:?}: a body that was ever written must be read for ever");
}

#[test]
fn the_corpus_folds_in_any_order() {
    // `apply` is total: it takes whatever a ledger holds
    let events: Vec<Event> = lines().into_iter().map(|(kind, version, body)| Event::decode(&kind, version, body.to_string().as_bytes()).unwrap()).collect();
    for turn in 0..events.len() {
        let mut state = State::default();
        for (seq, event) in (1..).zip(events.iter().cycle().skip(turn).take(events.len())) {
            state.apply(&Recorded { seq, at: At(1_772_000_000_000_000), actor: Actor::System(Part::Host), event: event.clone() });
        }
        assert_eq!(state.seq, events.len() as u64);
    }
}

#[test]
fn what_is_not_known_is_said_so() {
    assert!(matches!(Event::decode("nothing.happened", 1, b"{}"), Err(DecodeError::UnknownKind { .. })));
    assert!(matches!(Event::decode("separation.set", 99, br#"{"on": true}"#), Err(DecodeError::UnknownKind { .. })));
    assert!(matches!(Event::decode("separation.set", 1, br#"{"on": 1}"#), Err(DecodeError::Body { .. })));
}

/// What someone asks the history of a thing for, years later. Subjects are hashed with their event: none comes later.
#[test]
fn every_event_is_found_by_what_it_concerns() {
    let of = |wanted: &str, field: &str| {
        let (kind, version, body) =
            lines().into_iter().find(|(kind, _, body)| kind == wanted && (field.is_empty() || !body[field].is_null())).unwrap_or_else(|| panic!("{wanted}"));
        Event::decode(&kind, version, body.to_string().as_bytes()).unwrap().subjects()
    };
    for (kind, field, wanted) in [
        ("release.planned", "", ["release/", "environment/", "feature/"].as_slice()),
        ("release.scope_changed", "", &["release/", "environment/", "feature/"]),
        ("release.armed", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.stage_started", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.refused", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.exposed", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.paused", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.resumed", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.withdrawing", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("withdrawal.partial", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.withdrawn", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.closed", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("release.cancelled", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("baseline.blocked", "features", &["release/", "environment/", "feature/checkout", "feature/basket", "service/"]),
        ("baseline.restored", "features", &["release/", "environment/", "feature/checkout", "feature/basket"]),
        ("need.contradicted", "", &["release/", "environment/", "service/web"]),
        ("need.restored", "", &["release/", "environment/", "service/web"]),
        ("feature.killed", "", &["feature/", "environment/", "release/spring"]),
        ("kill.partial", "", &["feature/checkout", "environment/production"]),
        ("kill.effective", "", &["feature/checkout", "environment/production"]),
        ("hold.set", "", &["hold/", "environment/"]),
        ("hold.lifted", "scope", &["hold/", "environment/production", "feature/checkout"]),
        ("check.recorded", "deployment", &["service/", "environment/", "check/", "build/", "deployment/dep_"]),
        ("rollout.moved", "", &["placement/", "environment/", "service/", "deployment/", "rollout/rol_", "build/"]),
        ("rollout.cancel_requested", "", &["deployment/", "rollout/rol_"]),
        ("placement.adopted", "", &["placement/", "environment/", "service/", "build/"]),
        ("placement.observed", "", &["placement/", "environment/", "service/"]),
        ("token.created", "", &["token/", "person/"]),
    ] {
        let subjects = of(kind, field);
        let missing: Vec<_> = wanted.iter().filter(|w| !subjects.iter().any(|s| s.starts_with(**w))).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?} in {subjects:?}");
    }
}
