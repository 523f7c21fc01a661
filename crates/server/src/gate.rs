//! The gate of the data plane: tokens of SDKs, of pages and of relays, and the one environment each of them reads.
//!
//! Until the ledger is read, what the last run kept of them on disk decides.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use greenroom_delivery::{Denied, Gate, Scope};
use greenroom_domain::event::{Token, TokenKind};
use greenroom_domain::id::{Digest, TokenId};
use greenroom_domain::state::State;
use greenroom_domain::time::At;
use greenroom_exposure::wire::follow as wire;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::engine::{Engine, now};
use crate::secret;

/// Such a token as it is kept beside the snapshots: never the secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticket {
    sha256: Digest,
    environment: Arc<str>,
    id: Arc<str>,
    expires: At,
    #[serde(default = "sdk")]
    kind: TokenKind,
}

impl Ticket {
    fn scope(&self) -> Scope {
        Scope { environment: Arc::clone(&self.environment), id: Arc::clone(&self.id), follows: self.kind != TokenKind::Web }
    }
}

const fn sdk() -> TokenKind {
    TokenKind::Sdk
}

/// Everyone who may evaluate.
#[must_use]
pub fn tickets(state: &State) -> Vec<Ticket> {
    state.tokens.values().filter_map(|token| ticket(state, token)).collect()
}

fn ticket(state: &State, token: &Token) -> Option<Ticket> {
    let environment =
        token.environment.as_ref().filter(|name| matches!(token.kind, TokenKind::Sdk | TokenKind::Web | TokenKind::Relay) && state.environments.contains_key(*name))?;
    Some(Ticket { sha256: token.hash.clone(), environment: environment.as_str().into(), id: token.id.to_string().into(), expires: token.expires, kind: token.kind })
}

/// A token that this thread has let in before.
struct Known {
    gate: u64,
    version: u64,
    secret: String,
    scope: Scope,
    expires: At,
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

pub struct TokenGate {
    /// Of all gates there ever were in this process.
    number: u64,
    early: HashMap<Digest, Ticket>,
    engine: OnceLock<Arc<Engine>>,
    /// Moved whenever a token may have changed.
    version: Arc<AtomicU64>,
}

impl TokenGate {
    #[must_use]
    pub fn new(early: Vec<Ticket>) -> Self {
        let early = early.into_iter().map(|ticket| (ticket.sha256.clone(), ticket)).collect();
        static GATES: AtomicU64 = AtomicU64::new(0);
        Self { number: GATES.fetch_add(1, Ordering::Relaxed), early, engine: OnceLock::new(), version: Arc::default() }
    }

    /// From now on the state decides; whoever changes tokens moves the version.
    pub fn open(&self, engine: Arc<Engine>) {
        let _ = self.engine.set(engine);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    #[must_use]
    pub fn version(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.version)
    }

    fn look_up(&self, secret: &str) -> Result<Ticket, Denied> {
        let hash = secret::hash(secret);
        let Some(engine) = self.engine.get() else {
            return self.early.get(&hash).filter(|ticket| ticket.expires > now()).cloned().ok_or(Denied::Unauthenticated);
        };
        let state = engine.state.load();
        let token = state.tokens.get(&hash).ok_or(Denied::Unauthenticated)?;
        if token.expires <= now() {
            return Err(Denied::Unauthenticated);
        }
        ticket(&state, token).ok_or(Denied::Forbidden)
    }
}

impl Gate for TokenGate {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let secret = secret::bare(presented.ok_or(Denied::Unauthenticated)?);
        let (gate, version) = (self.number, self.version.load(Ordering::Acquire));
        let known = KNOWN.with_borrow(|known| {
            let known = known.as_ref().filter(|k| k.gate == gate && k.version == version && k.expires > now())?;
            bool::from(known.secret.as_bytes().ct_eq(secret.as_bytes())).then(|| known.scope.clone())
        });
        if let Some(scope) = known {
            return Ok(scope);
        }
        let ticket = self.look_up(secret)?;
        let scope = ticket.scope();
        KNOWN.set(Some(Known { gate, version, secret: secret.to_owned(), scope: scope.clone(), expires: ticket.expires }));
        Ok(scope)
    }

    fn relay(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let ticket = self.look_up(secret::bare(presented.ok_or(Denied::Unauthenticated)?))?;
        if ticket.kind == TokenKind::Relay { Ok(ticket.scope()) } else { Err(Denied::Forbidden) }
    }

    fn stands(&self, id: &str) -> bool {
        let Some(engine) = self.engine.get() else { return self.early.values().any(|ticket| *ticket.id == *id && ticket.expires > now()) };
        let state = engine.state.load();
        let hash = id.parse().ok().and_then(|id: TokenId| state.token_ids.get(&id));
        hash.and_then(|hash| state.tokens.get(hash)).is_some_and(|token| token.expires > now())
    }

    fn tickets(&self, environment: &str) -> Vec<wire::Ticket> {
        let (now, all) = (now(), self.engine.get().map_or_else(|| self.early.values().cloned().collect(), |engine| tickets(&engine.state.load())));
        let here = all.into_iter().filter(|ticket| *ticket.environment == *environment && ticket.expires > now);
        let told = |ticket: Ticket| wire::Ticket {
            sha256: ticket.sha256.to_string(),
            id: ticket.id,
            expires: u64::try_from(ticket.expires.0 / 1_000_000).unwrap_or(0),
            relay: ticket.kind == TokenKind::Relay,
            web: ticket.kind == TokenKind::Web,
        };
        here.map(told).collect()
    }
}
