//! What Unleash SDKs are handed, told and asked.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use greenroom_delivery::Acknowledged;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tower::ServiceExt as _;

use crate::{Plane, Reply, large, plane, snapshot};

const FEATURES: &str = "/api/client/features";
const DELTA: &str = "/api/client/delta";
const ONE: (&str, &str) = ("authorization", "*:production.sdk-one");
const MODERN: (&str, &str) = ("unleash-client-spec", "6.1.0");

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

impl Plane {
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(get(path, headers)).await
    }

    async fn stream(&self, headers: &[(&str, &str)]) -> Response {
        let response = self.router.clone().oneshot(get("/api/client/streaming", headers)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }
}

fn names(body: &Value) -> Vec<&str> {
    body["features"].as_array().unwrap().iter().map(|feature| feature["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sdks_are_handed_what_they_can_evaluate() {
    let plane = plane();
    let reply = plane.get(FEATURES, &[ONE, MODERN]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let body = reply.json();
    // `share` is by an algorithm of ours, `broken` cannot be served
    assert_eq!(names(&body), ["greeting", "held", "limit", "plain", "ratio", "shop/new-checkout", "theme"]);
    assert_eq!((&body["version"], &body["features"][1]), (&json!(2), &json!({"name": "held", "enabled": false, "strategies": []})));
    // an SDK that names no specification knows nothing of variants
    assert_eq!(names(&plane.get(FEATURES, &[ONE]).await.json()), ["held", "plain", "shop/new-checkout"]);

    let one = plane.get("/api/client/features/shop%2Fnew-checkout", &[ONE, MODERN]).await;
    assert_eq!(one.json(), body["features"][5]);
    let none = plane.get("/api/client/features/share", &[ONE, MODERN]).await;
    assert_eq!((none.status, &none.json()["name"]), (StatusCode::NOT_FOUND, &json!("NotFoundError")));
}

#[tokio::test]
async fn a_token_names_its_environment_or_nothing() {
    let plane = plane();
    for (token, status) in [
        ("*:production.sdk-one", 200),
        ("default:production.sdk-one", 200),
        ("sdk-one", 200),
        ("Bearer *:production.sdk-one", 200),
        ("*:test.sdk-one", 403),
        ("*:production.sdk-test", 403),
        ("*:production.admin", 403),
        ("*:production.stranger", 401),
        ("*:new.sdk-new", 503),
        ("", 401),
    ] {
        for path in [FEATURES, DELTA, "/api/client/streaming", "/api/frontend"] {
            let response = plane.router.clone().oneshot(get(path, &[("authorization", token)])).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path} as `{token}`");
            if matches!(status, 401 | 403) {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let told: Value = serde_json::from_slice(&body).unwrap();
                assert!(told["errorDetails"].as_str().is_some_and(|text| text.contains("token")), "{path} as `{token}`: {told}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_new_is_304_and_acknowledges() {
    let plane = plane();
    let me = ("unleash-connection-id", "me");
    let known = plane.get(FEATURES, &[ONE, MODERN, me]).await.header("etag").to_owned();
    assert_eq!(plane.presence.acknowledged("production", 41), Acknowledged { in_contact: 1, acknowledged: 1, laggards: vec![] });
    let same = plane.get(FEATURES, &[ONE, MODERN, me, ("if-none-match", &known)]).await;
    assert_eq!((same.status, same.text.as_str(), same.header("etag")), (StatusCode::NOT_MODIFIED, "", known.as_str()));
    assert_eq!(plane.presence.acknowledged("production", 41).acknowledged, 1);
    assert_eq!(plane.get(FEATURES, &[ONE, ("if-none-match", &known)]).await.status, StatusCode::OK, "another level is another answer");

    // a revision that brings SDKs nothing is acknowledged by who has the one before
    plane.feeds.publish("production", snapshot("production", 42, true));
    let moved = plane.get(FEATURES, &[ONE, MODERN, me, ("if-none-match", &known)]).await;
    assert_eq!((moved.status, moved.header("etag").starts_with("\"42-")), (StatusCode::NOT_MODIFIED, true));
    assert_eq!(plane.presence.acknowledged("production", 42).acknowledged, 1);

    plane.feeds.publish("production", snapshot("production", 43, false));
    assert_eq!(plane.get(FEATURES, &[ONE, MODERN, me, ("if-none-match", &known)]).await.status, StatusCode::OK);
    assert_eq!(plane.presence.acknowledged("production", 43).acknowledged, 1);
}

/// An answer that did not arrive, or that the SDK could not read: it says so by coming back with what it has.
#[tokio::test]
async fn what_an_sdk_says_it_has_counts_more_than_what_it_was_given() {
    let plane = plane();
    let (me, laggard) = (("unleash-connection-id", "me"), Acknowledged { in_contact: 1, acknowledged: 0, laggards: vec!["sdk-one".to_owned()] });
    for (path, next) in [(FEATURES, 42), (DELTA, 43)] {
        let known = plane.get(path, &[ONE, MODERN, me]).await.header("etag").to_owned();
        plane.feeds.publish("production", snapshot("production", next, next % 2 == 1));
        let given = plane.get(path, &[ONE, MODERN, me, ("if-none-match", &known)]).await.header("etag").to_owned();
        assert_eq!(plane.presence.acknowledged("production", next).acknowledged, 1, "{path}");
        for _ in 0..2 {
            plane.get(path, &[ONE, MODERN, me, ("if-none-match", &known)]).await;
            assert_eq!(plane.presence.acknowledged("production", next), laggard, "{path}");
        }
        plane.get(path, &[ONE, MODERN, me, ("if-none-match", &given)]).await;
        assert_eq!(plane.presence.acknowledged("production", next).acknowledged, 1, "{path}");
    }
}

#[tokio::test]
async fn deltas_lead_from_one_revision_to_the_next() {
    let plane = plane();
    let first = plane.get(DELTA, &[ONE, MODERN]).await;
    let event = &first.json()["events"][0];
    assert_eq!((first.header("etag"), &event["type"], &event["eventId"], event["features"].as_array().unwrap().len()), ("\"41\"", &json!("hydration"), &json!(41), 7));
    assert_eq!(plane.get(DELTA, &[ONE, MODERN, ("if-none-match", "\"41\"")]).await.status, StatusCode::NOT_MODIFIED);

    plane.feeds.publish("production", snapshot("production", 42, false));
    let next = plane.get(DELTA, &[ONE, MODERN, ("if-none-match", "\"41\"")]).await;
    assert_eq!(next.header("etag"), "\"42\"");
    assert_eq!(next.json(), json!({"events": [{"type": "feature-updated", "eventId": 42, "feature": {"name": "plain", "enabled": false, "strategies": []}}]}));
    plane.feeds.publish("production", snapshot("production", 43, true));
    let both = plane.get(DELTA, &[ONE, MODERN, ("if-none-match", "41")]).await.json();
    assert_eq!(both["events"].as_array().unwrap().iter().map(|event| event["eventId"].as_u64().unwrap()).collect::<Vec<_>>(), [42, 43]);
    // of another life
    for unknown in ["\"40\"", "\"99\"", "x"] {
        assert_eq!(plane.get(DELTA, &[ONE, MODERN, ("if-none-match", unknown)]).await.json()["events"][0]["type"], "hydration", "{unknown}");
    }
    let revisions = async |known| {
        plane.get(DELTA, &[ONE, MODERN, ("if-none-match", known)]).await;
        [41, 43].map(|revision| plane.presence.acknowledged("production", revision).acknowledged)
    };
    assert_eq!((revisions("\"41\"").await, revisions("43").await), ([1, 0], [1, 1]));
}

/// The next event that is no comment.
async fn event(stream: &mut (impl futures_util::Stream<Item = Result<axum::body::Bytes, axum::Error>> + Unpin)) -> String {
    loop {
        let bytes = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap().unwrap().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        if text.contains("event:") {
            return text;
        }
    }
}

#[tokio::test]
async fn a_stream_hydrates_updates_and_goes_on_where_it_broke_off() {
    let plane = plane();
    let mut stream = plane.stream(&[ONE, MODERN]).await.into_body().into_data_stream();
    assert!(event(&mut stream).await.starts_with("id: 41\nevent: unleash-connected\ndata: {\"events\":[{"));
    plane.feeds.publish("production", snapshot("production", 42, false));
    let update = event(&mut stream).await;
    assert!(update.starts_with("id: 42\nevent: unleash-updated\n") && update.contains("feature-updated") && !update.contains("hydration"), "{update}");
    drop(stream);

    plane.feeds.publish("production", snapshot("production", 43, true));
    let mut again = plane.stream(&[ONE, MODERN, ("last-event-id", "41")]).await.into_body().into_data_stream();
    let missed = event(&mut again).await;
    assert!(missed.starts_with("id: 43\nevent: unleash-updated\n"), "{missed}");
    let mut lost = plane.stream(&[ONE, MODERN, ("last-event-id", "99")]).await.into_body().into_data_stream();
    assert!(event(&mut lost).await.contains("unleash-connected"));
    plane.feeds.close();
    assert!(again.next().await.is_none());
}

/// Someone on a connection of their own who asks for the stream and reads nothing yet.
async fn listen(address: &str, last: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // so that not everything fits
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut socket = socket.connect(address.parse().unwrap()).await.unwrap();
    let request =
        format!("GET /api/client/streaming HTTP/1.1\r\nHost: {address}\r\nAuthorization: sdk-one\r\nUnleash-Client-Spec: 6.1.0\r\nUnleash-Connection-Id: me\r\n{last}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

async fn until(socket: &mut TcpStream, text: &str) {
    let (mut read, mut buffer) = (String::new(), vec![0; 64 * 1024]);
    while !read.contains(text) {
        let n = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut buffer)).await.unwrap().unwrap();
        assert!(n > 0, "the stream ended after {read}");
        read.push_str(str::from_utf8(&buffer[..n]).unwrap());
    }
}

impl Plane {
    async fn acknowledges(&self, revision: u64) {
        for _ in 0..500 {
            if self.presence.acknowledged("production", revision) == (Acknowledged { in_contact: 1, acknowledged: 1, laggards: vec![] }) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
        }
        panic!("{revision}: {:?}", self.presence.acknowledged("production", revision));
    }
}

/// Who listens never says that it has heard. Its system does.
#[tokio::test]
async fn what_arrives_over_a_stream_is_acknowledged_and_what_does_not_is_not() {
    let plane = plane();
    let address = crate::stream::serve(&plane).await;
    let mut socket = listen(&address, "").await;
    until(&mut socket, "unleash-connected").await;
    plane.acknowledges(41).await;
    plane.feeds.publish("production", snapshot("production", 42, false));
    until(&mut socket, "id: 42\n").await;
    plane.acknowledges(42).await;

    // comes back, and says that it has less
    drop(socket);
    let mut socket = listen(&address, "Last-Event-ID: 41\r\n").await;
    until(&mut socket, "id: 42\n").await;
    plane.acknowledges(42).await;

    // more than it has room for: it has left the program, and has not arrived
    plane.feeds.publish("production", large(43, 1 << 20));
    until(&mut socket, "id: 43\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await; // sleep: nothing is to happen for a while
    let said = plane.presence.acknowledged("production", 43);
    assert_eq!(said, Acknowledged { in_contact: 1, acknowledged: 0, laggards: vec!["sdk-one".to_owned()] });
    until(&mut socket, "\n\n").await;
    plane.acknowledges(43).await;
}

#[tokio::test]
async fn metrics_become_counts() {
    let plane = plane();
    let toggles = json!({
        "plain": {"yes": 3, "no": 2, "variants": {"disabled": 5}},
        "greeting": {"yes": 4, "no": 1, "variants": {"new": 4, "disabled": 1}},
        "gone": {"yes": 7, "no": 1, "variants": {}},
    });
    let body = json!({"appName": "shop", "instanceId": "i", "bucket": {"start": "x", "stop": "y", "toggles": toggles}, "impactMetrics": [{"name": "sold"}]}).to_string();
    let headers = [ONE];
    assert_eq!(plane.post("/api/client/metrics", &body, &headers).await.status, StatusCode::ACCEPTED);
    let bulk = json!({"applications": [], "metrics": [{"featureName": "plain", "appName": "shop", "yes": 1, "no": 0}]}).to_string();
    assert_eq!(plane.post("/api/client/metrics/bulk", &bulk, &headers).await.status, StatusCode::ACCEPTED);
    assert_eq!(plane.post("/api/frontend/client/metrics", "{\"bucket\": null}", &headers).await.status, StatusCode::ACCEPTED);
    for path in ["/api/client/register", "/api/frontend/client/register", "/api/proxy/client/register"] {
        assert_eq!(plane.post(path, "{}", &headers).await.status, StatusCode::ACCEPTED);
        assert_eq!(plane.post(path, "{", &headers).await.status, StatusCode::BAD_REQUEST);
    }
    let mut counts: Vec<(String, String, u64)> = plane.usage.take().into_iter().map(|(counted, count)| (counted.feature.to_string(), counted.variant.to_string(), count)).collect();
    counts.sort();
    let expected =
        [("greeting", "new", 4), ("greeting", "off", 1), ("plain", "off", 2), ("plain", "on", 4)].map(|(feature, variant, count)| (feature.to_owned(), variant.to_owned(), count));
    assert_eq!((counts, plane.usage.dropped()), (expected.to_vec(), 8));
    assert_eq!(plane.post("/api/client/metrics", &" ".repeat(5_000), &headers).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn pages_are_answered_with_what_is_on() {
    let plane = plane();
    let on = |reply: &Reply| reply.json()["toggles"].as_array().unwrap().iter().map(|toggle| toggle["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let query = plane.get("/api/frontend?userId=ann&properties[plan]=gold&appName=shop", &[ONE]).await;
    assert!(on(&query).contains(&"shop/new-checkout".to_owned()) && !on(&query).contains(&"held".to_owned()));
    let greeting = query.json()["toggles"].as_array().unwrap().iter().find(|toggle| toggle["name"] == "greeting").cloned();
    let variant = json!({"name": "new", "enabled": true, "feature_enabled": true, "payload": {"type": "string", "value": "say \"hi\""}});
    assert_eq!(greeting, Some(json!({"name": "greeting", "enabled": true, "impressionData": false, "variant": variant})));
    for body in [r#"{"context":{"userId":"ann","properties":{"plan":"gold"}}}"#, r#"{"userId":"ann","plan":"gold"}"#] {
        assert_eq!(on(&plane.post("/api/proxy", body, &[ONE]).await), on(&query), "{body}");
    }
    let same = plane.get("/api/frontend?userId=ann&properties%5Bplan%5D=gold", &[ONE, ("if-none-match", query.header("etag"))]).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    let silver = plane.get("/api/frontend?userId=ann&properties[plan]=silver", &[ONE, ("if-none-match", query.header("etag"))]).await;
    assert!(!on(&silver).contains(&"shop/new-checkout".to_owned()));
    for wrong in ["[", "7", r#"{"context":7}"#] {
        assert_eq!(plane.post("/api/frontend", wrong, &[ONE]).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let preflight = Request::options("/api/frontend").header("access-control-request-headers", "authorization,unleash-sdk").body(Body::empty()).unwrap();
    let allowed = plane.send(preflight).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-headers")), (StatusCode::NO_CONTENT, "authorization,unleash-sdk"));
}
