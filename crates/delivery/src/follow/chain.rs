//! Relays in a row: each says through whom its answers come, so that none follows itself and the row stays short.

use std::sync::Arc;

use axum::response::Response;
use greenroom_exposure::wire::follow::{DEPTH, RELAY, is_name};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;

use crate::ofrep::reply::{self, Refusal};

/// The relays through whom we are what we are, ourselves last. A control plane stands at the beginning and has none.
#[derive(Debug, Clone, Default)]
pub struct Chain(Option<watch::Receiver<Arc<[Arc<str>]>>>);

impl Chain {
    /// Of a relay, whose place changes with whom it follows.
    #[must_use]
    pub const fn of(path: watch::Receiver<Arc<[Arc<str>]>>) -> Self {
        Self(Some(path))
    }

    pub(crate) const fn is_relay(&self) -> bool {
        self.0.is_some()
    }

    /// Lets a relay follow us, unless we follow it or the row is full. Whoever is no relay is not asked.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Moved, Refusal> {
        let Some(asker) = headers.get(RELAY).map(|name| name.to_str().unwrap_or_default()) else { return Ok(Moved(None)) };
        if !is_name(asker) {
            return Err(Refusal::Chain(format!("`{RELAY}` is one name of up to 100 letters, digits, `-`, `.` and `_`")));
        }
        let Some(path) = &self.0 else { return Ok(Moved(None)) };
        let mut path = path.clone();
        let names = path.borrow_and_update().clone();
        if names.iter().any(|name| **name == *asker) {
            return Err(Refusal::Chain(format!("`{asker}` would follow itself: {}", names.join(", "))));
        }
        if names.len() >= DEPTH {
            return Err(Refusal::Chain(format!("{DEPTH} relays in a row are enough: {}", names.join(", "))));
        }
        Ok(Moved(Some(path)))
    }

    /// Says through whom an answer comes.
    pub(super) fn signed(&self, response: Response) -> Response {
        let path = self.0.as_ref().and_then(|path| HeaderValue::try_from(path.borrow().join(",")).ok());
        match path {
            Some(path) => reply::with(response, HeaderName::from_static(RELAY), path),
            None => response,
        }
    }
}

/// Our place in the chain, as a relay that follows us knows it.
pub(super) struct Moved(Option<watch::Receiver<Arc<[Arc<str>]>>>);

impl Moved {
    /// Until it is another; for ever, for whoever is no relay.
    pub(super) async fn wait(&mut self) {
        if let Some(path) = &mut self.0
            && path.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
