//! Judging: what time has made due and what a change of facts has touched. Level-triggered: judging again what stands
//! gives no events.

pub mod archive;
pub mod releases;
pub mod rollouts;

use crate::agenda::{Cursor, Due};
use crate::decide::Work;
use crate::event::HoldLifted;

/// Rounds after which judging stops for this time: more would be a loop, which the next tick goes on with.
const ROUNDS: usize = 64;

/// Judges everything between `cursor` and now, and whatever that touches in turn.
pub(crate) fn tick(work: &mut Work<'_>, cursor: Cursor) {
    let mut cursor = cursor;
    for _ in 0..ROUNDS {
        let todo = work.state.agenda.work(cursor, work.now);
        let before = work.count();
        cursor = Cursor { at: work.now, seq: work.state.seq };
        let mut swept = false;
        for due in todo {
            match due {
                Due::Rollout(id) => rollouts::rollout(work, id),
                Due::Promotion { environment, service } => rollouts::promotion(work, &environment, &service),
                Due::Release(name) => releases::release(work, &name),
                Due::Hold(id) => {
                    if work.state.holds.get(&id).is_some_and(|h| !h.stands(work.now)) {
                        work.push(HoldLifted { id, scope: None, because: None });
                    }
                }
                Due::Archive(_) => {
                    if !std::mem::replace(&mut swept, true) {
                        archive::sweep(work);
                    }
                }
            }
        }
        if work.count() == before {
            break;
        }
    }
}
