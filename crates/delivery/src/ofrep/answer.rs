//! Writing answers by hand into one buffer, by the rules that every released provider can read: always a value, a
//! variant, a standard reason; floats with a decimal point; what is richer goes into `metadata`.

use greenroom_exposure::model::ValueType;
use greenroom_exposure::{Answer, Context, Snapshot};
use serde_json::Value;

fn text(out: &mut Vec<u8>, text: &str) {
    // writing a string into memory cannot fail
    let _ = serde_json::to_writer(out, text);
}

fn value(out: &mut Vec<u8>, value: &Value, r#type: ValueType) {
    match (r#type, value.as_f64()) {
        // Python's provider takes `10` for an integer
        (ValueType::Float, Some(number)) => {
            let _ = serde_json::to_writer(out, &number);
        }
        _ => {
            let _ = serde_json::to_writer(out, value);
        }
    }
}

fn pair(out: &mut Vec<u8>, key: &str, content: &str) {
    out.push(b',');
    text(out, key);
    out.push(b':');
    text(out, content);
}

/// One answer as a JSON object.
pub(super) fn write(out: &mut Vec<u8>, snapshot: &Snapshot, answer: &Answer<'_>) {
    out.extend_from_slice(b"{\"key\":");
    text(out, answer.key());
    out.extend_from_slice(b",\"value\":");
    let r#type = snapshot.feature(answer.key()).map_or(ValueType::Object, |f| f.r#type);
    value(out, answer.value(), r#type);
    out.extend_from_slice(b",\"variant\":");
    text(out, answer.variant());
    out.extend_from_slice(b",\"reason\":\"");
    out.extend_from_slice(answer.reason().as_str().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":{\"revision\":");
    let revision = snapshot.revision().to_string();
    out.extend_from_slice(revision.as_bytes());
    out.extend_from_slice(b",\"version\":\"");
    out.extend_from_slice(revision.as_bytes());
    out.push(b'"');
    pair(out, "flagSetId", snapshot.environment());
    for (key, content) in [("release", answer.release()), ("rule", answer.rule()), ("blocked_by", answer.blocked_by())] {
        if let Some(content) = content {
            pair(out, key, content);
        }
    }
    out.extend_from_slice(b"}}");
}

/// All features, one failing alone; ends with where to listen for changes.
pub(super) fn bulk<C: Context>(snapshot: &Snapshot, context: &C, keyed: bool, stream: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"flags\":[");
    let mut first = true;
    for answer in snapshot.evaluate_all(context) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        if answer.needs_targeting_key() && !keyed {
            out.extend_from_slice(&error(answer.key(), "TARGETING_KEY_MISSING", "it is shown to a share of users: send a targetingKey"));
        } else {
            write(&mut out, snapshot, &answer);
        }
    }
    out.extend_from_slice(b"],\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{\"requestUri\":");
    text(&mut out, stream);
    out.extend_from_slice(b"},\"inactivityDelaySec\":120}],\"metadata\":{\"flagSetId\":");
    text(&mut out, snapshot.environment());
    out.extend_from_slice(b",\"version\":\"");
    out.extend_from_slice(snapshot.revision().to_string().as_bytes());
    out.extend_from_slice(b"\"}}");
    out
}

/// A failure of one feature.
pub(super) fn error(key: &str, code: &str, details: &str) -> Vec<u8> {
    let mut out = b"{\"key\":".to_vec();
    text(&mut out, key);
    pair(&mut out, "errorCode", code);
    pair(&mut out, "errorDetails", details);
    out.push(b'}');
    out
}

/// A failure of a whole call.
pub(super) fn failure(code: &str, details: &str) -> Vec<u8> {
    let mut out = b"{\"errorCode\":".to_vec();
    text(&mut out, code);
    pair(&mut out, "errorDetails", details);
    out.push(b'}');
    out
}
