//! Says when a withdrawal is effective: every evaluator that was in contact has acknowledged, or its time is up.

use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::Feeds;
use greenroom_domain::actor::Part;
use greenroom_domain::command::Command;
use greenroom_domain::release::release::Course;

use super::{Engine, now};

/// How often acknowledgements are looked at.
const ASK: Duration = Duration::from_millis(50);

pub async fn run(engine: Arc<Engine>, feeds: Arc<Feeds>) {
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&engine, &feeds).await;
    }
}

async fn look(engine: &Engine, feeds: &Feeds) {
    let state = engine.state.load_full();
    for release in state.releases.values() {
        for (environment, inside) in &release.environments {
            let Course::Withdrawing { seq, deadline, partial, .. } = inside.course else { continue };
            if feeds.current(environment.as_str()).is_none_or(|s| s.revision() < seq && !release.spec.features.is_empty()) {
                continue;
            }
            let said = engine.presence.acknowledged(environment.as_str(), seq);
            let effective = said.acknowledged >= said.in_contact;
            let late = deadline <= now() && !partial;
            if effective || late {
                let command = Command::ReportWithdrawal {
                    name: release.name.clone(),
                    environment: environment.clone(),
                    in_contact: said.in_contact,
                    acknowledged: said.acknowledged,
                    laggards: said.laggards,
                    effective,
                };
                let _ = engine.report(Part::Publisher, command).await;
            }
        }
    }
}
