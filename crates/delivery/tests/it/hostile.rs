//! Bodies that nobody sends by accident, and readers that do not read: a clear answer, bounded, and nobody else harmed.

use std::time::{Duration, Instant};

use greenroom_delivery::Limits;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{Plane, large, limits, plane, plane_with, snapshot};

const SINGLE: &str = "/ofrep/v1/evaluate/flags/plain";
const BULK: &str = "/ofrep/v1/evaluate/flags";
/// Generous for one request on a busy machine; what is not linear takes minutes.
const BOUND: Duration = Duration::from_secs(5);

/// As large as a server takes that nobody configured.
fn roomy() -> Plane {
    plane_with(Limits { body: Limits::default().body, ..limits() })
}

fn context(inside: &str) -> String {
    format!(r#"{{"context":{{"targetingKey":"ann",{inside}}}}}"#)
}

/// Both endpoints answer alike.
async fn answered(plane: &Plane, body: &str, status: StatusCode, code: Option<&str>) {
    for path in [SINGLE, BULK] {
        let began = Instant::now();
        let reply = plane.post(path, body, &[]).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.status, status, "{path} {shown}: {}", reply.text);
        assert!(began.elapsed() < BOUND, "{path} {shown}");
        if let Some(code) = code {
            assert_eq!(reply.json()["errorCode"], json!(code), "{shown}");
        }
        if status != StatusCode::OK {
            assert!(reply.json()["errorDetails"].as_str().is_some_and(|details| !details.is_empty() && details.len() < 500), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_context_of_a_mebibyte_is_too_large() {
    let plane = roomy();
    let body = context(&format!(r#""a":"{}""#, "x".repeat(1 << 20)));
    answered(&plane, &body, StatusCode::PAYLOAD_TOO_LARGE, None).await;
    let within = context(&format!(r#""a":"{}""#, "x".repeat(200 << 10)));
    answered(&plane, &within, StatusCode::OK, None).await;
}

#[tokio::test]
async fn many_attributes_are_answered() {
    let plane = roomy();
    let attributes: Vec<String> = (0..10_000).map(|n| format!(r#""a{n}":{n}"#)).chain([r#""plan":"gold""#.to_owned()]).collect();
    let body = context(&attributes.join(","));
    answered(&plane, &body, StatusCode::OK, None).await;
    let reply = plane.post("/ofrep/v1/evaluate/flags/shop/new-checkout", &body, &[]).await;
    assert_eq!(reply.json()["value"], json!(true));
}

#[tokio::test]
async fn depth_costs_no_stack() {
    let plane = roomy();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        answered(&plane, &context(&format!(r#""deep":{nested}"#)), StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
        answered(&plane, &format!(r#"{{"beside":{nested}}}"#), StatusCode::OK, None).await;
        answered(&plane, &format!(r#"{{"context":{{"targetingKey":{nested}}}}}"#), StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
        answered(&plane, &context(&format!(r#""deep":{}"#, open.repeat(10_000))), StatusCode::BAD_REQUEST, Some("PARSE_ERROR")).await;
    }
    let lists = format!(r#"{{"context":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    answered(&plane, &lists, StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
}

#[tokio::test]
async fn numbers_are_exact_or_refused() {
    let plane = plane();
    for number in ["9007199254740991", "-9007199254740991", "1.5", "-0", "1e15"] {
        answered(&plane, &context(&format!(r#""n":{number}"#)), StatusCode::OK, None).await;
    }
    for number in ["9007199254740992", "-9007199254740993", "18446744073709551616", "1e300"] {
        answered(&plane, &context(&format!(r#""n":{number}"#)), StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
    }
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "01", "+1"] {
        answered(&plane, &context(&format!(r#""n":{number}"#)), StatusCode::BAD_REQUEST, Some("PARSE_ERROR")).await;
    }
}

#[tokio::test]
async fn what_is_given_twice_is_refused_by_name() {
    let plane = plane();
    for body in [context(r#""plan":"basic","plan":"gold""#), context(r#""plan":"gold","a":1,"pl\u0061n":"gold""#)] {
        answered(&plane, &body, StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
        assert_eq!(plane.post(BULK, &body, &[]).await.json()["errorDetails"], json!("`plan` is given twice"));
    }
    answered(&plane, &context(r#""targetingKey":"bob""#), StatusCode::BAD_REQUEST, Some("INVALID_CONTEXT")).await;
}

/// Unleash's clients send texts, and a number is one there: nothing of it is lost.
#[tokio::test]
async fn a_pages_context_is_bounded_too() {
    let plane = roomy();
    let asked = async |inside: &str, status: StatusCode| {
        for body in [format!(r#"{{"context":{{"userId":"ann","properties":{{{inside}}}}}}}"#), format!(r#"{{"userId":"ann",{inside}}}"#)] {
            let began = Instant::now();
            let reply = plane.post("/api/frontend", &body, &[]).await;
            let shown: String = body.chars().take(80).collect();
            assert_eq!(reply.status, status, "{shown}: {}", reply.text);
            assert!(began.elapsed() < BOUND, "{shown}");
            if status == StatusCode::OK {
                let toggles = reply.json()["toggles"].clone();
                assert_eq!(toggles.as_array().unwrap().iter().any(|toggle| toggle["name"] == "shop/new-checkout"), inside.contains("gold"), "{shown}");
            } else {
                assert!(reply.text.len() < 500, "{}", reply.text);
            }
        }
    };
    let attributes: Vec<String> = (0..10_000).map(|n| format!(r#""a{n}":{n}"#)).chain([r#""plan":"gold""#.to_owned()]).collect();
    asked(&attributes.join(","), StatusCode::OK).await;
    asked(&format!(r#""a":"{}""#, "x".repeat(1 << 20)), StatusCode::PAYLOAD_TOO_LARGE).await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        asked(&format!(r#""deep":{}1{}"#, open.repeat(10_000), close.repeat(10_000)), StatusCode::BAD_REQUEST).await;
    }
    asked(r#""plan":"gold","plan":"gold""#, StatusCode::BAD_REQUEST).await;
    let reply = plane.get("/api/frontend?userId=ann&properties[plan]=basic&properties%5Bplan%5D=gold", &[]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text.contains("`properties[plan]` is given twice"), "{}", reply.text);
    for number in ["9007199254740993", "1.5", "-0"] {
        asked(&format!(r#""plan":"gold","n":{number}"#), StatusCode::OK).await;
    }
    for number in ["NaN", "Infinity", "1e999", "01"] {
        asked(&format!(r#""n":{number}"#), StatusCode::BAD_REQUEST).await;
    }
}

/// A stream holds no queue: whoever does not read is told of the latest revision once they do, and others at once.
#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let plane = plane();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = plane.router.clone();
    tokio::spawn(greenroom_delivery::serve(listener, router, std::future::pending()));
    let bulk = plane.post(BULK, r#"{"context":{"targetingKey":"ann"}}"#, &[]).await.json();
    let path = bulk["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let connect = async || {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        socket
    };
    let (_silent, mut reader) = (connect().await, connect().await);
    let mut read = String::new();
    let mut buffer = [0; 4096];
    for revision in 42..542 {
        plane.feeds.publish("production", snapshot("production", revision, true));
        let wanted = format!("\"etag\":\"{revision}\"");
        while !read.contains(&wanted) {
            let n = tokio::time::timeout(BOUND, reader.read(&mut buffer)).await.unwrap().unwrap();
            assert!(n > 0, "the stream ended after {read}");
            read.push_str(str::from_utf8(&buffer[..n]).unwrap());
        }
        read.clear();
    }
}

/// Whoever leaves what is sent to them unread is cut off by the system; nobody else notices.
#[tokio::test]
async fn who_reads_nothing_is_cut_off_and_others_hear_everything() {
    let plane = plane();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = plane.router.clone();
    tokio::spawn(greenroom_delivery::serve_readers(listener, router, Duration::from_millis(300), std::future::pending()));
    let connect = async |name: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut socket = socket.connect(address).await.unwrap();
        let request =
            format!("GET /api/client/streaming HTTP/1.1\r\nHost: {address}\r\nAuthorization: sdk-one\r\nUnleash-Client-Spec: 6.1.0\r\nUnleash-Connection-Id: {name}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    };
    let (silent, mut reader) = (connect("silent").await, connect("reader").await);
    while plane.presence.streams("production") < 2 {
        tokio::task::yield_now().await;
    }
    let (mut buffer, mut revision) = (vec![0; 64 * 1024], 41);
    while plane.presence.streams("production") == 2 {
        revision += 1;
        plane.feeds.publish("production", large(revision, 1 << 20));
        // the whole of every event: one line, and an empty one after it
        let (wanted, mut heard) = (format!("id: {revision}\n"), String::new());
        while !heard.split_once(&wanted).is_some_and(|(_, event)| event.contains("\n\n")) {
            let n = tokio::time::timeout(BOUND, reader.read(&mut buffer)).await.unwrap().unwrap();
            assert!(n > 0, "the stream of the one who reads ended");
            heard.push_str(str::from_utf8(&buffer[..n]).unwrap());
        }
    }
    assert_eq!(plane.presence.streams("production"), 1);
    drop((silent, reader));
}
