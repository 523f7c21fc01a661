//! One behind the other: what is signed goes through unchanged, breaks heal, circles and long rows are refused.

use std::sync::Arc;

use greenroom_follow::{Broken, Contact, State, unix_now};

use crate::host::Host;
use crate::{ANYONE, Relay, application, at, eventually, free, ofrep};

async fn snapshot(url: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("{url}/api/v1/snapshot")).bearer_auth("gr_sdk_1").send().await.unwrap().text().await.unwrap()
}

/// The first events of a stream that someone opens who has `last`.
async fn events(url: &str, last: u64, end: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.get(format!("{url}/api/v1/snapshot/stream")).bearer_auth("gr_sdk_1").header("last-event-id", last);
    let mut response = request.send().await.unwrap();
    let mut text = String::new();
    while !text.contains(end) {
        text.push_str(str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    text.lines().filter(|line| line.starts_with("data: {")).collect()
}

#[tokio::test]
async fn what_is_signed_goes_through_two_unchanged() {
    let (host, dirs) = (Host::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let near = Relay::start("near", &host.url(), dirs[0].path()).await;
    near.at(41).await;
    let far = Relay::start("far", &near.url, dirs[1].path()).await;
    far.at(41).await;
    let state = far.until(|state| state.path.len() == 1).await;
    assert_eq!(&*state.path[0], "near");
    let shop = application(&far.url, "shop-1").await;
    at(&shop, 41).await;
    // somebody has to look, so that there is something that deltas are made from
    assert_eq!(snapshot(&far.url).await, snapshot(&host.url()).await);

    host.publish(42, false);
    at(&shop, 42).await;
    assert!(!shop.boolean("plain", &ANYONE, true));
    assert_eq!(snapshot(&far.url).await, snapshot(&host.url()).await);
    let delta = events(&far.url, 41, "\"to\":42").await;
    assert_eq!(delta, events(&host.url(), 41, "\"to\":42").await);
    assert!(delta.contains("\"from\":41"), "{delta}");
    assert_eq!(ofrep(&far.url).await["value"], false);
    assert_eq!(shop.state().borrow().path.iter().map(|name| name.to_string()).collect::<Vec<_>>(), ["near", "far"]);
}

/// What someone who watches over a relay is answered.
async fn health(url: &str, path: &str) -> (u16, String) {
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{url}/{path}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn it_is_ready_once_it_has_something_to_answer_from() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), format!("http://{}", free()));
    let relay = Relay::start("edge", &upstream, dir.path()).await;
    relay.until(|state| matches!(state.contact, Contact::Lost(_))).await;
    assert_eq!(health(&relay.url, "healthz").await, (200, "ok\n".to_owned()));
    let (status, why) = health(&relay.url, "readyz").await;
    assert!(status == 503 && why.starts_with("nothing is held yet of what token 1 of 1 reads: it cannot be reached"), "{status}: {why}");
}

#[tokio::test]
async fn while_the_upstream_is_gone_it_serves_on_even_after_a_restart() {
    let (mut host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let relay = Relay::start("edge", &host.url(), dir.path()).await;
    let shop = application(&relay.url, "shop-1").await;
    at(&shop, 41).await;
    host.stop();
    relay.until(|state| !state.contact.is_live()).await;
    assert_eq!(ofrep(&relay.url).await["value"], true);

    let address = relay.url.trim_start_matches("http://").to_owned();
    relay.stop().await;
    let relay = Relay::start_at(&address, "edge", &host.url(), dir.path(), Arc::new(unix_now)).await;
    assert_eq!(ofrep(&relay.url).await["value"], true, "who may ask was kept, too");
    assert_eq!(health(&relay.url, "readyz").await, (200, "ready\n".to_owned()));
    at(&shop, 41).await;

    let host = host.restart(43);
    host.publish(44, false);
    at(&shop, 44).await;
    assert!(!shop.boolean("plain", &ANYONE, true));
}

fn refused(state: &State) -> bool {
    matches!(&state.contact, Contact::Lost(why) if matches!(**why, Broken::Chain(_)))
}

#[tokio::test]
async fn a_circle_is_refused() {
    let (host, dirs) = (Host::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let addresses = [free(), free()];
    let urls = addresses.clone().map(|address| format!("http://{address}"));
    // both have followed the control plane before: they hold something, and know who may ask
    for (name, dir) in ["one", "two"].iter().zip(&dirs) {
        let relay = Relay::start(name, &host.url(), dir.path()).await;
        relay.at(41).await;
        eventually(async || (ofrep(&relay.url).await["value"] == true).then_some(())).await;
        relay.stop().await;
    }
    let one = Relay::start_at(&addresses[0], "one", &urls[1], dirs[0].path(), Arc::new(unix_now)).await;
    let two = Relay::start_at(&addresses[1], "two", &urls[0], dirs[1].path(), Arc::new(unix_now)).await;
    // whoever asks second learns that it would follow itself
    let (mut first, mut second) = (one.state(), two.state());
    tokio::time::timeout(crate::PATIENCE, async {
        tokio::select! {
            state = first.wait_for(refused) => drop(state),
            state = second.wait_for(refused) => drop(state),
        }
    })
    .await
    .expect("in time");
    // and serves what it holds all the same
    assert_eq!((ofrep(&one.url).await["value"].clone(), ofrep(&two.url).await["value"].clone()), (true.into(), true.into()));
}

#[tokio::test]
async fn a_fifth_in_a_row_is_refused() {
    let host = Host::start();
    let mut relays: Vec<Relay> = Vec::new();
    let dirs: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    for (at, dir) in dirs.iter().enumerate() {
        let upstream = relays.last().map_or_else(|| host.url(), |relay| relay.url.clone());
        let relay = Relay::start(&format!("relay-{at}"), &upstream, dir.path()).await;
        if at < 4 {
            relay.at(41).await;
        }
        relays.push(relay);
    }
    let state = relays[4].until(refused).await;
    assert!(state.held.is_none());
    host.publish(42, false);
    relays[3].at(42).await;
}

#[tokio::test]
async fn a_token_that_was_revoked_is_soon_good_for_nothing() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let relay = Relay::start("edge", &host.url(), dir.path()).await;
    eventually(async || (ofrep(&relay.url).await["value"] == true).then_some(())).await;
    host.tokens.0.lock().unwrap().retain(|token| *token != "gr_sdk_1");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    eventually(async || {
        let status = http.get(format!("{}/api/v1/snapshot", relay.url)).bearer_auth("gr_sdk_1").send().await.unwrap().status();
        (status == reqwest::StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}
