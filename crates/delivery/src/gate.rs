//! Who may evaluate what. Whoever runs the data plane decides; this crate only reads the headers.

use std::sync::Arc;

use greenroom_exposure::wire::follow::Ticket;
use http::{HeaderMap, header};

/// Judges what a request presents as its token.
pub trait Gate: Send + Sync {
    /// Called on every request, so it must not wait.
    ///
    /// # Errors
    /// If the token is absent or unknown, or known and not good for evaluating.
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied>;

    /// As [`Self::scope`], for a relay that asks whom it may let ask.
    ///
    /// # Errors
    /// Unless the token is a relay's.
    fn relay(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        self.scope(presented).and(Err(Denied::Forbidden))
    }

    /// Whether the token of this id still opens what it did: asked of open streams before they are sent something.
    fn stands(&self, _id: &str) -> bool {
        true
    }

    /// Everyone whom [`Self::scope`] lets read `environment`.
    fn tickets(&self, _environment: &str) -> Vec<Ticket> {
        Vec::new()
    }
}

/// What an open stream was opened with.
pub(crate) struct Pass {
    pub gate: Arc<dyn Gate>,
    pub id: Arc<str>,
}

impl Pass {
    /// Not any more once the token is revoked or has ended.
    pub fn stands(&self) -> bool {
        self.gate.stands(&self.id)
    }
}

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The one environment whose exposure it reads.
    pub environment: Arc<str>,
    /// Names the token in logs and lists, without being it.
    pub id: Arc<str>,
    /// Whether it may have the rules themselves, with whomever they list, and not only answers.
    pub follows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Unauthenticated,
    Forbidden,
}

/// The token of `Authorization: Bearer …` or, without that header, of `X-API-Key`.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return headers.get("x-api-key")?.to_str().ok().map(str::trim);
    };
    let (scheme, token) = authorization.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
