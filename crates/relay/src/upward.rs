//! What a relay says to whom it follows, and asks: sums of what those behind it have acknowledged and counted, what is forced off
//! here, and whom to let ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use greenroom_delivery::{Counted, Feeds, Presence, Usage};
use greenroom_exposure::wire::follow::{Count, Relayed, Report};
use greenroom_follow::Batches;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::line::Line;

/// Between two looks at what has changed: an acknowledgement is this much later upstream.
const LOOK: Duration = Duration::from_millis(200);
/// Names of those who have not acknowledged.
const NAMED: usize = 100;

pub(crate) struct Upward {
    pub lines: Vec<Arc<Line>>,
    pub presence: Arc<Presence>,
    pub usage: Arc<Usage>,
    pub feeds: Arc<Feeds>,
    pub tickets: Duration,
    pub report: Duration,
}

/// How far counts are on their way.
struct Counting {
    /// Of each line.
    batches: Vec<Batches>,
    /// How many evaluations were not counted, when it was last looked.
    dropped: u64,
    /// Those of them that are in no batch.
    unsaid: u64,
}

/// What was last said of one line: revision, which stream it was said beside, and those behind us.
type Said = (u64, u64, Relayed);

impl Upward {
    pub(crate) async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut said: Vec<Option<Said>> = self.lines.iter().map(|_| None).collect();
        let mut counting = Counting { batches: self.lines.iter().map(|_| Batches::default()).collect(), dropped: 0, unsaid: 0 };
        let (mut asked, mut counted) = (vec![None; self.lines.len()], Instant::now() + self.report);
        loop {
            let now = Instant::now();
            for ((line, said), asked) in self.lines.iter().zip(&mut said).zip(&mut asked) {
                self.acknowledge(line, said).await;
                self.renew(line, asked, now).await;
            }
            let stop = *stopping.borrow();
            if stop || counted <= now {
                counted = now + self.report;
                self.counts(&mut counting).await;
            }
            if stop {
                return self.farewell().await;
            }
            let _ = tokio::time::timeout(LOOK, stopping.wait_for(|stop| *stop)).await;
        }
    }

    /// Those behind us ask elsewhere from now on, or us when we are back: nobody shall wait for them here.
    async fn farewell(&self) {
        for line in &self.lines {
            let state = line.state().borrow().clone();
            let Some(held) = state.held.filter(|_| state.contact.is_live()) else { continue };
            let report = Report { relayed: Some(Relayed::default()), ..blank(line, held.revision()) };
            if let Err(broken) = line.wire().report(&report).await {
                tracing::debug!(%broken, "nobody could be told of the stop");
            }
        }
    }

    /// Says who has which revision, if that is not what was said last.
    async fn acknowledge(&self, line: &Line, said: &mut Option<Said>) {
        let state = line.state().borrow().clone();
        let Some(held) = state.held.filter(|_| state.contact.is_live()) else { return };
        let behind = self.presence.acknowledged(held.environment(), held.revision());
        let mut forced = line.forced_here().to_vec();
        forced.extend(self.presence.forced(held.environment()));
        forced.sort_unstable();
        forced.dedup();
        let mut relayed = Relayed { in_contact: behind.in_contact, acknowledged: behind.acknowledged, laggards: behind.laggards, forced };
        relayed.laggards.truncate(NAMED);
        let now = Some((held.revision(), state.streams, relayed.clone()));
        if now == *said {
            return;
        }
        let report = Report { relayed: Some(relayed), ..blank(line, held.revision()) };
        match line.wire().report(&report).await {
            Ok(()) => *said = now,
            Err(broken) => tracing::debug!(%broken, "who has which revision could not be reported"),
        }
    }

    /// Asks whom to let ask, when it is time or the upstream is back.
    async fn renew(&self, line: &Line, asked: &mut Option<(Instant, u64)>, now: Instant) {
        let streams = line.state().borrow().streams;
        let due = asked.is_none_or(|(at, beside)| beside != streams || now.duration_since(at) >= self.tickets);
        if due {
            *asked = Some((now, streams));
            if let Err(broken) = line.renew_tickets().await {
                tracing::debug!(%broken, "whom to let ask could not be learned");
            }
        }
    }

    /// Says what was counted here.
    async fn counts(&self, Counting { batches, dropped, unsaid }: &mut Counting) {
        let mut by_environment: HashMap<Arc<str>, Vec<Count>> = HashMap::new();
        self.usage.gather(&self.feeds);
        for (counted, count) in self.usage.take() {
            by_environment.entry(Arc::clone(&counted.environment)).or_default().push(said(&counted, count));
        }
        let all = self.usage.dropped();
        *unsaid += all - std::mem::replace(dropped, all);
        for (line, batches) in self.lines.iter().zip(batches) {
            let Some(held) = line.state().borrow().held.clone() else { continue };
            let environment = held.environment();
            let counted = greenroom_exposure::Counted { counts: by_environment.remove(environment).unwrap_or_default(), dropped: std::mem::take(unsaid) };
            if let Err((broken, rest)) = batches.report(line.wire(), &blank(line, held.revision()), counted).await {
                tracing::debug!(%broken, "counts could not be reported");
                *unsaid = rest.dropped;
                self.usage.add(rest.counts.into_iter().map(|count| heard(environment, count)));
            }
        }
        // of an environment that is followed no more, nobody wants to know
    }
}

fn said(counted: &Counted, count: u64) -> Count {
    Count { feature: counted.feature.to_string(), variant: counted.variant.to_string(), count, build: counted.build.as_deref().map(str::to_owned) }
}

fn heard(environment: &Arc<str>, count: Count) -> (Counted, u64) {
    let Count { feature, variant, count, build } = count;
    (Counted { environment: Arc::clone(environment), feature: feature.into(), variant: variant.into(), build: build.map(Into::into) }, count)
}

fn blank(line: &Line, revision: u64) -> Report {
    Report { instance: line.wire().upstream().instance.clone(), build: None, revision, batch: None, relayed: None }
}
