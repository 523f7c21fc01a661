//! Definitions for providers that evaluate themselves, and what is known of who has which.

use std::time::Duration;

use greenroom_delivery::Acknowledged;
use greenroom_delivery::flagd::Admission;
use greenroom_delivery::flagd::message::{AskDefinitions, AskMetadata, Definitions, Metadata};
use greenroom_exposure::Snapshot;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::Code;

use super::port::served;
use super::{Answers, Ports, call, fields, ports, ports_of};
use crate::{limits, snapshot};

const SYNC: &str = "/flagd.sync.v1.FlagSyncService/SyncFlags";
const FETCH: &str = "/flagd.sync.v1.FlagSyncService/FetchAllFlags";
const METADATA: &str = "/flagd.sync.v1.FlagSyncService/GetMetadata";

fn shop() -> AskDefinitions {
    AskDefinitions { provider_id: "shop-1".to_owned(), selector: String::new() }
}

fn read(definitions: &Definitions) -> Value {
    serde_json::from_str(&definitions.flag_configuration).unwrap()
}

impl Ports {
    /// Waits until presence says so: a stream tells it when what it gave has left.
    async fn known(&self, revision: u64, expected: &Acknowledged) {
        let said = || self.presence.acknowledged("production", revision);
        for _ in 0..500 {
            if said() == *expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
        }
        panic!("{:?} instead of {expected:?}", said());
    }
}

#[tokio::test]
async fn definitions_come_at_once_and_after_every_change_without_what_only_we_can_answer() {
    let ports = ports();
    let mut stream = Answers::<Definitions>::open(&ports.sync, SYNC, shop(), &[]).await.unwrap();
    let first = stream.next().await.unwrap();
    let flags = read(&first);
    let keys: Vec<&String> = flags["flags"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["greeting", "held", "limit", "plain", "ratio", "shop/new-checkout", "theme"]);
    assert_eq!(flags["metadata"], json!({"flagSetId": "production", "version": "41", "revision": 41}));
    assert_eq!(fields(first.sync_context.as_ref()), json!({}), "what stands there becomes part of every context");
    ports.feeds.publish("production", snapshot("production", 42, false));
    assert_eq!(read(&stream.next().await.unwrap())["flags"]["plain"]["defaultVariant"], "off");
    ports.feeds.close();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn definitions_can_be_fetched_and_metadata_is_empty() {
    let ports = ports();
    let fetched: Definitions = call(&ports.sync, FETCH, shop(), &[]).await.unwrap();
    assert_eq!(read(&fetched)["metadata"]["revision"], 41);
    let said: Metadata = call(&ports.sync, METADATA, AskMetadata {}, &[]).await.unwrap();
    assert_eq!(fields(said.metadata.as_ref()), json!({}));
    let status = call::<_, Metadata>(&ports.sync, "/flagd.sync.v1.FlagSyncService/Unknown", AskMetadata {}, &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_was_sent_last_is_what_is_known_of_a_stream() {
    let ports = ports();
    let mut one = Answers::<Definitions>::open(&ports.sync, SYNC, shop(), &[]).await.unwrap();
    let mut nameless = Answers::<Definitions>::open(&ports.sync, SYNC, AskDefinitions::default(), &[("authorization", "Bearer sdk-two")]).await.unwrap();
    one.next().await.unwrap();
    nameless.next().await.unwrap();
    let both = Acknowledged { in_contact: 2, acknowledged: 2, laggards: vec![] };
    ports.known(41, &both).await;
    assert_eq!(ports.presence.acknowledged("production", 42).laggards, ["sdk-two", "shop-1"]);
    ports.feeds.publish("production", snapshot("production", 42, false));
    ports.known(42, &both).await;
    drop(one);
    // a stream's end shows when something is sent
    ports.feeds.publish("production", snapshot("production", 43, true));
    while ports.presence.streams("production") > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
    }
}

/// One that does not read is sent one message, is not taken to have it, and then gets where we are.
#[tokio::test]
async fn who_does_not_read_holds_one_message_and_then_gets_the_latest() {
    let ports = ports();
    // more than the client's window takes
    let large = |revision: u64| {
        let mut model = snapshot("production", revision, true).model();
        let text = serde_json::from_value(json!({"type": "string", "variants": {"off": "x".repeat(200_000)}, "off": "off", "default": "off"})).unwrap();
        model.features.insert("large".to_owned(), text);
        ports.feeds.publish("production", Snapshot::compile(&model).0.into());
    };
    large(42);
    let (address, _stop, _serving) = served(ports.sync.clone()).await;
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let (mut client, connection) = builder.handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(SYNC).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(http_body_util::Full::<bytes::Bytes>::from(&b"\0\0\0\0\0"[..])).unwrap();
    let mut stream = client.send_request(request).await.unwrap().into_body();
    for revision in 43..=60 {
        large(revision);
        tokio::task::yield_now().await;
    }
    assert_eq!(ports.presence.acknowledged("production", 42).acknowledged, 0);
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    while messages.last() != Some(&60) {
        let frame = tokio::time::timeout(Duration::from_secs(5), stream.frame()).await.expect("more in time").unwrap().unwrap();
        bytes.extend_from_slice(&frame.into_data().unwrap());
        while let Some(length) = bytes.get(1..5).map(|length| u32::from_be_bytes(length.try_into().unwrap()) as usize).filter(|length| bytes.len() >= 5 + length) {
            let message = Definitions::decode(&bytes[5..5 + length]).unwrap();
            messages.push(read(&message)["metadata"]["revision"].as_u64().unwrap());
            bytes.drain(..5 + length);
        }
    }
    assert_eq!(messages, [42, 60]);
    ports.known(60, &Acknowledged { in_contact: 1, acknowledged: 1, laggards: vec![] }).await;
}

#[tokio::test]
async fn an_older_provider_sends_its_selector_in_the_request() {
    let with = |selector: &str| AskDefinitions { selector: selector.to_owned(), ..shop() };
    let port = ports().sync;
    let fetched = |selector| {
        let ask = with(selector);
        async { call::<_, Definitions>(&port, FETCH, ask, &[]).await.map_or_else(|status| status.code(), |_| Code::Ok) }
    };
    assert_eq!((fetched("production").await, fetched("flagSetId=production").await, fetched("other").await), (Code::Ok, Code::Ok, Code::NotFound));
    let status = Answers::<Definitions>::open(&port, SYNC, with("other"), &[]).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn without_a_token_or_an_environment_there_is_nothing() {
    let closed = ports_of("production", Admission::ByToken, limits()).sync;
    let new = ports_of("new", Admission::Anyone, limits()).sync;
    for (port, code) in [(&closed, Code::Unauthenticated), (&new, Code::Unavailable)] {
        assert_eq!(Answers::<Definitions>::open(port, SYNC, shop(), &[]).await.err().unwrap().code(), code);
        assert_eq!(call::<_, Definitions>(port, FETCH, shop(), &[]).await.unwrap_err().code(), code);
    }
    assert_eq!(call::<_, Metadata>(&closed, METADATA, AskMetadata {}, &[]).await.unwrap_err().code(), Code::Unauthenticated);
    let token = [("authorization", "Bearer sdk-one")];
    assert!(call::<_, Definitions>(&closed, FETCH, shop(), &token).await.is_ok());
}
