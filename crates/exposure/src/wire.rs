//! The data plane on the wire: OFREP 0.3 (open-feature/protocol, `service/openapi.yaml` and `event-streams.yaml`).
//!
//! Types that clients read and write are plain serde; what a server does on every request reads borrowed text and writes
//! straight into a buffer. What we write satisfies every released provider: always a value, a variant, a standard reason
//! and `errorDetails`, and floats with a decimal point. Our own, richer reason goes into `metadata`.

pub mod flagd;
pub mod follow;
mod request;
pub mod unleash;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::request::{BadRequest, Caller, DEEPEST, read_request};
use crate::evaluate::Answer;
use crate::snapshot::Snapshot;

/// `metadata` of an answer: texts, numbers and booleans.
pub type Metadata = BTreeMap<String, Value>;

/// Body of a request for one feature or all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    #[serde(default)]
    pub context: serde_json::Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Success {
    pub key: String,
    /// Absent means that the application shall use its own default. We never leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Why there is no answer. Without `key` it is about the whole bulk request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub error_code: ErrorCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    ParseError,
    TargetingKeyMissing,
    InvalidContext,
    FlagNotFound,
    General,
}

/// Body of an answer 500 or 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneralError {
    pub error_details: String,
}

/// One feature of a bulk answer. Failures stay inside the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Item {
    Failure(Failure),
    Success(Success),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bulk {
    pub flags: Vec<Item>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_streams: Vec<EventStream>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Where changes are announced. Its address is a secret: it carries a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventStream {
    /// `sse`; others are to be ignored.
    pub r#type: String,
    /// This or `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Seconds without activity after which the client hangs up; 120 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactivity_delay_sec: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Absent means the origin that the bulk answer came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    pub request_uri: String,
}

/// What an event stream says: fetch again. Values never travel on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// `refetchEvaluation`; others are to be ignored.
    pub r#type: String,
    /// The revision to be fetched, not the tag of any one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Seconds since 1970, or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Value>,
}

impl Announcement {
    #[must_use]
    pub fn refetch(revision: u64, last_modified: Option<u64>) -> Self {
        Self { r#type: "refetchEvaluation".to_owned(), etag: Some(revision.to_string()), last_modified: last_modified.map(Value::from) }
    }
}

/// Writes one answer as OFREP's `evaluationSuccess`, nearly all of it from bytes rendered at compile time.
pub fn write_answer(out: &mut Vec<u8>, snapshot: &Snapshot, answer: &Answer<'_>) {
    let (beginning, end) = answer.wire();
    let reason = answer.reason().as_str();
    for part in [beginning, reason, "\",\"metadata\":{", snapshot.metadata()] {
        out.extend_from_slice(part.as_bytes());
    }
    match end {
        Some(end) => out.extend_from_slice(end.as_bytes()),
        None => {
            let mut ending = String::with_capacity(64);
            let why = answer.why();
            push_ending(&mut ending, None, why.release, why.blocked_by);
            out.extend_from_slice(ending.as_bytes());
        }
    }
}

/// The rest of the metadata and the braces that close it and the answer.
pub(crate) fn push_ending(out: &mut String, rule: Option<&str>, release: Option<&str>, blocked_by: Option<&str>) {
    for (name, said) in [(",\"rule\":", rule), (",\"release\":", release), (",\"blocked_by\":", blocked_by)] {
        if let Some(said) = said {
            out.push_str(name);
            push_text(out, said);
        }
    }
    out.push_str("}}");
}

/// Writes a failure about one feature.
pub fn write_failure(out: &mut Vec<u8>, key: &str, code: ErrorCode, details: &str) {
    out.extend_from_slice(b"{\"key\":");
    write_text(out, key);
    out.extend_from_slice(b",\"errorCode\":\"");
    out.extend_from_slice(code.as_str().as_bytes());
    out.extend_from_slice(b"\",\"errorDetails\":");
    write_text(out, details);
    out.push(b'}');
}

impl ErrorCode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ParseError => "PARSE_ERROR",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::InvalidContext => "INVALID_CONTEXT",
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::General => "GENERAL",
        }
    }
}

/// A JSON string. Nearly all have nothing to escape and are copied as they are.
fn write_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

/// As [`write_text`].
pub(crate) fn push_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Anonymous;
    use crate::model::{Blocked, Feature, Model, Outcome, Rule, ValueType};

    fn feature(kind: ValueType, on: Value, off: Value) -> Feature {
        Feature {
            r#type: kind,
            variants: [("on".to_owned(), on), ("off".to_owned(), off)].into(),
            off: "off".to_owned(),
            killed: None,
            claims: vec![],
            baseline: vec![Rule { name: "say \"hi\"".to_owned(), when: vec![], then: Outcome::Variant("on".to_owned()), release: Some("autumn".to_owned()), blocked: None }],
            default: "off".to_owned(),
            prerequisites: vec![],
            dark: None,
        }
    }

    fn written(features: Vec<(&str, Feature)>) -> Vec<String> {
        let mut model = Model::new("production", 7);
        model.features = features.into_iter().map(|(key, feature)| (key.to_owned(), feature.into())).collect();
        let (snapshot, warnings) = Snapshot::compile(&model);
        assert_eq!(warnings, []);
        let write = |answer| {
            let mut out = Vec::new();
            write_answer(&mut out, &snapshot, &answer);
            String::from_utf8(out).unwrap()
        };
        snapshot.evaluate_all(&Anonymous).map(write).collect()
    }

    #[test]
    fn an_answer_carries_all_that_providers_ask_for() {
        let out = written(vec![("a/\"b\"", feature(ValueType::Boolean, json!(true), json!(false)))]);
        let success: Success = serde_json::from_str(&out[0]).unwrap();
        assert_eq!(success.key, "a/\"b\"");
        assert_eq!((success.value, success.variant.as_deref()), (Some(json!(true)), Some("on")));
        assert_eq!(success.reason, "STATIC");
        let metadata = json!({
            "flagSetId": "production", "version": "7", "revision": 7, "rule": "say \"hi\"", "release": "autumn"
        });
        assert_eq!(json!(success.metadata), metadata);
    }

    #[test]
    fn numbers_keep_their_type() {
        let out = written(vec![("float", feature(ValueType::Float, json!(10), json!(0))), ("integer", feature(ValueType::Integer, json!(10), json!(0)))]);
        assert!(out[0].contains("\"value\":10.0,"), "{}", out[0]);
        assert!(out[1].contains("\"value\":10,"), "{}", out[1]);
    }

    #[test]
    fn what_is_not_shown_says_why() {
        let killed = Some(Blocked { release: Some("autumn".to_owned()), blocked_by: "incident:7".to_owned() });
        let feature = Feature { killed, ..feature(ValueType::String, json!("new"), json!("old")) };
        let success: Success = serde_json::from_str(&written(vec![("f", feature)])[0]).unwrap();
        assert_eq!((success.reason.as_str(), success.value), ("DISABLED", Some(json!("old"))));
        assert_eq!(success.metadata.get("blocked_by"), Some(&json!("incident:7")));
        assert_eq!(success.metadata.get("release"), Some(&json!("autumn")));
        assert_eq!(success.metadata.get("rule"), None);
    }

    #[test]
    fn failures_read_back() {
        let mut out = Vec::new();
        write_failure(&mut out, "a\nb", ErrorCode::TargetingKeyMissing, "no `targetingKey`");
        let item: Item = serde_json::from_slice(&out).unwrap();
        let Item::Failure(failure) = item else { panic!("not a failure") };
        assert_eq!((failure.key.as_deref(), failure.error_code), (Some("a\nb"), ErrorCode::TargetingKeyMissing));
    }

    #[test]
    fn announcements_look_as_specified() {
        let announcement = json!(Announcement::refetch(42, Some(1_771_622_898)));
        assert_eq!(announcement, json!({"type": "refetchEvaluation", "etag": "42", "lastModified": 1_771_622_898}));
    }
}
