//! Bodies in the language of other products, as their clients never send them: answered or refused, in bounded time and memory,
//! and never with a panic.
#![expect(unsafe_code, reason = "the harness counts what is allocated")]

#[path = "../../exposure/tests/fuzz/harness.rs"]
mod harness;
#[path = "../../exposure/tests/fuzz/seeds.rs"]
mod seeds;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Presence, Scope, router};
use greenroom_exposure::Snapshot;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::harness::fuzz;
use crate::seeds::{corpus, seeds, texts};

struct Anyone;

impl Gate for Anyone {
    fn scope(&self, _: Option<&str>) -> Result<Scope, Denied> {
        Ok(Scope { environment: "production".into(), id: "fuzz".into(), follows: true })
    }
}

/// With the largest snapshot of the corpus.
fn plane() -> DataPlane {
    let feeds = Arc::new(Feeds::default());
    let largest = corpus().into_iter().max_by_key(Vec::len).unwrap();
    feeds.publish("production", Arc::new(Snapshot::compile(&serde_json::from_slice(&largest).unwrap()).0));
    DataPlane::new(feeds, Arc::new(Presence::default()), Arc::new(Anyone), [7; 32])
}

/// On this thread alone, whose memory the harness counts.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn asked(runtime: &Runtime, port: &Router, path: &str, kind: &str, body: Vec<u8>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = Request::post(path).header("content-type", kind).header("authorization", "fuzz").body(Body::from(body)).unwrap();
    runtime.block_on(async {
        let response: Response = port.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let headers = parts.headers.into_iter().chain(trailers).filter_map(|(name, value)| Some((name?, value)));
        (parts.status, headers.collect(), body.to_bytes().to_vec())
    })
}

#[test]
fn unleash() {
    let (runtime, port, all) = (runtime(), router(plane()), seeds("unleash-bodies.json"));
    for (seeds, path) in [("frontend", "/api/frontend"), ("metrics", "/api/client/metrics"), ("bulk", "/api/client/metrics/bulk"), ("register", "/api/client/register")] {
        let (mut taken, mut refused) = (0, 0);
        fuzz(&texts(&all[seeds]), 2_000, |bytes| match asked(&runtime, &port, path, "application/json", bytes.to_vec()).0 {
            StatusCode::OK | StatusCode::ACCEPTED => taken += 1,
            StatusCode::BAD_REQUEST => refused += 1,
            other => panic!("{other} for {}", String::from_utf8_lossy(bytes)),
        });
        assert!(taken > 0 && refused > 0, "{path}: {taken}, {refused}");
    }
}

#[cfg(feature = "flagd")]
mod flagd {
    use greenroom_delivery::flagd::message::{Ask, AskAll, AskDefinitions};
    use greenroom_delivery::flagd::value::Struct;
    use greenroom_delivery::flagd::{Admission, Flagd, Service};
    use prost::Message as _;
    use serde_json::json;

    use super::*;

    const BOOLEAN: &str = "/flagd.evaluation.v1.Service/ResolveBoolean";
    const ALL: &str = "/flagd.evaluation.v1.Service/ResolveAll";

    fn port(service: Service) -> Router {
        Flagd::new(plane(), "production", Admission::Anyone).router(service)
    }

    fn context() -> Struct {
        let context = json!({"targetingKey": "ann", "plan": "gold", "age": 18.5, "on": true, "no": null, "list": [1, ["a"]], "deep": {"a": {"b": {}}}});
        Struct::from(context.as_object().unwrap())
    }

    /// The message in its envelope, whose length is right; the code of the answer.
    fn by_grpc(runtime: &Runtime, port: &Router, path: &str, message: &[u8]) -> String {
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let (status, headers, _) = asked(runtime, port, path, "application/grpc", body);
        assert_eq!(status, StatusCode::OK, "what gRPC says is said in its own way");
        headers.get("grpc-status").map_or_else(String::new, |code| code.to_str().unwrap().to_owned())
    }

    #[test]
    fn questions() {
        let (runtime, port) = (runtime(), port(Service::Evaluation));
        let key = plane_keys();
        let asks: Vec<Vec<u8>> = key.iter().map(|key| Ask { flag_key: key.clone(), context: Some(context()) }.encode_to_vec()).collect();
        let mut codes = std::collections::BTreeSet::new();
        fuzz(&asks, 5_000, |bytes| codes.extend([by_grpc(&runtime, &port, BOOLEAN, bytes)]));
        fuzz(&[AskAll { context: Some(context()) }.encode_to_vec()], 1_000, |bytes| codes.extend([by_grpc(&runtime, &port, ALL, bytes)]));
        assert!(["0", "3", "5"].iter().all(|code| codes.contains(*code)), "answered, unreadable, unknown: {codes:?}");
        assert!(!codes.contains("13") && !codes.contains("2"), "{codes:?}");
    }

    #[test]
    fn questions_in_json() {
        let (runtime, port) = (runtime(), port(Service::Evaluation));
        let ask = |key: &String| serde_json::to_vec(&json!({"flagKey": key, "context": serde_json::Value::from(&context())})).unwrap();
        let seeds: Vec<Vec<u8>> = plane_keys().iter().map(ask).collect();
        fuzz(&seeds, 5_000, |bytes| {
            let status = asked(&runtime, &port, BOOLEAN, "application/json", bytes.to_vec()).0;
            assert!(matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND), "{status}");
        });
    }

    #[test]
    fn torn_envelopes_and_questions_for_definitions() {
        let runtime = runtime();
        let ask = AskDefinitions { selector: "production".to_owned(), ..AskDefinitions::default() };
        let (evaluation, sync) = (port(Service::Evaluation), port(Service::Sync));
        let mut seed = vec![0, 0, 0, 0, 12];
        seed.extend(ask.encode_to_vec());
        fuzz(&[seed], 2_000, |bytes| {
            for (port, path) in [(&evaluation, BOOLEAN), (&sync, "/flagd.sync.v1.FlagSyncService/FetchAllFlags")] {
                assert_eq!(asked(&runtime, port, path, "application/grpc", bytes.to_vec()).0, StatusCode::OK);
            }
        });
    }

    fn plane_keys() -> Vec<String> {
        let largest = corpus().into_iter().max_by_key(Vec::len).unwrap();
        let model: greenroom_exposure::Model = serde_json::from_slice(&largest).unwrap();
        model.features.into_keys().take(20).collect()
    }
}
