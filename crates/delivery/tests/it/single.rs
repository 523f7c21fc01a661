//! One feature at a time, as server-side providers ask.

use http::{Request, StatusCode};
use serde_json::json;

use crate::{Reply, plane};

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

async fn ask(key: &str, body: &str) -> Reply {
    plane().post(&format!("{FLAGS}/{key}"), body, &[]).await
}

/// Python's provider 0.3.0 fails on each of these if it is missing.
#[tokio::test]
async fn an_answer_has_value_variant_standard_reason_and_metadata() {
    let reply = ask("shop/new-checkout", r#"{"context":{"targetingKey":"u","plan":"gold"}}"#).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.json(),
        json!({
            "key": "shop/new-checkout", "value": true, "variant": "on", "reason": "TARGETING_MATCH",
            "metadata": {"flagSetId": "production", "version": "41", "revision": 41, "rule": "rule", "release": "autumn"}
        })
    );
}

/// Keys with slashes arrive as several segments, or encoded; both are the same feature.
#[tokio::test]
async fn keys_come_encoded_or_not() {
    for key in ["shop/new-checkout", "shop%2Fnew-checkout", "shop%2fnew%2Dcheckout"] {
        let reply = ask(key, "{}").await;
        assert_eq!((reply.status, reply.json()["key"].clone()), (StatusCode::OK, json!("shop/new-checkout")), "{key}");
    }
}

/// `10` for a float is a type mismatch in Python; `10.0` for an integer would be one in others.
#[tokio::test]
async fn numbers_are_written_by_their_type() {
    assert!(ask("ratio", "{}").await.text.contains("\"value\":10.0,"));
    assert!(ask("limit", "{}").await.text.contains("\"value\":10,"));
    assert_eq!(ask("theme", "{}").await.json()["value"], json!({"dark": true}));
    assert_eq!(ask("greeting", "{}").await.json()["value"], json!("say \"hi\""));
}

#[tokio::test]
async fn what_may_not_be_shown_is_off_with_its_value_and_why() {
    let reply = ask("held", r#"{"context":{"targetingKey":"u"}}"#).await.json();
    assert_eq!((&reply["value"], &reply["variant"], &reply["reason"]), (&json!(false), &json!("off"), &json!("DISABLED")));
    assert_eq!(reply["metadata"]["release"], "autumn");
    assert_eq!(reply["metadata"]["blocked_by"], "need:tax>=1.4");
}

/// The schema asks for a context with a key; real providers send less, and only who needs the key may refuse.
#[tokio::test]
async fn only_a_feature_that_needs_a_key_fails_without_one() {
    for body in ["", "{}", r#"{"context":{}}"#, r#"{"context":null}"#, r#"{"context":{"plan":"gold"}}"#] {
        assert_eq!(ask("plain", body).await.status, StatusCode::OK, "{body}");
        let reply = ask("share", body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        let failure = reply.json();
        assert_eq!((&failure["key"], &failure["errorCode"]), (&json!("share"), &json!("TARGETING_KEY_MISSING")));
        assert!(failure["errorDetails"].is_string(), "a 400 without details breaks Python's provider");
    }
    let reply = ask("share", r#"{"context":{"targetingKey":"user-1"}}"#).await.json();
    assert_eq!((&reply["reason"], &reply["value"]), (&json!("SPLIT"), &json!(true)));
}

#[tokio::test]
async fn errors_have_code_key_and_details() {
    let cases = [
        ("nothing", "{}", StatusCode::NOT_FOUND, "FLAG_NOT_FOUND"),
        ("plain", "{", StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("plain", "[]", StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("plain", r#"{"context":[]}"#, StatusCode::BAD_REQUEST, "INVALID_CONTEXT"),
        ("plain", r#"{"context":{"targetingKey":7}}"#, StatusCode::BAD_REQUEST, "INVALID_CONTEXT"),
        ("broken", "{}", StatusCode::BAD_REQUEST, "GENERAL"),
    ];
    for (key, body, status, code) in cases {
        let reply = ask(key, body).await;
        assert_eq!(reply.status, status, "{key} {body}");
        let failure = reply.json();
        assert_eq!((&failure["key"], &failure["errorCode"]), (&json!(key), &json!(code)), "{key} {body}");
        assert!(failure["errorDetails"].as_str().is_some_and(|details| !details.is_empty()), "{key} {body}");
    }
}

#[tokio::test]
async fn a_token_comes_either_way_and_opens_its_environment() {
    let plane = plane();
    let path = format!("{FLAGS}/plain");
    for header in [("authorization", "Bearer sdk-test"), ("authorization", "bearer  sdk-test"), ("x-api-key", "sdk-test")] {
        let reply = plane.post(&path, "{}", &[header]).await;
        assert_eq!(reply.json()["metadata"]["flagSetId"], "test", "{header:?}");
    }
    for (header, status) in [
        (("none", ""), StatusCode::UNAUTHORIZED),
        (("authorization", "Bearer nobody"), StatusCode::UNAUTHORIZED),
        (("authorization", "Basic sdk-test"), StatusCode::UNAUTHORIZED),
        (("x-api-key", "admin"), StatusCode::FORBIDDEN),
    ] {
        let reply = plane.post(&path, "{}", &[header]).await;
        assert_eq!(reply.status, status, "{header:?}");
        assert!(reply.json()["errorDetails"].as_str().is_some_and(|why| why.contains("token")), "{header:?}: {}", reply.text);
    }
}

#[tokio::test]
async fn an_environment_that_is_not_there_yet_asks_to_try_again() {
    let reply = plane().post(&format!("{FLAGS}/plain"), "{}", &[("x-api-key", "sdk-new")]).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(reply.json()["errorDetails"].is_string());
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let body = format!(r#"{{"context":{{"long":"{}"}}}}"#, "x".repeat(5_000));
    let reply = ask("plain", &body).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.json()["errorDetails"].as_str().unwrap().contains("4096"));
}

#[tokio::test]
async fn a_browser_may_ask_from_anywhere() {
    for path in [FLAGS.to_owned(), format!("{FLAGS}/shop/new-checkout"), "/ofrep/v1/stream".to_owned()] {
        let request = Request::options(&path).header("origin", "https://shop.example").body("".into()).unwrap();
        let reply = plane().send(request).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
        for name in ["Authorization", "X-API-Key", "Content-Type", "If-None-Match"] {
            assert!(reply.header("access-control-allow-headers").contains(name), "{path} {name}");
        }
        assert!(reply.header("access-control-allow-methods").contains("POST"));
    }
    let reply = ask("plain", "{}").await;
    for name in ["ETag", "Retry-After"] {
        assert!(reply.header("access-control-expose-headers").contains(name));
    }
}
