//! One feature for one caller: the hot path of server-side providers.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use greenroom_exposure::wire::{ErrorCode, read_request, write_answer};
use http::StatusCode;

use super::reply::{self, Refusal};
use crate::DataPlane;

const PREFIX: &str = "/ofrep/v1/evaluate/flags/";

pub(super) const NO_KEY: &str = "the answer depends on `targetingKey`, and the context has none";

// the request as a whole, here and for all features: extractors would copy its head
pub(super) async fn evaluate(State(plane): State<Arc<DataPlane>>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let scope = plane.admit(&head.headers)?;
    let key = key(head.uri.path());
    let body = plane.body(&head.headers, body).await?;
    let caller = read_request(&body).map_err(|request| Refusal::Bad { key: Some(key.to_string()), request })?;
    let published = plane.published(&scope)?;
    let snapshot = published.snapshot();
    let response = match snapshot.evaluate(&key, &caller) {
        Some(answer) if answer.needs_targeting_key() => reply::failed(StatusCode::BAD_REQUEST, &key, ErrorCode::TargetingKeyMissing, NO_KEY),
        Some(answer) => {
            plane.count(&scope.environment, &published, &answer, &caller);
            let mut body = Vec::with_capacity(384);
            write_answer(&mut body, snapshot, &answer);
            reply::json(StatusCode::OK, body)
        }
        None if snapshot.contains(&key) => {
            let details = "the feature has no variant that could be served: correct its definition";
            reply::failed(StatusCode::BAD_REQUEST, &key, ErrorCode::General, details)
        }
        None => {
            let details = format!("there is no feature `{key}` in environment `{}`", scope.environment);
            reply::failed(StatusCode::NOT_FOUND, &key, ErrorCode::FlagNotFound, &details)
        }
    };
    Ok(response)
}

/// The key may span several segments and be percent-encoded in whole, in part or not at all: providers differ.
fn key(path: &str) -> Cow<'_, str> {
    let raw = path.strip_prefix(PREFIX).unwrap_or(path);
    if raw.contains('%') { decoded(raw).map_or(Cow::Borrowed(raw), Cow::Owned) } else { Cow::Borrowed(raw) }
}

/// `None` if it does not decode to text; what is no escape stands for itself.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        match (first, more) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(hex: u8) -> u8 {
    char::from(hex).to_digit(16).map_or(0, |digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_however_it_was_sent() {
        for (path, expected) in [
            ("plain", "plain"),
            ("shop/new-checkout", "shop/new-checkout"),
            ("shop%2Fnew-checkout", "shop/new-checkout"),
            ("shop%2fa/b%3Ac", "shop/a/b:c"),
            ("50%", "50%"),
            ("%zz%4", "%zz%4"),
            ("gr%C3%BCn", "grün"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(key(&format!("{PREFIX}{path}")), expected);
        }
    }
}
