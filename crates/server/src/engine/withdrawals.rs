//! Says when a withdrawal is effective: of the evaluators that were in contact when it was published, the share that policy
//! asks for has acknowledged, or its time is up.
//!
//! Who was in contact is presence, which a restart forgets: what was published before one waits until everyone has had time
//! to come back, or for its deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::{Acknowledged, Census, Feeds};
use greenroom_domain::actor::Part;
use greenroom_domain::command::Command;
use greenroom_domain::id::Name;
use greenroom_domain::release::release::Course;
use greenroom_domain::time::Span;
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

/// Release, environment, and the event that began it.
type Id = (Name, Name, u64);

struct Withdrawals {
    engine: Arc<Engine>,
    feeds: Arc<Feeds>,
    began: Instant,
    /// What was decided later was published by this process.
    head: u64,
    open: HashMap<Id, Census>,
}

pub async fn run(engine: Arc<Engine>, feeds: Arc<Feeds>) {
    let head = engine.state.load().seq;
    let mut withdrawals = Withdrawals { engine, feeds, began: Instant::now(), head, open: HashMap::new() };
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
        let mut before = std::mem::take(&mut self.open);
        for release in state.releases.values() {
            for (environment, inside) in &release.environments {
                let Course::Withdrawing { seq, deadline, share, partial, .. } = inside.course else { continue };
                let id = (release.name.clone(), environment.clone(), seq);
                let census = before.remove(&id);
                let shows = !release.spec.features.is_empty();
                if shows && self.feeds.current(environment.as_str()).is_none_or(|s| s.revision() < seq) {
                    continue;
                }
                let census = census.or_else(|| (seq > self.head || self.began.elapsed() >= BACK).then(|| self.engine.presence.census(environment.as_str(), seq)));
                let (said, effective) = match census {
                    // it showed nothing that anyone could have kept
                    _ if !shows => (Acknowledged::default(), true),
                    Some(mut census) => {
                        let (said, lost) = self.engine.presence.ask(&mut census);
                        self.open.insert(id, census);
                        let given_up = partial && now() >= deadline + GIVEN_UP && said.acknowledged + lost >= said.in_contact;
                        let effective = said.acknowledged >= share.of(said.in_contact) || given_up;
                        (said, effective)
                    }
                    None => (self.engine.presence.acknowledged(environment.as_str(), seq), false),
                };
                let late = deadline <= now() && !partial;
                if effective || late {
                    self.report(&release.name, environment, said, effective).await;
                }
            }
        }
    }

    async fn report(&self, name: &Name, environment: &Name, said: Acknowledged, effective: bool) {
        let Acknowledged { in_contact, acknowledged, laggards } = said;
        let command = Command::ReportWithdrawal { name: name.clone(), environment: environment.clone(), in_contact, acknowledged, laggards, effective };
        let _ = self.engine.report(Part::Publisher, command).await;
    }
}
