//! Everyone whom a control plane serves is served by a relay as well, and what is forced off there is off for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greenroom_follow::unix_now;
use greenroom_relay::{Admission, Options, Port, Service};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::host::Host;
use crate::{Relay, eventually, free};

const HOUR: Duration = Duration::from_secs(3_600);

/// With both ports of flagd's.
async fn edge(host: &Host, data: &Path) -> Relay {
    let port = |service| Port { environment: "production".to_owned(), service, address: "127.0.0.1:0".parse().unwrap(), admission: Admission::Anyone };
    let more = |options: &mut Options| options.flagd = [Service::Evaluation, Service::Sync].map(port).into();
    let relay = Relay::start_with(&free(), "edge", &host.url(), data, Arc::new(unix_now), more).await;
    relay.at(41).await;
    relay
}

fn http() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// Reads on until `wanted` has come.
async fn heard(stream: &mut Response, read: &mut String, wanted: &str) {
    let reading = async {
        while !read.contains(wanted) {
            let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
            read.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::time::timeout(crate::PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted} in {read}"));
}

#[tokio::test]
async fn unleash_is_served_through_a_relay_and_what_is_forced_off_is_off() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let (relay, http) = (edge(&host, dir.path()).await, http());
    let ask = async |path: &str| {
        let request = http.get(format!("{}{path}", relay.url)).header("authorization", "gr_sdk_1").header("unleash-client-spec", "6.1.0");
        request.send().await.unwrap()
    };
    let body = async |path: &str| serde_json::from_str::<Value>(&ask(path).await.text().await.unwrap()).unwrap_or_default();
    let enabled = |body: &Value| body["features"].as_array().and_then(|all| all.iter().find(|feature| feature["name"] == "plain")?["enabled"].as_bool());
    let shown = |body: &Value| body["toggles"].as_array().map(|all| all.iter().any(|toggle| toggle["name"] == "plain"));
    // let in as soon as the relay has heard whom it may
    eventually(async || (enabled(&body("/api/client/features").await) == Some(true)).then_some(())).await;
    assert_eq!(shown(&body("/api/frontend?userId=ann").await), Some(true));
    let (mut stream, mut read) = (ask("/api/client/streaming").await, String::new());
    heard(&mut stream, &mut read, "unleash-connected").await;
    heard(&mut stream, &mut read, "\n\n").await;
    read.clear();
    host.publish(42, true);
    host.publish(43, false);
    heard(&mut stream, &mut read, "id: 43").await;
    host.publish(44, true);
    heard(&mut stream, &mut read, "id: 44").await;
    heard(&mut stream, &mut read, "\n\n").await;

    read.clear();
    eventually(async || greenroom_relay::off(dir.path(), "plain", HOUR, "payments fail", unix_now()).ok()).await;
    eventually(async || (enabled(&body("/api/client/features").await) == Some(false)).then_some(())).await;
    assert_eq!(shown(&body("/api/frontend?userId=ann").await), Some(false));
    heard(&mut stream, &mut read, "\"enabled\":false").await;
    assert!(greenroom_relay::lift(dir.path(), "plain", unix_now()).unwrap());
    eventually(async || (enabled(&body("/api/client/features").await) == Some(true)).then_some(())).await;
}

#[tokio::test]
async fn flagd_is_served_through_a_relay_and_what_is_forced_off_is_off() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let (relay, http) = (edge(&host, dir.path()).await, http());
    let address = |service| relay.running.as_ref().unwrap().flagd.iter().find(|port| port.service == service).unwrap().address;
    let (evaluation, sync) = (address(Service::Evaluation), address(Service::Sync));
    let answer = async || {
        let request = http.post(format!("http://{evaluation}/flagd.evaluation.v1.Service/ResolveBoolean")).header("content-type", "application/json");
        let answer = request.body(json!({"flagKey": "plain", "context": {"targetingKey": "ann"}}).to_string()).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    assert_eq!(answer().await["value"], true);
    // one empty question in its envelope
    let request = http.post(format!("http://{sync}/flagd.sync.v1.FlagSyncService/SyncFlags")).header("content-type", "application/grpc").body(vec![0; 5]);
    let (mut stream, mut read) = (request.send().await.unwrap(), String::new());
    heard(&mut stream, &mut read, "\"plain\"").await;
    heard(&mut stream, &mut read, "\"other\"").await;

    eventually(async || greenroom_relay::off(dir.path(), "plain", HOUR, "payments fail", unix_now()).ok()).await;
    eventually(async || (answer().await["value"] == false).then_some(())).await;
    assert_eq!(answer().await["metadata"]["blocked_by"], "relay:edge");
    read.clear();
    heard(&mut stream, &mut read, "\"plain\"").await;
    host.publish(42, false);
    eventually(async || (answer().await["metadata"]["revision"] == 42).then_some(())).await;
}
