//! The stream that says which answers are no longer good.

use std::time::Duration;

use greenroom_delivery::Limits;
use greenroom_delivery::flagd::Admission;
use greenroom_delivery::flagd::message::{Event, Listen};
use greenroom_delivery::flagd::value::Struct;
use greenroom_exposure::{Model, Snapshot};
use prost::Message as _;
use serde_json::json;
use tonic::Code;

use super::{Answers, Ports, fields, ports, ports_of};
use crate::{limits, snapshot};

const STREAM: &str = "/flagd.evaluation.v1.Service/EventStream";

impl Answers<Event> {
    async fn listen(ports: &Ports) -> Self {
        let mut events = Self::open(&ports.evaluation, STREAM, Listen {}, &[]).await.unwrap();
        assert_eq!(events.next().await.unwrap().r#type, "provider_ready");
        events
    }

    /// The keys of the next change.
    async fn change(&mut self) -> Vec<String> {
        let event = self.next().await.unwrap();
        assert_eq!(event.r#type, "configuration_change");
        let data = fields(Some(&Struct::decode(event.data).unwrap()));
        data["flags"].as_object().unwrap().keys().cloned().collect()
    }
}

impl Ports {
    /// Publishes the next revision with these parts put in its place.
    fn change(&self, change: impl FnOnce(&mut Model)) {
        let mut model = self.feeds.current("production").unwrap().model();
        model.revision += 1;
        change(&mut model);
        self.feeds.publish("production", Snapshot::compile(&model).0.into());
    }
}

const EVERYTHING: [&str; 9] = ["broken", "greeting", "held", "limit", "plain", "ratio", "share", "shop/new-checkout", "theme"];

#[tokio::test]
async fn who_comes_is_greeted_and_told_to_drop_all_then_what_changes() {
    let ports = ports();
    let mut events = Answers::listen(&ports).await;
    assert_eq!(events.change().await, EVERYTHING);
    ports.feeds.publish("production", snapshot("production", 42, false));
    assert_eq!(events.change().await, ["plain"]);
    ports.change(|model| {
        model.features.remove("limit");
    });
    assert_eq!(events.change().await, ["limit"]);
}

#[tokio::test]
async fn a_change_names_who_asks_for_a_cohort_and_who_needs_a_feature() {
    let ports = ports();
    let mut events = Answers::listen(&ports).await;
    events.change().await;
    let boolean = json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off"});
    let with = |name: &str, value: serde_json::Value| {
        let mut feature = boolean.clone();
        feature[name] = value;
        serde_json::from_value(feature).unwrap()
    };
    ports.change(|model| {
        let staff = json!([{"name": "staff", "when": [{"cohort": "staff"}], "then": {"variant": "on"}}]);
        model.features.insert("staff-only".to_owned(), with("baseline", staff));
        model.features.insert("after".to_owned(), with("prerequisites", json!([{"feature": "staff-only", "variants": ["on"]}])));
        model.features.insert("after-that".to_owned(), with("prerequisites", json!([{"feature": "after", "variants": ["on"]}])));
    });
    assert_eq!(events.change().await, ["after", "after-that", "staff-only"]);
    ports.change(|model| {
        model.cohorts.insert("staff".to_owned(), serde_json::from_value(json!({"version": 1, "any_of": [[]]})).unwrap());
    });
    assert_eq!(events.change().await, ["after", "after-that", "staff-only"]);
    ports.change(|model| {
        model.attributes = serde_json::from_value(json!({"plan": "string"})).unwrap();
    });
    assert_eq!(events.change().await.len(), EVERYTHING.len() + 3);
}

/// One who reads nothing is not sent one event per revision: what it is sent names all that it has missed.
#[tokio::test]
async fn who_is_late_is_told_once() {
    let ports = ports();
    let (mut late, mut events) = (Answers::listen(&ports).await, Answers::listen(&ports).await);
    late.change().await;
    events.change().await;
    ports.change(|model| drop(model.features.remove("limit")));
    assert_eq!(events.change().await, ["limit"]);
    // both were woken, and the test alone decides who reads
    assert_eq!(late.change().await, ["limit"]);
    ports.change(|model| drop(model.features.remove("ratio")));
    ports.change(|model| drop(model.features.remove("theme")));
    assert_eq!(events.change().await, ["ratio", "theme"]);
    assert_eq!(late.change().await, ["ratio", "theme"]);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_and_a_closed_one_ends_in_an_error() {
    let ports = ports_of("production", Admission::Anyone, Limits { keep_alive: Duration::from_millis(20), ..limits() });
    let mut events = Answers::listen(&ports).await;
    events.change().await;
    assert_eq!(events.next().await.unwrap().r#type, "keep_alive");
    ports.feeds.close();
    // Node's provider opens a stream anew after an error only
    let status = loop {
        match events.next().await {
            Ok(event) => assert_eq!(event.r#type, "keep_alive"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    let status = Answers::<Event>::open(&ports_of("new", Admission::Anyone, limits()).evaluation, STREAM, Listen {}, &[]).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    let status = Answers::<Event>::open(&ports_of("production", Admission::ByToken, limits()).evaluation, STREAM, Listen {}, &[]).await.err().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
}
