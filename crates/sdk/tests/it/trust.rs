//! What is believed, on the wire and on disk.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use greenroom_sdk::follow::{Broken, Contact, Pace, Refused};
use greenroom_sdk::{Greenroom, Invalid, NoAnswer, Options};

use crate::host::{Host, public_key};
use crate::{ANYONE, at, connect, options, quick, until};

const IMPATIENT: Pace = Pace { patience: Duration::from_millis(1), ..quick() };

#[tokio::test]
async fn what_another_key_signed_is_refused() {
    let host = Host::start();
    let other = STANDARD.encode(SigningKey::from_bytes(&[1; 32]).verifying_key().as_bytes());
    let greenroom = connect(Options::new(host.url(), "sdk-one", other).pace(IMPATIENT)).await;
    let state = until(&greenroom, |state| matches!(&state.contact, Contact::Lost(why) if matches!(**why, Broken::Refused(Refused::Signature)))).await;
    assert!(state.held.is_none());
    assert_eq!(greenroom.evaluate("plain", &ANYONE), Err(NoAnswer::NotReady));
    assert!(greenroom.boolean("plain", &ANYONE, true), "the application's own default");
}

#[tokio::test]
async fn another_environment_is_refused() {
    let host = Host::start();
    let greenroom = connect(options(&host).environment("test").pace(IMPATIENT)).await;
    until(&greenroom, |state| matches!(&state.contact, Contact::Lost(why) if matches!(**why, Broken::Refused(Refused::Environment { .. })))).await;
    assert_eq!(greenroom.evaluate("plain", &ANYONE), Err(NoAnswer::NotReady));
}

#[tokio::test]
async fn a_token_that_is_not_known_is_said_to_be() {
    let host = Host::start();
    let greenroom = connect(Options::new(host.url(), "other", public_key()).pace(IMPATIENT)).await;
    until(&greenroom, |state| matches!(&state.contact, Contact::Lost(why) if matches!(**why, Broken::Denied))).await;
}

#[tokio::test]
async fn a_start_with_nobody_to_follow_answers_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("production.json");
    let mut host = Host::start();
    let greenroom = connect(options(&host).copy(&file)).await;
    host.plane.publish(42, false);
    at(&greenroom, 42).await;
    greenroom.close().await;
    host.stop();

    let greenroom = connect(options(&host).copy(&file)).await;
    let state = greenroom.state().borrow().clone();
    assert_eq!(state.held.unwrap().revision(), 42);
    assert!(!greenroom.boolean("plain", &ANYONE, true));
    greenroom.close().await;

    // and goes on from there when there is
    let host = host.restart(43);
    let greenroom = connect(options(&host).copy(&file)).await;
    at(&greenroom, 43).await;
    assert!(greenroom.boolean("plain", &ANYONE, false));
}

#[tokio::test]
async fn a_copy_that_was_tampered_with_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("production.json");
    let mut host = Host::start();
    connect(options(&host).copy(&file)).await.close().await;
    let kept = fs::read_to_string(&file).unwrap();
    host.stop();

    for tampered in [kept.replace("\"default\":\"off\"", "\"default\":\"on\""), kept[..kept.len() / 2].to_owned(), String::new()] {
        assert_ne!(tampered, kept);
        fs::write(&file, &tampered).unwrap();
        let greenroom = connect(options(&host).copy(&file).pace(IMPATIENT)).await;
        assert_eq!(greenroom.evaluate("plain", &ANYONE), Err(NoAnswer::NotReady));
    }
    // one that holds is not used for another environment either
    fs::write(&file, &kept).unwrap();
    let greenroom = connect(options(&host).copy(&file).environment("test").pace(IMPATIENT)).await;
    assert_eq!(greenroom.evaluate("plain", &ANYONE), Err(NoAnswer::NotReady));
    let greenroom = connect(options(&host).copy(&file).pace(IMPATIENT)).await;
    assert!(greenroom.boolean("plain", &ANYONE, false));
}

/// A server set back to an older state does not set its followers back.
#[tokio::test]
async fn a_revision_never_goes_backwards() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    at(&greenroom, 41).await;
    let host = host.restart(40);
    until(&greenroom, |state| state.streams >= 2 && state.contact.is_live()).await;
    assert_eq!(greenroom.state().borrow().held.as_ref().unwrap().revision(), 41);
    host.plane.publish(42, false);
    at(&greenroom, 42).await;
}

#[tokio::test]
async fn options_that_cannot_be_right_are_refused() {
    let of = |url: &str, key: &str| Options::new(url, "sdk-one", key);
    let key = public_key();
    assert!(matches!(Greenroom::connect(of("greenroom.example", &key)).await, Err(Invalid::Upstream(_))));
    assert!(matches!(Greenroom::connect(of("http://127.0.0.1:1", "c2hvcnQ=")).await, Err(Invalid::Key(_))));
    assert!(matches!(Greenroom::connect(of("http://127.0.0.1:1", &key).instance("a b")).await, Err(Invalid::Instance(_))));
    assert!(matches!(Greenroom::connect(of("http://127.0.0.1:1", &key).build("shop@web", "1")).await, Err(Invalid::Build(_))));
}
