//! Whom a relay lets ask: those whom its upstream named, by what their tokens hash to. What it was told last is on disk.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use greenroom_delivery::{Denied, Gate, Scope};
use greenroom_exposure::wire::follow::{Ticket, Tickets};
use sha2::{Digest as _, Sha256};

use crate::Clock;

type Known = HashMap<String, (Arc<str>, Ticket)>;

pub(crate) struct TicketGate {
    clock: Clock,
    /// By the line that brought them.
    told: Mutex<BTreeMap<usize, Tickets>>,
    known: ArcSwap<Known>,
}

impl TicketGate {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::default(), known: ArcSwap::default() }
    }

    /// Lets in whom `line` was told of, and nobody whom it was told of before and is not now.
    pub(crate) fn let_in(&self, line: usize, tickets: Tickets) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(line, tickets);
        let each = told.values().flat_map(|told| told.tickets.iter().map(|ticket| (ticket.sha256.clone(), (Arc::clone(&told.environment), ticket.clone()))));
        self.known.store(Arc::new(each.collect()));
    }

    fn look_up(&self, presented: Option<&str>) -> Result<(Scope, bool), Denied> {
        let hash = hash(bare(presented.ok_or(Denied::Unauthenticated)?));
        let known = self.known.load();
        let (environment, ticket) = known.get(&hash).filter(|(_, ticket)| ticket.expires > (self.clock)()).ok_or(Denied::Unauthenticated)?;
        Ok((Scope { environment: Arc::clone(environment), id: Arc::clone(&ticket.id), follows: !ticket.web }, ticket.relay))
    }
}

/// Unleash SDKs send the same secret as `*:ENV.gr_sdk_…`.
fn bare(presented: &str) -> &str {
    presented.rfind(".gr_").and_then(|dot| presented.get(dot + 1..)).unwrap_or(presented)
}

fn hash(secret: &str) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(secret.as_bytes()) {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Gate for TicketGate {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        self.look_up(presented).map(|(scope, _)| scope)
    }

    fn relay(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        match self.look_up(presented)? {
            (scope, true) => Ok(scope),
            (_, false) => Err(Denied::Forbidden),
        }
    }

    fn stands(&self, id: &str) -> bool {
        let now = (self.clock)();
        self.known.load().values().any(|(_, ticket)| *ticket.id == *id && ticket.expires > now)
    }

    fn tickets(&self, environment: &str) -> Vec<Ticket> {
        let known = self.known.load();
        known.values().filter(|(here, _)| **here == *environment).map(|(_, ticket)| ticket.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_it_was_told_of_are_let_in_and_only_until_they_expire() {
        let ticket = |secret: &str, relay: bool| Ticket { sha256: hash(secret), id: secret.into(), expires: 2_000, relay, web: false };
        let gate = TicketGate::new(Arc::new(|| 1_000));
        assert_eq!(gate.scope(Some("gr_sdk_1")), Err(Denied::Unauthenticated));
        gate.let_in(
            0,
            Tickets {
                environment: "production".into(),
                tickets: vec![ticket("gr_sdk_1", false), ticket("gr_relay_1", true), Ticket { expires: 1_000, ..ticket("gr_sdk_old", false) }],
            },
        );
        gate.let_in(1, Tickets { environment: "test".into(), tickets: vec![ticket("gr_sdk_2", false)] });
        assert_eq!(&*gate.scope(Some("*:production.gr_sdk_1")).unwrap().environment, "production");
        assert_eq!(&*gate.scope(Some("gr_sdk_2")).unwrap().environment, "test");
        assert_eq!((gate.scope(Some("gr_sdk_old")), gate.scope(None)), (Err(Denied::Unauthenticated), Err(Denied::Unauthenticated)));
        assert_eq!((gate.relay(Some("gr_sdk_1")), gate.relay(Some("gr_relay_1")).is_ok()), (Err(Denied::Forbidden), true));
        assert_eq!((gate.tickets("production").len(), gate.tickets("test").len()), (3, 1));
        gate.let_in(0, Tickets { environment: "production".into(), tickets: vec![] });
        assert_eq!((gate.scope(Some("gr_sdk_1")), gate.scope(Some("gr_sdk_2")).is_ok()), (Err(Denied::Unauthenticated), true));
    }
}
