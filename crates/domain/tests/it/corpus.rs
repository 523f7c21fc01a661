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
