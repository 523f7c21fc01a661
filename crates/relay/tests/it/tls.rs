//! An upstream behind TLS.

use std::path::PathBuf;
use std::sync::Arc;

use greenroom_follow::{Broken, Contact, NoAuthorities, NoUpstream, unix_now};
use greenroom_relay::{Options, StartError};
use greenroom_sdk::Greenroom;

use crate::front::{file, terminate};
use crate::host::{Host, key};
use crate::{ANYONE, Relay, at, eventually, free, options};

#[tokio::test]
async fn relays_and_applications_follow_over_tls() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let url = terminate(&host.url()).await;
    let relay = Relay::start_with(&free(), "edge", &url, dir.path(), Arc::new(unix_now), |options| options.authorities = Some(file("authority.pem"))).await;
    relay.at(41).await;
    let shop = Greenroom::connect(options(&url, "shop-1").authorities(file("authority.pem"))).await.unwrap();
    at(&shop, 41).await;
    host.publish(42, false);
    at(&shop, 42).await;
    relay.at(42).await;
    assert!(!shop.boolean("plain", &ANYONE, true));
    eventually(async || (host.presence.acknowledged("production", 42).acknowledged == 2).then_some(())).await;
}

#[tokio::test]
async fn an_upstream_whose_certificate_nobody_vouches_for_is_not_followed() {
    let host = Host::start();
    let url = terminate(&host.url()).await;
    let lost = async |url: &str, authority: &str| {
        let pace = greenroom_follow::Pace { patience: std::time::Duration::from_millis(1), ..crate::quick() };
        let shop = Greenroom::connect(options(url, "shop-1").authorities(file(authority)).pace(pace)).await.unwrap();
        let mut state = shop.state();
        let lost = tokio::time::timeout(crate::PATIENCE, state.wait_for(|state| matches!(state.contact, Contact::Lost(_)))).await.unwrap().unwrap().clone();
        match lost.contact {
            Contact::Lost(why) if matches!(*why, Broken::Untrusted(_)) => why.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let unknown = lost(&url, "another.pem").await;
    assert!(unknown.contains("signed by no authority that this machine believes"), "{unknown}");
    // it is good for `localhost`, and for nothing else that leads to the same place
    let other = lost(&url.replace("localhost", "127.0.0.1"), "authority.pem").await;
    assert!(other.contains("is not for `127.0.0.1`, but for localhost"), "{other}");
}

#[tokio::test]
async fn authorities_that_do_not_read_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |authorities: PathBuf| {
        let options = Options::new("https://localhost:1", vec!["gr_relay_1".to_owned()], key().parse().unwrap(), dir.path(), "127.0.0.1:0".parse().unwrap());
        greenroom_relay::start(Options { authorities: Some(authorities), ..options }).await.unwrap_err()
    };
    for name in ["nowhere.pem", "localhost.key"] {
        let error = start(file(name)).await;
        assert!(matches!(&error, StartError::Upstream(NoUpstream::Authorities(NoAuthorities::Unreadable { .. }))), "{name}: {error}");
    }
}
