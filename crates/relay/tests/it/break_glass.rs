//! Forced off at a relay: for everyone who asks through it, however they ask, and for a while only.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use greenroom_exposure::wire::follow::Forced;
use greenroom_follow::unix_now;
use greenroom_relay::OffError;
use greenroom_sdk::Greenroom;

use crate::host::Host;
use crate::{ANYONE, Relay, application, at, clock, eventually, free, ofrep, options};

const HOUR: Duration = Duration::from_secs(3_600);

/// Forces `plain` off, as soon as what the relay holds is on disk, too.
async fn off(data: &Path, reason: &str, now: u64) -> Forced {
    eventually(async || greenroom_relay::off(data, "plain", HOUR, reason, now).ok()).await
}

#[tokio::test]
async fn what_is_forced_off_is_off_for_all_behind_the_relay_until_the_clock_says_so() {
    let (host, dirs) = (Host::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let (time, clock) = clock();
    let address = free();
    let near = Relay::start_at(&address, "near", &host.url(), dirs[0].path(), clock.clone()).await;
    near.at(41).await;
    let far = Relay::start("far", &near.url, dirs[1].path()).await;
    far.at(41).await;
    let (shop, direct) = (application(&far.url, "shop-1").await, application(&host.url(), "shop-2").await);
    at(&shop, 41).await;
    at(&direct, 41).await;

    let now = time.load(Ordering::Relaxed);
    assert!(matches!(greenroom_relay::off(dirs[0].path(), "plian", HOUR, "payments fail", now), Err(OffError::NoFeature(_))));
    let forced = off(dirs[0].path(), "payments fail", now).await;
    assert_eq!(forced, Forced { feature: "plain".to_owned(), until: now + 3_600, relay: "near".to_owned(), reason: "payments fail".to_owned() });
    eventually(async || (!shop.boolean("plain", &ANYONE, true)).then_some(())).await;
    let answer = shop.evaluate("plain", &ANYONE).unwrap();
    assert_eq!(answer.blocked_by.as_deref(), Some("relay:near"));
    for relay in [&near, &far] {
        let answer = ofrep(&relay.url).await;
        assert_eq!((&answer["value"], &answer["metadata"]["blocked_by"]), (&false.into(), &"relay:near".into()));
    }
    assert!(direct.boolean("plain", &ANYONE, false), "who asks elsewhere is not concerned");
    eventually(async || (host.presence.forced("production") == std::slice::from_ref(&forced)).then_some(())).await;

    // a new revision does not undo it, nor does a restart
    host.publish(42, true);
    at(&shop, 42).await;
    assert!(!shop.boolean("plain", &ANYONE, true));
    near.stop().await;
    let near = Relay::start_at(&address, "near", &host.url(), dirs[0].path(), clock).await;
    assert_eq!(ofrep(&near.url).await["value"], false);
    at(&shop, 42).await;
    assert!(!shop.boolean("plain", &ANYONE, true));

    time.store(now + 3_600, Ordering::Relaxed);
    eventually(async || shop.boolean("plain", &ANYONE, false).then_some(())).await;
    assert_eq!(ofrep(&near.url).await["value"], true);
    eventually(async || host.presence.forced("production").is_empty().then_some(())).await;
}

/// It holds for those behind the relay also when it cannot be reached, and they start anew.
#[tokio::test]
async fn what_was_forced_off_on_the_way_outlives_a_restart_while_nobody_can_be_reached() {
    let (host, dirs) = (Host::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let address = free();
    let near = Relay::start_at(&address, "near", &host.url(), dirs[0].path(), clock().1).await;
    near.at(41).await;
    let (far, copy) = (Relay::start("far", &near.url, dirs[1].path()).await, dirs[2].path().join("production.json"));
    far.at(41).await;
    let shop = async || Greenroom::connect(options(&format!("http://{address}"), "shop-1").copy(&copy)).await.unwrap();
    let application = shop().await;
    off(dirs[0].path(), "payments fail", unix_now()).await;
    eventually(async || (!application.boolean("plain", &ANYONE, true)).then_some(())).await;
    eventually(async || (ofrep(&far.url).await["value"] == false).then_some(())).await;

    application.close().await;
    far.stop().await;
    near.stop().await;
    let (far, application) = (Relay::start("far", &format!("http://{address}"), dirs[1].path()).await, shop().await);
    let answer = ofrep(&far.url).await;
    assert_eq!((&answer["value"], &answer["metadata"]["blocked_by"]), (&false.into(), &"relay:near".into()));
    assert_eq!(application.evaluate("plain", &ANYONE).unwrap().blocked_by.as_deref(), Some("relay:near"));

    // it is back, and has lifted it
    assert!(greenroom_relay::lift(dirs[0].path(), "plain", unix_now()).unwrap());
    let _near = Relay::start_at(&address, "near", &host.url(), dirs[0].path(), clock().1).await;
    eventually(async || application.boolean("plain", &ANYONE, false).then_some(())).await;
    eventually(async || (ofrep(&far.url).await["value"] == true).then_some(())).await;
    application.close().await;
    assert_eq!(std::fs::read_to_string(dirs[2].path().join("production.json.forced")).unwrap(), "[]");
}

/// Pages that cache learn of it, although the revision is the same.
#[tokio::test]
async fn bulk_answers_are_told_apart_within_a_revision() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let relay = Relay::start("edge", &host.url(), dir.path()).await;
    relay.at(41).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let bulk = async |tag: &str| {
        let request = http.post(format!("{}/ofrep/v1/evaluate/flags", relay.url)).bearer_auth("gr_sdk_1").header("if-none-match", tag).body("{}");
        let response = request.send().await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (response.status().as_u16(), tag.unwrap_or_default())
    };
    let tag = eventually(async || Some(bulk("").await).filter(|(status, _)| *status == 200)).await.1;
    assert_eq!(bulk(&tag).await.0, 304);
    off(dir.path(), "", unix_now()).await;
    let other = eventually(async || Some(bulk(&tag).await).filter(|(status, _)| *status == 200)).await.1;
    assert_ne!(other, tag);
    assert!(greenroom_relay::lift(dir.path(), "plain", unix_now()).unwrap());
    eventually(async || (bulk(&tag).await.0 == 304).then_some(())).await;
}
