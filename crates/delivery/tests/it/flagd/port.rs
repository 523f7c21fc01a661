//! The port itself: plain HTTP with JSON, and connections of real clients.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use greenroom_delivery::flagd::serve;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::ports;
use crate::snapshot;

const BOOLEAN: &str = "/flagd.evaluation.v1.Service/ResolveBoolean";
const STREAM: &str = "/flagd.evaluation.v1.Service/EventStream";

async fn posted(port: &Router, path: &str, kind: &str, body: impl Into<Body>) -> (StatusCode, HeaderMap, Body) {
    let request = Request::post(path).header("content-type", kind).body(body.into()).unwrap();
    let (parts, body) = port.clone().oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body)
}

async fn asked(path: &str, body: &Value) -> (StatusCode, Value) {
    let (status, headers, answer) = posted(&ports().evaluation, path, "application/json", body.to_string()).await;
    assert_eq!((&headers["content-type"], &headers["access-control-allow-origin"]), (&"application/json".parse().unwrap(), &"*".parse().unwrap()));
    (status, serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap())
}

#[tokio::test]
async fn json_over_plain_http_is_answered() {
    let (status, answer) = asked(BOOLEAN, &json!({"flagKey": "shop/new-checkout", "context": {"plan": "gold"}})).await;
    assert_eq!((status, &answer["value"], &answer["variant"], &answer["reason"]), (StatusCode::OK, &json!(true), &json!("on"), &json!("TARGETING_MATCH")));
    assert_eq!(answer["metadata"]["revision"], 41);
    for (method, key, value) in [
        ("ResolveInt", "limit", json!("10")),
        ("ResolveFloat", "ratio", json!(10.0)),
        ("ResolveString", "greeting", json!("say \"hi\"")),
        ("ResolveObject", "theme", json!({"dark": true})),
    ] {
        let (_, answer) = asked(&format!("/flagd.evaluation.v2.Service/{method}"), &json!({"flag_key": key})).await;
        assert_eq!(answer["value"], value, "{method}");
    }
    let (_, all) = asked("/flagd.evaluation.v1.Service/ResolveAll", &json!({"context": {"targetingKey": "user-1"}})).await;
    assert_eq!((&all["flags"]["limit"]["doubleValue"], &all["flags"]["plain"]["boolValue"]), (&json!(10.0), &json!(true)));
}

#[tokio::test]
async fn errors_have_code_and_message() {
    for (body, expected, code) in [
        (json!({"flagKey": "nothing"}), StatusCode::NOT_FOUND, "not_found"),
        (json!({"flagKey": "greeting"}), StatusCode::BAD_REQUEST, "invalid_argument"),
        (json!("plain"), StatusCode::BAD_REQUEST, "invalid_argument"),
        (json!({"flagKey": "share"}), StatusCode::BAD_REQUEST, "failed_precondition"),
        (json!({"flagKey": "broken"}), StatusCode::INTERNAL_SERVER_ERROR, "data_loss"),
        (json!({"flagKey": "x".repeat(5_000)}), StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
    ] {
        let (status, answer) = asked(BOOLEAN, &body).await;
        assert_eq!((status, &answer["code"]), (expected, &json!(code)), "{body}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(asked("/flagd.evaluation.v1.Service/Unknown", &json!({})).await.0, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(posted(&ports().evaluation, BOOLEAN, "text/plain", "").await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let deep = format!(r#"{{"flagKey":"plain","context":{}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(posted(&ports().evaluation, BOOLEAN, "application/json", deep).await.0, StatusCode::BAD_REQUEST);
}

/// A page of another origin may ask, and follows by Connect's framing: flags, length, JSON.
#[tokio::test]
async fn a_page_may_ask_and_listen() {
    let ports = ports();
    let request = Request::options(STREAM).header("origin", "https://shop.example").body(Body::empty()).unwrap();
    let response = ports.evaluation.clone().oneshot(request).await.unwrap();
    assert!(response.headers()["access-control-allow-headers"].to_str().unwrap().contains("Connect-Protocol-Version"));

    let (status, headers, mut body) = posted(&ports.evaluation, STREAM, "application/connect+json", &b"\0\0\0\0\x02{}"[..]).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/connect+json".parse().unwrap()));
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let (flags, length) = (frame[0], u32::from_be_bytes(frame[1..5].try_into().unwrap()));
        assert_eq!(length as usize, frame.len() - 5);
        (flags, serde_json::from_slice::<Value>(&frame[5..]).unwrap())
    };
    assert_eq!(next().await, (0, json!({"type": "provider_ready", "data": {}})));
    ports.feeds.publish("production", snapshot("production", 42, false));
    let (_, change) = next().await;
    assert_eq!((&change["type"], &change["data"]["flags"]["plain"]), (&json!("configuration_change"), &json!({"type": "update"})));
    assert_eq!(change["data"]["flags"].as_object().unwrap().len(), 1, "it has just fetched everything");
    ports.feeds.close();
    let (flags, end) = next().await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unavailable")));
}

pub async fn served(router: Router) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener, router, async move {
        let _ = stopped.await;
    }));
    (address, stop, serving)
}

/// There are clients that ping with no call open, and give up on a server that minds.
#[tokio::test]
async fn pings_without_a_call_are_answered() {
    let (address, stop, serving) = served(ports().evaluation).await;
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_millis(5)).keep_alive_timeout(Duration::from_secs(2)).keep_alive_while_idle(true);
    let (mut client, connection) = builder.handshake::<_, http_body_util::Full<bytes::Bytes>>(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    // by gRPC's own rule three of them would be two too many
    let idle = tokio::time::timeout(Duration::from_millis(300), client.ready());
    assert!(idle.await.unwrap().is_ok());
    let quiet = tokio::time::sleep(Duration::from_millis(300)); // sleep: nothing is to happen for a while
    quiet.await;
    assert!(!connection.is_finished());
    let request = Request::post(BOOLEAN).header("content-type", "application/json").body(r#"{"flagKey":"plain"}"#.into()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::OK);

    drop(client);
    let _ = stop.send(());
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_streams_to_say_goodbye() {
    let ports = ports();
    let (address, stop, serving) = served(ports.evaluation.clone()).await;
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(STREAM).header("content-type", "application/connect+json").body(http_body_util::Full::<bytes::Bytes>::from(&b"\0\0\0\0\x02{}"[..])).unwrap();
    let mut stream = client.send_request(request).await.unwrap().into_body();
    stream.frame().await.unwrap().unwrap();
    let _ = stop.send(());
    ports.feeds.close();
    let mut last = bytes::Bytes::new();
    while let Some(Ok(frame)) = stream.frame().await {
        last = frame.into_data().ok().filter(|data| !data.is_empty()).unwrap_or(last);
    }
    assert!(last.ends_with(b"}}") && last.starts_with(&[2]), "{last:?}");
    serving.await.unwrap();
}
