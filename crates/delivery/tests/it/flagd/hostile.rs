//! Contexts that nobody sends by accident, by gRPC and as JSON: a clear answer, bounded.

use axum::body::Body;
use greenroom_delivery::Limits;
use greenroom_delivery::flagd::Admission;
use greenroom_delivery::flagd::message::{Ask, BooleanReply};
use greenroom_delivery::flagd::value::Struct;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::{Ports, call, ports_of};
use crate::limits;

const BOOLEAN: &str = "/flagd.evaluation.v1.Service/ResolveBoolean";

/// As large as a server takes that nobody configured.
fn roomy() -> Ports {
    ports_of("production", Admission::Anyone, Limits { body: Limits::default().body, ..limits() })
}

async fn by_grpc(context: Struct) -> Result<BooleanReply, Status> {
    let ask = Ask { flag_key: "shop/new-checkout".to_owned(), context: Some(context) };
    call(&roomy().evaluation, BOOLEAN, ask, &[]).await
}

async fn posted(kind: &str, body: Vec<u8>) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let request = Request::post(BOOLEAN).header("content-type", kind).body(Body::from(body)).unwrap();
    let (parts, body) = roomy().evaluation.oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

/// `inside`: of the context's object.
async fn as_json(inside: &str) -> (StatusCode, Value) {
    let (status, _, answer) = posted("application/json", format!(r#"{{"flagKey":"shop/new-checkout","context":{{{inside}}}}}"#).into_bytes()).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

#[tokio::test]
async fn many_attributes_are_answered() {
    let mut context = Struct::default();
    (0..10_000).for_each(|n| context.put(&format!("a{n}"), f64::from(n)));
    context.put("plan", "gold");
    assert_eq!(by_grpc(context).await.unwrap().value, Some(true));
    let attributes: Vec<String> = (0..10_000).map(|n| format!(r#""a{n}":{n}"#)).collect();
    let (status, answer) = as_json(&format!(r#"{},"plan":"gold""#, attributes.join(","))).await;
    assert_eq!((status, &answer["value"]), (StatusCode::OK, &json!(true)));
}

#[tokio::test]
async fn a_context_of_a_mebibyte_is_too_large() {
    let text = "x".repeat(1 << 20);
    let mut context = Struct::default();
    context.put("a", text.as_str());
    assert_eq!(by_grpc(context).await.unwrap_err().code(), Code::OutOfRange);
    let (status, answer) = as_json(&format!(r#""a":"{text}""#)).await;
    assert_eq!((status, &answer["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("resource_exhausted")), "as Connect says it");
}

/// A message inside another, as field `tag`.
fn within(tag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(tag << 3) | 2];
    prost::encode_length_delimiter(message.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(message);
    bytes
}

#[tokio::test]
async fn depth_costs_no_stack() {
    let mut context = Vec::new();
    for _ in 0..10_000 {
        let value = within(5, &context);
        context = within(1, &[within(1, b"a"), within(2, &value)].concat());
    }
    let message = [within(1, b"plain"), within(2, &context)].concat();
    let body = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let (status, headers, _) = posted("application/grpc", body).await;
    assert_eq!((status, headers["grpc-status"].to_str().unwrap()), (StatusCode::OK, "3"), "an argument that does not read");
    let (status, answer) = as_json(r#""plan":"basic","plan":"gold""#).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")), "{answer}");
    assert!(answer["message"].as_str().unwrap().starts_with("`plan` is given twice"), "{answer}");
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let (status, answer) = as_json(&format!(r#""deep":{}1{}"#, open.repeat(10_000), close.repeat(10_000))).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")), "{answer}");
    }
}

#[tokio::test]
async fn numbers_are_exact_or_refused() {
    for (number, answered) in [(9_007_199_254_740_991.0, true), (1.5, true), (9_007_199_254_740_992.0, false), (f64::NAN, false), (f64::NEG_INFINITY, false)] {
        let mut context = Struct::default();
        context.put("n", number);
        let answer = by_grpc(context).await.map_err(|status| (status.code(), status.message().starts_with("`n` is ")));
        assert_eq!(answer.map(|answer| answer.value), if answered { Ok(Some(false)) } else { Err((Code::FailedPrecondition, true)) }, "{number}");
    }
    for (number, code) in [("9007199254740993", "failed_precondition"), ("1e300", "failed_precondition"), ("NaN", "invalid_argument"), ("1e999", "invalid_argument")] {
        let (status, answer) = as_json(&format!(r#""n":{number}"#)).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{number}: {answer}");
    }
}
