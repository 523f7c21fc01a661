//! What the control plane hears of those behind relays.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use greenroom_delivery::{Acknowledged, Counted};
use greenroom_follow::{Follower, Upstream, Wire};

use crate::host::{Host, key};
use crate::lossy::Lossy;
use crate::{ANYONE, Relay, application, at, eventually, quick};

/// Follows and acknowledges nothing.
fn laggard(url: &str) -> Follower {
    let upstream = Upstream {
        url: url.to_owned(),
        authorities: None,
        token: "gr_sdk_1".to_owned(),
        key: key().parse().unwrap(),
        environment: None,
        instance: "shop-9".to_owned(),
        relay: None,
        pace: quick(),
    };
    Follower::start(Wire::new(upstream).unwrap(), None, |_| {})
}

#[tokio::test]
async fn acknowledgements_are_summed_and_laggards_named() {
    let (host, dirs) = (Host::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let near = Relay::start("near", &host.url(), dirs[0].path()).await;
    near.at(41).await;
    let far = Relay::start("far", &near.url, dirs[1].path()).await;
    far.at(41).await;
    let (one, two) = (application(&near.url, "shop-1").await, application(&far.url, "shop-2").await);
    at(&one, 41).await;
    at(&two, 41).await;
    let slow = laggard(&far.url);
    let expected = |acknowledged: u64, laggards: Vec<String>| Acknowledged { in_contact: 5, acknowledged, laggards };
    // two relays and three applications, of which one acknowledges nothing
    let name = format!("{}/{}/shop-9", near.instance(), far.instance());
    eventually(async || (host.presence.acknowledged("production", 41) == expected(4, vec![name.clone()])).then_some(())).await;
    host.publish(42, false);
    eventually(async || (host.presence.acknowledged("production", 42) == expected(4, vec![name.clone()])).then_some(())).await;
    slow.close().await;
}

/// All are counted, and as many named as anyone reads.
#[tokio::test]
async fn of_many_laggards_a_hundred_are_named() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let relay = Relay::start("edge", &host.url(), dir.path()).await;
    relay.at(41).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut streams = Vec::new();
    while streams.len() < 120 {
        let request = http.get(format!("{}/api/v1/snapshot/stream", relay.url)).bearer_auth("gr_sdk_1").header("greenroom-instance", format!("shop-{}", streams.len()));
        // let in as soon as the relay has heard whom it may
        streams.extend(Some(request.send().await.unwrap()).filter(|stream| stream.status().is_success()));
    }
    let said = eventually(async || Some(host.presence.acknowledged("production", 41)).filter(|said| said.in_contact == 121 && said.acknowledged == 1)).await;
    let named = said.laggards.iter().filter(|name| name.starts_with(&format!("{}/shop-", relay.instance()))).count();
    assert_eq!((said.laggards.len(), named), (100, 100));
}

#[tokio::test]
async fn counts_are_summed_by_build() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let relay = Relay::start("edge", &host.url(), dir.path()).await;
    let (one, two) = (application(&relay.url, "shop-1").await, application(&relay.url, "shop-2").await);
    at(&one, 41).await;
    at(&two, 41).await;
    for shop in [&one, &two, &two] {
        shop.boolean("plain", &ANYONE, false);
    }
    let mut sums: HashMap<Counted, u64> = HashMap::new();
    let plain = Counted { environment: "production".into(), feature: "plain".into(), variant: "on".into(), build: Some("shop-web@1.2.0".into()) };
    eventually(async || {
        for (counted, count) in host.usage.take() {
            *sums.entry(counted).or_default() += count;
        }
        (sums == HashMap::from([(plain.clone(), 3)])).then_some(())
    })
    .await;
    one.close().await;
    two.close().await;
    relay.stop().await;
    assert_eq!((host.usage.take(), host.usage.dropped()), (HashMap::new(), 0));
}

/// On the way to the relay, and from it: each repeats what it was not answered to, and nothing is counted twice.
#[tokio::test]
async fn counts_whose_answer_is_lost_are_counted_once() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let far = Lossy::start(host.address()).await;
    let relay = Relay::start("edge", &far.url(), dir.path()).await;
    let near = Lossy::start(relay.address().to_string()).await;
    let shop = application(&near.url(), "shop-1").await;
    at(&shop, 41).await;
    eventually(async || (host.presence.acknowledged("production", 41).acknowledged == 2).then_some(())).await;
    for _ in 0..3 {
        [&near, &far].iter().for_each(|way| way.lose.store(1, Ordering::Relaxed));
        shop.boolean("plain", &ANYONE, false);
        eventually(async || (near.lose.load(Ordering::Relaxed) + far.lose.load(Ordering::Relaxed) == 0).then_some(())).await;
    }
    shop.close().await;
    relay.stop().await;
    assert_eq!((host.usage.take().into_values().sum::<u64>(), host.usage.dropped()), (3, 0));
}

#[tokio::test]
async fn who_is_no_relay_speaks_for_itself_alone() {
    let host = Host::start();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = r#"{"instance":"shop-1","revision":41,"relayed":{"in_contact":1000,"acknowledged":0}}"#;
    for (token, status) in [("gr_sdk_1", 403), ("gr_relay_1", 204), ("other", 401)] {
        let answer = http.post(format!("{}/api/v1/evaluators", host.url())).bearer_auth(token).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{token}");
    }
    for (token, status) in [("gr_sdk_1", 403), ("gr_relay_1", 200), ("other", 401)] {
        let answer = http.get(format!("{}/api/v1/relay/tokens", host.url())).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{token}");
    }
}
