//! What was counted, on its way to whom one follows: in numbered batches, each sent again as it was until it is answered. A lost
//! answer does not say whether the counts have arrived; the number does.

use std::time::{SystemTime, UNIX_EPOCH};

use greenroom_exposure::Counted;
use greenroom_exposure::wire::follow::{Batch, Count, Report};
use http::StatusCode;

use crate::{Broken, Wire};

/// Bytes of the counts of one batch: a small part of what a server takes.
const BYTES: usize = 64 * 1024;
/// Bytes of a count beside its names.
const BESIDE: usize = 64;

/// One follower's batches.
#[derive(Debug)]
pub struct Batches {
    /// The last number given.
    number: u64,
    unanswered: Option<Batch>,
}

impl Default for Batches {
    fn default() -> Self {
        // what runs again under the same name, against advice, is not taken for what ran before
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { number: u64::try_from(since.as_micros()).unwrap_or_default(), unanswered: None }
    }
}

impl Batches {
    /// Reports what is unanswered, then `counted`, with `report` around each batch.
    ///
    /// # Errors
    /// Why not all of it was taken, and what is in no batch yet. A batch that is refused will be refused again: its evaluations come
    /// back as dropped.
    pub async fn report(&mut self, wire: &Wire, report: &Report, mut counted: Counted) -> Result<(), (Broken, Counted)> {
        loop {
            if let Some(batch) = &self.unanswered {
                let sent = wire.report(&Report { batch: Some(batch.clone()), ..report.clone() }).await;
                if let Err(broken) = sent {
                    if matches!(broken, Broken::Status(StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE)) {
                        counted.dropped = batch.counts.iter().map(|count| count.count).chain([batch.dropped]).fold(counted.dropped, u64::saturating_add);
                        self.unanswered = None;
                    }
                    return Err((broken, counted));
                }
                self.unanswered = None;
            }
            if counted.counts.is_empty() && counted.dropped == 0 {
                return Ok(());
            }
            self.number += 1;
            let later = counted.counts.split_off(fitting(&counted.counts));
            let (counts, dropped) = (std::mem::replace(&mut counted.counts, later), std::mem::take(&mut counted.dropped));
            self.unanswered = Some(Batch { number: self.number, counts, dropped });
        }
    }
}

/// How many of these one batch carries.
fn fitting(counts: &[Count]) -> usize {
    let mut bytes = 0;
    let within = |count: &&Count| {
        bytes += BESIDE + count.feature.len() + count.variant.len() + count.build.as_ref().map_or(0, String::len);
        bytes <= BYTES
    };
    counts.iter().take_while(within).count()
}
