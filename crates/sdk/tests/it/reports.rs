//! What the control plane hears: who has which revision, and how often which variant was given.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use greenroom_delivery::{Acknowledged, Counted};
use greenroom_sdk::Options;

use crate::host::{self, Host};
use crate::lossy::Lossy;
use crate::{ANYONE, GOLD, at, connect, eventually, options, quick};

fn acknowledged(in_contact: u64, acknowledged: u64, laggards: &[&str]) -> Acknowledged {
    Acknowledged { in_contact, acknowledged, laggards: laggards.iter().map(|name| (*name).to_owned()).collect() }
}

#[tokio::test]
async fn a_revision_is_acknowledged_by_name_when_it_is_answered_from() {
    let host = Host::start();
    let greenroom = connect(options(&host).instance("shop-1")).await;
    eventually(|| (host.plane.presence.acknowledged("production", 41) == acknowledged(1, 1, &[])).then_some(())).await;
    assert_eq!(host.plane.presence.acknowledged("production", 42), acknowledged(1, 0, &["shop-1"]));
    host.plane.publish(42, false);
    eventually(|| (host.plane.presence.acknowledged("production", 42) == acknowledged(1, 1, &[])).then_some(())).await;
    assert!(!greenroom.boolean("plain", &ANYONE, true), "what is acknowledged is answered from");
}

#[tokio::test]
async fn counts_come_now_and_then_and_the_last_at_the_end() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    let counted =
        |feature: &str, variant: &str| Counted { environment: "production".into(), feature: feature.into(), variant: variant.into(), build: Some("shop-web@1.2.0".into()) };
    for _ in 0..3 {
        assert!(greenroom.boolean("plain", &ANYONE, false));
    }
    let first = eventually(|| Some(host.plane.usage.take()).filter(|counts| !counts.is_empty())).await;
    assert_eq!(first, HashMap::from([(counted("plain", "on"), 3)]));

    greenroom.evaluate("gold", &GOLD).unwrap();
    greenroom.feature("gold").boolean(&ANYONE, true);
    greenroom.explain("gold", &ANYONE).unwrap();
    greenroom.boolean("unheard", &ANYONE, true);
    greenroom.close().await;
    assert_eq!(host.plane.usage.take(), HashMap::from([(counted("gold", "on"), 1), (counted("gold", "off"), 1)]));
    assert_eq!(host.plane.usage.dropped(), 0);
}

/// What is counted while nobody can be told is told later.
#[tokio::test]
async fn counts_outlive_a_break() {
    let mut host = Host::start();
    let greenroom = connect(options(&host)).await;
    at(&greenroom, 41).await;
    host.stop();
    crate::until(&greenroom, |state| !state.contact.is_live()).await;
    assert!(greenroom.boolean("plain", &ANYONE, false));
    let host = host.restart(41);
    let counts = eventually(|| Some(host.plane.usage.take()).filter(|counts| !counts.is_empty())).await;
    assert_eq!(counts.into_values().sum::<u64>(), 1);
}

/// The counts have arrived and the answer has not: they are said again, and counted once.
#[tokio::test]
async fn counts_whose_answer_is_lost_are_counted_once() {
    let host = Host::start();
    let lossy = Lossy::start(host.address()).await;
    let greenroom = connect(Options::new(lossy.url(), "sdk-one", host::public_key()).pace(quick())).await;
    eventually(|| (host.plane.presence.acknowledged("production", 41) == acknowledged(1, 1, &[])).then_some(())).await;
    for lost in [1, 3] {
        lossy.lose.store(lost, Ordering::Relaxed);
        greenroom.boolean("plain", &ANYONE, false);
        eventually(|| (lossy.lose.load(Ordering::Relaxed) == 0).then_some(())).await;
        greenroom.boolean("plain", &ANYONE, false);
    }
    greenroom.close().await;
    assert_eq!((host.plane.usage.take().into_values().sum::<u64>(), host.plane.usage.dropped()), (4, 0));
}

/// Two builds side by side, as in the middle of a rollout: the feature shows where its code runs.
#[tokio::test]
async fn exposure_can_depend_on_the_build_that_asks() {
    let host = Host::start();
    let (old, new) = (connect(options(&host).build("shop-web", "1.1.9")).await, connect(options(&host)).await);
    assert!(!old.boolean("new-build", &GOLD, true));
    assert!(new.boolean("new-build", &GOLD, false));
    let other = connect(options(&host).build("shop-cart", "1.2.0")).await;
    assert!(!other.boolean("new-build", &GOLD, true));
    // what the caller says counts first
    let told = [("app.version", greenroom_sdk::exposure::Attribute::Text("1.3.0"))];
    assert!(old.boolean("new-build", &greenroom_sdk::exposure::Pairs { targeting_key: None, attributes: &told }, false));
}
