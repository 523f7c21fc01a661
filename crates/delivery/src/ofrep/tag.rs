//! What stands for an answer to a bulk request: the revision, and a digest of who asked. Two callers who may be answered
//! differently never share a tag; a tag that only named the revision would leave a page with another user's values.

use greenroom_exposure::wire::Caller;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use crate::feeds::Published;
use crate::gate::Scope;

/// A caller as one token sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker([u8; 16]);

impl Asker {
    pub(super) fn new(scope: &Scope, caller: &Caller<'_>) -> Self {
        Self::by(scope, |canonical| caller.write_canonical(canonical))
    }

    /// By whatever the answer depends on beside the token.
    pub(crate) fn by(scope: &Scope, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut canonical = Vec::with_capacity(256);
        for part in [&scope.environment, &scope.id] {
            canonical.extend_from_slice(&(part.len() as u64).to_le_bytes());
            canonical.extend_from_slice(part.as_bytes());
        }
        write(&mut canonical);
        let digest: [u8; 32] = Sha256::digest(&canonical).into();
        let (first, _) = digest.as_chunks::<16>();
        Self(first.first().copied().unwrap_or_default())
    }

    pub(super) fn id(self) -> u64 {
        let (first, _) = self.0.as_chunks::<8>();
        first.first().copied().map_or(0, u64::from_le_bytes)
    }

    /// Without quotes.
    pub(crate) fn tag(self, published: &Published) -> String {
        let mut tag = match (published.revision(), published.edition()) {
            (revision, 0) => format!("{revision}-"),
            (revision, edition) => format!("{revision}.{edition:x}-"),
        };
        super::token::write_hex(&mut tag, &self.0);
        tag
    }
}

pub(crate) fn header_value(tag: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{tag}\"")).ok()
}

/// Whether `If-None-Match` lists `tag`, in quotes or not, weak or strong.
pub(crate) fn known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|listed| bare(listed) == tag)
}

/// The revision that an event told the caller about: `flagConfigEtag` of a query, in whatever dress.
pub(super) fn announced(query: Option<&str>) -> Option<u64> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("flagConfigEtag="))?;
    let value = value.replace("%22", "\"").replace("%2F", "/").replace("%2f", "/");
    bare(&value).parse().ok()
}

pub(crate) fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_known_quoted_weak_and_bare() {
        for listed in ["\"7-ab\"", "7-ab", "W/\"7-ab\"", "\"x\", \"7-ab\"", "x,7-ab"] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(listed).unwrap())]);
            assert!(known(&headers, "7-ab"), "{listed}");
            assert!(!known(&headers, "8-ab") && !known(&headers, "7-a"), "{listed}");
        }
        assert!(!known(&HeaderMap::new(), "7-ab"));
    }

    #[test]
    fn an_announced_revision_is_read_in_any_dress() {
        for query in ["flagConfigEtag=42", "flagConfigEtag=%2242%22", "a=b&flagConfigEtag=W%2F%2242%22&flagConfigLastModified=1"] {
            assert_eq!(announced(Some(query)), Some(42), "{query}");
        }
        assert_eq!(announced(Some("flagConfigEtag=abc")), None);
        assert_eq!(announced(Some("flagConfigLastModified=1")), None);
        assert_eq!(announced(None), None);
    }
}
