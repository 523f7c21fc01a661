//! Who listens, and how far they have come. In memory only: it is rebuilt by their asking.
//!
//! OFREP clients have no name: an open stream is one evaluator in contact, and a refetch that a notice caused carries
//! the revision it answers. So acknowledgements are counts, and so are laggards (weak, and said to be so).

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Revisions remembered for each environment.
const REMEMBERED: usize = 64;

#[derive(Debug, Default)]
struct Here {
    /// Open streams, by the revision that was current when they began.
    streams: HashMap<u64, u64>,
    /// Refetches by the revision they acknowledge.
    refetched: BTreeMap<u64, u64>,
}

/// How far a revision has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledged {
    pub in_contact: u64,
    pub acknowledged: u64,
    /// Names, or counts where the protocol gives no name.
    pub laggards: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Presence {
    all: Mutex<(u64, HashMap<String, Here>)>,
}

impl Presence {
    fn with<T>(&self, work: impl FnOnce(&mut u64, &mut HashMap<String, Here>) -> T) -> T {
        // a panic elsewhere leaves counts that are at worst stale
        let mut all = self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (next, map) = &mut *all;
        work(next, map)
    }

    /// A stream opened whose client has seen `revision`.
    pub(crate) fn opened(&self, environment: &str, revision: u64) -> u64 {
        self.with(|next, all| {
            *next += 1;
            all.entry(environment.to_owned()).or_default().streams.insert(*next, revision);
            *next
        })
    }

    pub(crate) fn closed(&self, environment: &str, stream: u64) {
        self.with(|_, all| {
            if let Some(here) = all.get_mut(environment) {
                here.streams.remove(&stream);
            }
        });
    }

    /// A client fetched anew because it heard of `revision`.
    pub(crate) fn refetched(&self, environment: &str, revision: u64) {
        self.with(|_, all| {
            let here = all.entry(environment.to_owned()).or_default();
            *here.refetched.entry(revision).or_default() += 1;
            while here.refetched.len() > REMEMBERED {
                here.refetched.pop_first();
            }
        });
    }

    /// Streams open now.
    #[must_use]
    pub fn streams(&self, environment: &str) -> u64 {
        self.with(|_, all| all.get(environment).map_or(0, |here| here.streams.len() as u64))
    }

    /// How many of those in contact have `revision` or a later one.
    #[must_use]
    pub fn acknowledged(&self, environment: &str, revision: u64) -> Acknowledged {
        self.with(|_, all| {
            let Some(here) = all.get(environment) else { return Acknowledged::default() };
            let in_contact = here.streams.len() as u64;
            // a stream that began after the publication has fetched it already
            let began_after = here.streams.values().filter(|r| **r >= revision).count() as u64;
            let refetched = here.refetched.range(revision..).map(|(_, n)| *n).max().unwrap_or(0);
            let acknowledged = (began_after + refetched).min(in_contact);
            let late = in_contact - acknowledged;
            let laggards = if late == 0 { Vec::new() } else { vec![format!("{late} OFREP clients, not known by name")] };
            Acknowledged { in_contact, acknowledged, laggards }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_is_heard_by_refetch_or_by_beginning_later() {
        let presence = Presence::default();
        assert_eq!(presence.acknowledged("p", 5), Acknowledged::default());
        let early = presence.opened("p", 4);
        assert_eq!(presence.acknowledged("p", 5).acknowledged, 0);
        presence.refetched("p", 5);
        presence.opened("p", 6);
        let said = presence.acknowledged("p", 5);
        assert_eq!((said.in_contact, said.acknowledged, said.laggards.len()), (2, 2, 0));
        presence.closed("p", early);
        assert_eq!(presence.streams("p"), 1);
    }
}
