//! Says when a withdrawal, of a release or by a kill, is effective: of the evaluators that were in contact when it was
//! published, the share that policy asks for has acknowledged, or its time is up.
//!
//! Who was in contact is presence, which a restart forgets: what was published before one waits until everyone has had time
//! to come back, or for its deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::{Acknowledged, Census, Feeds};
use greenroom_domain::actor::Part;
use greenroom_domain::command::Command;
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::state::Features;
use greenroom_domain::time::Span;
use greenroom_domain::withdrawal::{Open, Withdrawn};
use tokio::time::Instant;

use super::{Engine, now};

/// How often acknowledgements are looked at.
const ASK: Duration = Duration::from_millis(50);
/// After a start, everyone who evaluates has come back by then: streams reconnect within seconds, and Unleash's SDKs ask
/// every 15 s.
const BACK: Duration = Duration::from_secs(20);
/// Past its deadline, a withdrawal waits so long for whoever is out of contact; then it is effective without them, as its
/// numbers say.
const GIVEN_UP: Span = Span::secs(300);

/// What, where, and the event that began it.
type Id = (Withdrawn, Name, u64);

struct Withdrawals {
    engine: Arc<Engine>,
    feeds: Arc<Feeds>,
    began: Instant,
    /// What was decided later was published by this process.
    head: u64,
    kills: Kills,
    asked: HashMap<Id, Census>,
}

/// Features with a kill that is not effective yet. There may be many features, and few of them are killed: they are looked
/// through when one has changed.
struct Kills {
    among: Features,
    open: Vec<FeatureKey>,
}

impl Kills {
    fn new(among: Features) -> Self {
        let open = among.values().filter(|f| f.withdrawals().next().is_some()).map(|f| f.key.clone()).collect();
        Self { among, open }
    }
}

pub async fn run(engine: Arc<Engine>, feeds: Arc<Feeds>) {
    let state = engine.state.load_full();
    let mut withdrawals = Withdrawals { engine, feeds, began: Instant::now(), head: state.seq, kills: Kills::new(state.features.clone()), asked: HashMap::new() };
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        withdrawals.look().await;
    }
}

impl Withdrawals {
    async fn look(&mut self) {
        let state = self.engine.state.load_full();
        if !self.kills.among.ptr_eq(&state.features) {
            self.kills = Kills::new(state.features.clone());
        }
        let killed = self.kills.open.iter().filter_map(|key| state.features.get(key)).flat_map(|f| f.withdrawals());
        let open: Vec<Open> = state.releases.values().flat_map(|r| r.withdrawals()).chain(killed).collect();
        let mut before = std::mem::take(&mut self.asked);
        for open in open {
            let id = (open.what.clone(), open.environment.clone(), open.seq);
            let census = before.remove(&id);
            self.ask(open, id, census).await;
        }
    }

    async fn ask(&mut self, open: Open, id: Id, census: Option<Census>) {
        let Open { environment, seq, deadline, share, partial, shows, .. } = &open;
        if *shows && self.feeds.current(environment.as_str()).is_none_or(|s| s.revision() < *seq) {
            return;
        }
        let census = census.or_else(|| (*seq > self.head || self.began.elapsed() >= BACK).then(|| self.engine.presence.census(environment.as_str(), *seq)));
        let (said, effective) = match census {
            // it showed nothing that anyone could have kept
            _ if !shows => (Acknowledged::default(), true),
            Some(mut census) => {
                let (said, lost) = self.engine.presence.ask(&mut census);
                self.asked.insert(id, census);
                let given_up = *partial && now() >= *deadline + GIVEN_UP && said.acknowledged + lost >= said.in_contact;
                let effective = said.acknowledged >= share.of(said.in_contact) || given_up;
                (said, effective)
            }
            None => (self.engine.presence.acknowledged(environment.as_str(), *seq), false),
        };
        let late = *deadline <= now() && !partial;
        if effective || late {
            self.report(open, said, effective).await;
        }
    }

    async fn report(&self, open: Open, said: Acknowledged, effective: bool) {
        let Acknowledged { in_contact, acknowledged, laggards } = said;
        let Open { what, environment, seq, .. } = open;
        let command = Command::ReportWithdrawal { what, environment, seq, in_contact, acknowledged, laggards, effective };
        let _ = self.engine.report(Part::Publisher, command).await;
    }
}
