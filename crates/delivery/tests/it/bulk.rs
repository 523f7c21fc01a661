//! All features at once, as web and mobile providers ask.

use std::time::Duration;

use greenroom_delivery::Acknowledged;
use greenroom_exposure::wire::{Bulk, ErrorCode, Item};
use http::StatusCode;
use serde_json::json;

use crate::{Plane, Reply, plane, snapshot};

const FLAGS: &str = "/ofrep/v1/evaluate/flags";
const ANN: &str = r#"{"context":{"targetingKey":"ann","plan":"gold"}}"#;

impl Plane {
    async fn all(&self, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.post(FLAGS, body, headers).await
    }
}

#[tokio::test]
async fn one_failure_stays_among_the_answers() {
    let reply = plane().all("{}", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let bulk: Bulk = serde_json::from_value(reply.json()).unwrap();
    // `broken` has nothing that could be served.
    assert_eq!(bulk.flags.len(), 8);
    let mut failures = Vec::new();
    for item in bulk.flags {
        match item {
            Item::Failure(failure) => failures.push(failure),
            Item::Success(success) => {
                assert!(success.value.is_some() && success.variant.is_some(), "{success:?}");
                assert_eq!(success.metadata["flagSetId"], "production");
            }
        }
    }
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].key.as_deref(), failures[0].error_code), (Some("share"), ErrorCode::TargetingKeyMissing));
    assert!(failures[0].error_details.is_some());
    assert_eq!(json!(bulk.metadata), json!({"flagSetId": "production", "version": "41", "revision": 41}));
}

#[tokio::test]
async fn the_stream_is_named_without_origin() {
    let plane = plane();
    let bulk: Bulk = serde_json::from_value(plane.all(ANN, &[]).await.json()).unwrap();
    let [stream] = bulk.event_streams.as_slice() else { panic!("not one stream") };
    assert_eq!((stream.r#type.as_str(), stream.url.as_ref(), stream.inactivity_delay_sec), ("sse", None, Some(120)));
    let endpoint = stream.endpoint.as_ref().unwrap();
    assert_eq!(endpoint.origin, None);
    assert!(endpoint.request_uri.starts_with("/ofrep/v1/stream?token="));
    assert!(!endpoint.request_uri.contains("sdk-one"), "the address must not carry the token");
    let again: Bulk = serde_json::from_value(plane.all(ANN, &[]).await.json()).unwrap();
    assert_eq!(again.event_streams[0].endpoint.as_ref(), Some(endpoint), "a provider keeps the stream that it has");
}

#[tokio::test]
async fn an_unchanged_answer_is_304_however_the_tag_is_written() {
    let plane = plane();
    let tag = plane.all(ANN, &[]).await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
    let bare = tag.trim_matches('"').to_owned();
    for sent in [tag.clone(), bare.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let reply = plane.all(ANN, &[("if-none-match", &sent)]).await;
        assert_eq!((reply.status, reply.text.as_str(), reply.header("etag")), (StatusCode::NOT_MODIFIED, "", tag.as_str()));
    }
    let same = r#"{ "context": {"plan":"gold", "targetingKey":"ann"}, "ignored": 1 }"#;
    assert_eq!(plane.all(same, &[("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
}

/// The web provider keeps its tag when an attribute changes: a 304 would leave the last user's values on the page.
#[tokio::test]
async fn a_tag_covers_revision_token_and_context() {
    let plane = plane();
    let tag = plane.all(ANN, &[]).await.header("etag").to_owned();
    let other_plan = r#"{"context":{"targetingKey":"ann","plan":"silver"}}"#;
    assert_eq!(plane.all(other_plan, &[("if-none-match", &tag)]).await.status, StatusCode::OK);
    let other_user = r#"{"context":{"targetingKey":"bob","plan":"gold"}}"#;
    assert_eq!(plane.all(other_user, &[("if-none-match", &tag)]).await.status, StatusCode::OK);
    for token in ["Bearer sdk-two", "Bearer sdk-test"] {
        let reply = plane.all(ANN, &[("if-none-match", &tag), ("authorization", token)]).await;
        assert_eq!(reply.status, StatusCode::OK, "{token}");
    }
    plane.feeds.publish("production", snapshot("production", 42, true));
    assert_eq!(plane.all(ANN, &[("if-none-match", &tag)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_request_fails_as_a_whole() {
    for (body, code) in [("{", "PARSE_ERROR"), (r#"{"context":7}"#, "INVALID_CONTEXT")] {
        let reply = plane().all(body, &[]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.json()["errorCode"], code);
        assert!(reply.json()["errorDetails"].is_string() && reply.json().get("key").is_none());
    }
    assert_eq!(plane().all(ANN, &[("none", "")]).await.status, StatusCode::UNAUTHORIZED);
}

/// Never an older 200 than what an event told the caller of.
#[tokio::test]
async fn a_revision_not_yet_here_is_waited_for_and_then_refused() {
    let plane = plane();
    let ahead = format!("{FLAGS}?flagConfigEtag=%2242%22&flagConfigLastModified=1771622898");
    let reply = plane.post(&ahead, ANN, &[]).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(reply.json()["errorDetails"].as_str().unwrap().contains("42"));

    let (reply, ()) = tokio::join!(plane.post(&ahead, ANN, &[]), async {
        tokio::time::sleep(Duration::from_millis(20)).await; // sleep: polls another task or process until a deadline
        plane.feeds.publish("production", snapshot("production", 42, false));
    });
    assert_eq!(reply.status, StatusCode::OK);
    let bulk: Bulk = serde_json::from_value(reply.json()).unwrap();
    assert_eq!(bulk.metadata["revision"], 42);
    let reply = plane.post(&format!("{FLAGS}?flagConfigEtag=41"), ANN, &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "a newer answer than asked for is fine");
}

#[tokio::test]
async fn fetching_acknowledges_even_when_nothing_changed() {
    let plane = plane();
    let ann = plane.all(ANN, &[]).await;
    plane.all(r#"{"context":{"targetingKey":"bob"}}"#, &[("x-api-key", "sdk-two")]).await;
    let said = |revision| plane.presence.acknowledged("production", revision);
    assert_eq!((said(41).in_contact, said(41).acknowledged), (2, 2));
    plane.feeds.publish("production", snapshot("production", 42, true));
    assert_eq!(said(42), Acknowledged { in_contact: 2, acknowledged: 0, laggards: vec!["sdk-one".to_owned(), "sdk-two".to_owned()] });
    plane.post(&format!("{FLAGS}?flagConfigEtag=42"), ANN, &[("if-none-match", ann.header("etag"))]).await;
    assert_eq!(said(42), Acknowledged { in_contact: 2, acknowledged: 1, laggards: vec!["sdk-two".to_owned()] });
    assert_eq!(plane.presence.acknowledged("test", 1), Acknowledged::default());
}
