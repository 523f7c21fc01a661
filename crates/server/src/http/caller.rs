//! Who calls: the bearer token, looked up by its hash in the state.

use axum::http::{HeaderMap, header};
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_domain::state::State;
use greenroom_domain::time::At;

use crate::engine::Caller;
use crate::secret;

/// The caller behind `Authorization: Bearer …`.
///
/// # Errors
/// `unauthenticated` when the token is missing, unknown, revoked or expired.
pub fn caller(state: &State, headers: &HeaderMap, now: At) -> Result<Caller, Problem> {
    let refused = |why: &str| Problem::new(Code::Unauthenticated, why).detail("sign in with: greenroom login");
    let header = headers.get(header::AUTHORIZATION).ok_or_else(|| refused("the request carries no token"))?;
    let text = header.to_str().map_err(|_| refused("the token is not text"))?;
    let secret = secret::bare(text.strip_prefix("Bearer ").unwrap_or(text).trim());
    let token = state.tokens.get(&secret::hash(secret)).ok_or_else(|| refused("the token is not known, or was revoked"))?;
    if token.expires <= now {
        return Err(refused("the token has expired"));
    }
    Ok(Caller::Token(token.clone()))
}
