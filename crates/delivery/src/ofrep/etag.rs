//! `ETag = hash(snapshot revision, token scope, canonical context)`: a page whose user changes must not be told 304.

use axum::http::HeaderValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::gate::Scope;

/// Quoted, 32 hex digits.
pub(super) fn of(revision: u64, scope: &Scope, context: &Map<String, Value>) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    hash.update(revision.to_be_bytes());
    hash.update([u8::try_from(scope.environment.len()).unwrap_or(u8::MAX)]);
    hash.update(scope.environment.as_bytes());
    hash.update(scope.id.as_bytes());
    hash.update([0]);
    // keys of a map are in order at every depth, so equal contexts give equal bytes
    let _ = serde_json::to_writer(&mut hash, context);
    let digest = hash.finalize();
    let mut etag = String::with_capacity(34);
    etag.push('"');
    for byte in digest.iter().take(16) {
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}

/// Whether one of the tags sent is `etag`; quoted, unquoted and weak forms all count.
pub(super) fn matches(sent: &HeaderValue, etag: &str) -> bool {
    let bare = etag.trim_matches('"');
    sent.to_str().is_ok_and(|sent| sent.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let scope = |environment: &str, id: &str| Scope { environment: environment.into(), id: id.into() };
        let context = |key: &str| Map::from_iter([("targetingKey".to_owned(), Value::from(key))]);
        let base = of(1, &scope("p", "t"), &context("u"));
        assert_eq!(base, of(1, &scope("p", "t"), &context("u")));
        for other in [of(2, &scope("p", "t"), &context("u")), of(1, &scope("q", "t"), &context("u")), of(1, &scope("p", "s"), &context("u")), of(1, &scope("p", "t"), &context("v"))] {
            assert_ne!(base, other);
        }
        let bare = base.trim_matches('"');
        for sent in [base.clone(), bare.to_owned(), format!("W/{base}"), format!("\"x\", {base}")] {
            assert!(matches(&HeaderValue::from_str(&sent).unwrap(), &base), "{sent}");
        }
        assert!(!matches(&HeaderValue::from_static("\"x\""), &base));
    }
}
