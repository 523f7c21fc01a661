//! OFREP 0.3: single and bulk evaluation, and the stream that says when to ask again.

mod answer;
mod cors;
mod etag;
mod stream;

use std::borrow::Cow;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use greenroom_exposure::Json;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::gate::{Denied, Scope};
use crate::{DataPlane, feeds::Feed};

/// Contexts larger than this are refused.
const BODY: usize = 256 * 1024;
/// A refetch may come before this replica has caught up; it waits this long.
const CATCH_UP: Duration = Duration::from_secs(2);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub fn routes() -> Router<DataPlane> {
    Router::new()
        .route("/ofrep/v1/evaluate/flags", post(bulk))
        .route("/ofrep/v1/evaluate/flags/", post(bulk))
        .route("/ofrep/v1/evaluate/flags/{*key}", post(single))
        .route("/ofrep/v1/stream", get(stream::stream))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(axum::middleware::from_fn(cors::cors))
}

fn scope(plane: &DataPlane, headers: &HeaderMap) -> Result<Scope, Denied> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).map(|v| v.strip_prefix("Bearer ").unwrap_or(v).trim());
    let presented = bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok()));
    plane.gate.scope(presented)
}

/// 401 and 403 carry no body.
fn denied(why: Denied) -> Response {
    match why {
        Denied::Unauthenticated => StatusCode::UNAUTHORIZED.into_response(),
        Denied::Forbidden => StatusCode::FORBIDDEN.into_response(),
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// What a request asks with. All three of `{}`, `{"context":{}}` and a missing body come from real providers.
#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    context: Option<Value>,
}

fn context(body: &[u8]) -> Result<Map<String, Value>, (&'static str, Cow<'static, str>)> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| ("PARSE_ERROR", Cow::from(format!("the request is not JSON as expected: {error}"))))?;
    match request.context {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => match map.get("targetingKey") {
            None | Some(Value::String(_)) => Ok(map),
            Some(_) => Err(("INVALID_CONTEXT", "targetingKey is not a string".into())),
        },
        Some(_) => Err(("INVALID_CONTEXT", "the context is not an object".into())),
    }
}

/// A key over several path segments, encoded or not.
fn decoded(key: &str) -> Cow<'_, str> {
    if !key.contains('%') {
        return Cow::Borrowed(key);
    }
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        let mut hex = bytes.clone();
        let digits = (hex.next().and_then(hex_digit), hex.next().and_then(hex_digit));
        if let (b'%', (Some(high), Some(low))) = (byte, digits) {
            out.push(high << 4 | low);
            bytes = hex;
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

async fn single(State(plane): State<DataPlane>, Path(key): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let scope = match scope(&plane, &headers) {
        Ok(scope) => scope,
        Err(why) => return denied(why),
    };
    let key = decoded(&key);
    let Some(feed) = plane.feeds.feed(&scope.environment) else { return no_environment(&scope) };
    let context = match context(&body) {
        Ok(context) => context,
        Err((code, details)) => return json(StatusCode::BAD_REQUEST, answer::error(&key, code, &details)),
    };
    let snapshot = feed.load();
    match snapshot.evaluate(&key, &Json(&context)) {
        None => json(StatusCode::NOT_FOUND, answer::error(&key, "FLAG_NOT_FOUND", &format!("there is no feature `{key}`"))),
        Some(found) if found.needs_targeting_key() && !context.contains_key("targetingKey") => {
            json(StatusCode::BAD_REQUEST, answer::error(&key, "TARGETING_KEY_MISSING", &format!("`{key}` is shown to a share of users: send a targetingKey")))
        }
        Some(found) => {
            let mut out = Vec::with_capacity(256);
            answer::write(&mut out, &snapshot, &found);
            json(StatusCode::OK, out)
        }
    }
}

fn no_environment(scope: &Scope) -> Response {
    let details = format!("the environment `{}` of this token is not served here", scope.environment);
    json(StatusCode::INTERNAL_SERVER_ERROR, format!("{{\"errorDetails\":{}}}", Value::String(details)).into_bytes())
}

/// What a refetch that a notice caused says about it.
fn config_etag(query: Option<&str>) -> Option<u64> {
    let sent = query?.split('&').find_map(|pair| pair.strip_prefix("flagConfigEtag="))?;
    decoded(sent).trim_matches('"').parse().ok()
}

async fn bulk(State(plane): State<DataPlane>, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let scope = match scope(&plane, &headers) {
        Ok(scope) => scope,
        Err(why) => return denied(why),
    };
    let Some(feed) = plane.feeds.feed(&scope.environment) else { return no_environment(&scope) };
    let context = match context(&body) {
        Ok(context) => context,
        Err((code, details)) => return json(StatusCode::BAD_REQUEST, answer::failure(code, &details)),
    };
    if let Some(wanted) = config_etag(query.as_deref()) {
        // never an older 200 than what the client was told of
        if !caught_up(&feed, wanted).await {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
        }
        plane.presence.refetched(&scope.environment, feed.load().revision());
    }
    let snapshot = feed.load();
    let etag = etag::of(snapshot.revision(), &scope, &context);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|sent| etag::matches(sent, &etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let stream = stream::address(&plane, &scope, snapshot.revision());
    let out = answer::bulk(&snapshot, &Json(&context), context.contains_key("targetingKey"), &stream);
    let mut response = json(StatusCode::OK, out);
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

async fn caught_up(feed: &Feed, wanted: u64) -> bool {
    if feed.load().revision() >= wanted {
        return true;
    }
    let mut revision = feed.follow();
    matches!(tokio::time::timeout(CATCH_UP, revision.wait_for(|r| *r >= wanted)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_encoded_or_not() {
        assert_eq!(decoded("a/b"), "a/b");
        assert_eq!(decoded("a%2Fb%3F"), "a/b?");
        assert_eq!(decoded("100%"), "100%");
    }

    #[test]
    fn every_form_of_empty_context_is_one() {
        for body in ["", "{}", "{\"context\":{}}", "{\"context\":null}"] {
            assert!(context(body.as_bytes()).unwrap().is_empty(), "{body}");
        }
        assert_eq!(context(b"{").unwrap_err().0, "PARSE_ERROR");
        assert_eq!(context(b"{\"context\":[]}").unwrap_err().0, "INVALID_CONTEXT");
        assert_eq!(context(b"{\"context\":{\"targetingKey\":1}}").unwrap_err().0, "INVALID_CONTEXT");
    }

    #[test]
    fn revisions_come_quoted_or_not() {
        assert_eq!(config_etag(Some("flagConfigEtag=42")), Some(42));
        assert_eq!(config_etag(Some("x=1&flagConfigEtag=%2242%22")), Some(42));
        assert_eq!(config_etag(Some("flagConfigEtag=\"42\"")), Some(42));
        assert_eq!(config_etag(None), None);
    }
}
