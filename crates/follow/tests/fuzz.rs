//! What comes over the wire or lies on disk is followed or refused, in bounded time and memory, and never with a panic: before
//! its signature is looked at, and behind a good one.
#![expect(unsafe_code, reason = "the harness counts what is allocated")]

#[path = "../../exposure/tests/fuzz/harness.rs"]
mod harness;
#[path = "../../exposure/tests/fuzz/seeds.rs"]
mod seeds;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use greenroom_exposure::Pairs;
use greenroom_follow::{Held, Key};

use crate::harness::fuzz;
use crate::seeds::{corpus, seeds, texts};

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn key() -> Key {
    STANDARD.encode(signing().verifying_key().as_bytes()).parse().unwrap()
}

fn envelope(snapshot: &str) -> String {
    let signature = STANDARD.encode(signing().sign(snapshot.as_bytes()).to_bytes());
    format!(r#"{{"snapshot":{snapshot},"signature":"{signature}"}}"#)
}

fn held() -> Vec<Held> {
    let read = |snapshot: &Vec<u8>| Held::whole(&envelope(str::from_utf8(snapshot).unwrap()), &key(), None, None);
    let held: Vec<Held> = corpus().iter().filter_map(|snapshot| read(snapshot).ok()).collect();
    assert!(!held.is_empty());
    held
}

/// Also what the copy on disk is: it is the same, and believed no more.
#[test]
fn envelopes() {
    let (key, before) = (key(), held());
    let seeds: Vec<Vec<u8>> = before.iter().map(Held::envelope).collect();
    fuzz(&seeds, 5_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(held) = Held::whole(&text, &key, None, None) {
            // nobody else could have signed it
            assert!(before.iter().any(|before| before.snapshot().model() == held.snapshot().model()));
        }
        let _ = Held::whole(&text, &key, Some(before[0].environment()), Some(&before[0]));
    });
}

/// As a control plane of another version might send it.
#[test]
fn what_is_signed() {
    let key = key();
    let seeds: Vec<Vec<u8>> = held().iter().map(|held| held.canonical().write()).collect();
    let mut read = 0;
    fuzz(&seeds, 3_000, |bytes| {
        if let Ok(held) = Held::whole(&envelope(&String::from_utf8_lossy(bytes)), &key, None, None) {
            read += 1;
            held.snapshot().evaluate_all(&Pairs::default()).for_each(drop);
            if held.canonical().write() == bytes {
                Held::whole(str::from_utf8(&held.envelope()).unwrap(), &key, None, None).unwrap();
            }
        }
    });
    assert!(read > seeds.len(), "some of what is mangled reads");
}

#[test]
fn deltas() {
    let (key, before) = (key(), held());
    fuzz(&texts(&seeds("delta.json")), 3_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for before in &before {
            let revision = before.revision();
            let text = text.replacen("\"from\":1", &format!("\"from\":{revision}"), 1).replacen("\"to\":2", &format!("\"to\":{}", revision + 1), 1);
            assert!(before.with(&text, &key).is_err(), "nobody has signed it");
        }
    });
}
