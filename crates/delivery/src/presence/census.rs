//! Whom a revision has to reach: those who were in contact when it was published, whatever becomes of them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Acknowledged, Key, NAMED, Presence, lock};

/// Those whom a revision has to reach, less those whom it has.
#[derive(Debug)]
pub struct Census {
    revision: u64,
    waited_for: Vec<Evaluator>,
    /// How many have acknowledged for good.
    reached: u64,
}

#[derive(Debug)]
struct Evaluator {
    key: Key,
    name: Arc<str>,
    clients: u64,
    /// Behind it, if it is a relay.
    behind: u64,
    /// It asked once, keeps no stream open and did not say that it comes again: out of contact, nobody waits for it.
    passing: bool,
}

impl Presence {
    /// Everyone of `environment` whom `revision` has to reach.
    #[must_use]
    pub fn census(&self, environment: &str, revision: u64) -> Census {
        let now = Instant::now();
        let mut waited_for = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let here = shard.evaluators.iter().filter(|((other, _), evaluator)| **other == *environment && evaluator.is_waited_for(now, self.in_contact));
            waited_for.extend(here.map(|(key, evaluator)| Evaluator {
                key: key.clone(),
                name: Arc::clone(&evaluator.name),
                clients: evaluator.clients(),
                behind: evaluator.relayed.as_ref().map_or(0, |relayed| relayed.in_contact),
                passing: evaluator.streams == 0 && !evaluator.single,
            }));
        }
        Census { revision, waited_for, reached: 0 }
    }

    /// How many of them have acknowledged, and who has not. With it, how many of these are out of contact: what they
    /// answer from, nobody can tell.
    pub fn ask(&self, census: &mut Census) -> (Acknowledged, u64) {
        let (now, revision) = (Instant::now(), census.revision);
        let (mut said, mut lost, mut reached) = (Acknowledged::default(), 0, census.reached);
        census.waited_for.retain(|waited| {
            let (environment, id) = &waited.key;
            let shard = self.shard(environment, *id);
            let known = shard.evaluators.get(&waited.key);
            let in_contact = known.is_some_and(|known| known.in_contact(now, self.in_contact));
            let acknowledged = known.map_or(0, |known| known.acknowledged(revision).min(waited.clients));
            let behind = known.filter(|_| acknowledged > 0).and_then(|known| known.relayed.as_ref());
            let acknowledged_behind = behind.map_or(0, |behind| behind.acknowledged.min(waited.behind));
            let (wanted, has) = (waited.clients + waited.behind, acknowledged + acknowledged_behind);
            if has == wanted {
                reached += wanted;
                return false;
            }
            if waited.passing && !in_contact {
                return false;
            }
            said.in_contact += wanted;
            said.acknowledged += has;
            // of those behind a relay, whoever it does not speak of any more
            let still_there = behind.map_or(waited.behind, |behind| waited.behind.min(behind.in_contact));
            lost += if in_contact { waited.behind - still_there.max(acknowledged_behind) } else { wanted - has };
            match behind.filter(|behind| !behind.laggards.is_empty()) {
                Some(behind) => said.laggards.extend(behind.laggards.iter().map(|name| format!("{}/{name}", waited.name))),
                None => said.laggards.push(waited.name.to_string()),
            }
            true
        });
        census.reached = reached;
        said.in_contact += reached;
        said.acknowledged += reached;
        said.laggards.sort_unstable();
        said.laggards.truncate(NAMED);
        (said, lost)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use greenroom_exposure::wire::follow::Relayed;

    use super::*;

    fn said(presence: &Presence, census: &mut Census) -> (u64, u64, Vec<String>, u64) {
        let (Acknowledged { in_contact, acknowledged, laggards }, lost) = presence.ask(census);
        (in_contact, acknowledged, laggards, lost)
    }

    fn listening() -> (Arc<Presence>, Arc<str>) {
        (Arc::new(Presence::default()), Arc::from("production"))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_in_contact_is_waited_for_wherever_they_have_gone() {
        let (presence, production) = listening();
        for (id, name) in [(1, "shop-1"), (2, "shop-2")] {
            presence.reported(&production, id, name, 7, None);
        }
        let open = presence.connected(&production, 1, "shop-1");
        let mut census = presence.census("production", 8);
        presence.reported(&production, 3, "newcomer", 7, None);
        assert_eq!(said(&presence, &mut census), (2, 0, vec!["shop-1".to_owned(), "shop-2".to_owned()], 0));
        presence.reported(&production, 1, "shop-1", 8, None);
        drop(open);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(said(&presence, &mut census), (2, 1, vec!["shop-2".to_owned()], 1), "nobody knows what it answers from");
        presence.reported(&production, 2, "shop-2", 8, None);
        assert_eq!(said(&presence, &mut census), (2, 2, vec![], 0));
        presence.reported(&production, 2, "shop-2", 9, None);
        assert_eq!(said(&presence, &mut census), (2, 2, vec![], 0), "for good");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_in_passing_is_waited_for_as_long_as_it_is_in_contact() {
        let (presence, production) = listening();
        presence.fetched(&production, 1, "script", 7, false);
        presence.fetched(&production, 2, "app", 7, false);
        let _open = presence.connected(&production, 2, "app");
        let mut census = presence.census("production", 8);
        assert_eq!(said(&presence, &mut census), (2, 0, vec!["app".to_owned(), "script".to_owned()], 0));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(said(&presence, &mut census), (1, 0, vec!["app".to_owned()], 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_page() {
        let (presence, production) = listening();
        presence.fetched(&production, 1, "page", 7, false);
        presence.is_page(&production, 1);
        let open = presence.connected(&production, 1, "page");
        assert_eq!(open.seen(), Some(7));
        assert_eq!(said(&presence, &mut presence.census("production", 8)), (0, 0, vec![], 0));
        assert_eq!(presence.acknowledged("production", 8), Acknowledged::default());
    }

    #[tokio::test]
    async fn those_behind_a_relay_are_waited_for_by_number() {
        let (presence, production) = listening();
        let behind = |in_contact, acknowledged, laggards: &[&str]| {
            Some(Relayed { in_contact, acknowledged, laggards: laggards.iter().map(|&name| name.into()).collect(), ..Relayed::default() })
        };
        presence.reported(&production, 1, "edge", 7, behind(3, 3, &[]));
        let _open = presence.connected(&production, 1, "edge");
        let mut census = presence.census("production", 8);
        assert_eq!(said(&presence, &mut census), (4, 0, vec!["edge".to_owned()], 0));
        presence.reported(&production, 1, "edge", 8, behind(3, 1, &["shop-2", "shop-3"]));
        assert_eq!(said(&presence, &mut census), (4, 2, vec!["edge/shop-2".to_owned(), "edge/shop-3".to_owned()], 0));
        presence.reported(&production, 1, "edge", 8, behind(2, 2, &[]));
        assert_eq!(said(&presence, &mut census), (4, 3, vec!["edge".to_owned()], 1), "one of them has gone");
        presence.reported(&production, 1, "edge", 8, behind(3, 3, &[]));
        assert_eq!(said(&presence, &mut census), (4, 4, vec![], 0));
    }
}
