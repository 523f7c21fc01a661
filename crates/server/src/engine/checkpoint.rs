//! Checkpoints: the state as a disposable file, so that a start need not fold the whole ledger.

use greenroom_domain::state::State;
use greenroom_ledger::{Checkpoints, Reader};

use super::replay::{self, ReplayError};

/// Events between two checkpoints.
pub const EVERY: u64 = 50_000;

/// The state at the head: the newest usable checkpoint and everything after it.
///
/// # Errors
/// When the ledger cannot be read, or holds what this program does not know.
pub fn load(checkpoints: &Checkpoints, reader: &Reader) -> Result<State, ReplayError> {
    let found = checkpoints.latest_usable(State::CHECKPOINT_FORMAT, |seq, hash| reader.has(seq, hash))?;
    for skipped in &found.skipped {
        tracing::warn!(file = %skipped.path.display(), reason = skipped.reason, "a checkpoint is passed over");
    }
    let state = match found.checkpoint {
        None => State::default(),
        Some(checkpoint) => match State::from_checkpoint(&checkpoint.payload) {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(seq = checkpoint.seq, %error, "a checkpoint does not read; folding the whole ledger");
                State::default()
            }
        },
    };
    replay::fold(reader, state)
}

/// Writes a checkpoint of `state`.
///
/// # Errors
/// When the event it stands on or the file cannot be read or written.
pub fn save(checkpoints: &Checkpoints, reader: &Reader, state: &State) -> Result<(), ReplayError> {
    let Some(event) = reader.event(state.seq)? else { return Ok(()) };
    let payload = state.to_checkpoint();
    checkpoints.save(State::CHECKPOINT_FORMAT, state.seq, event.hash, &payload)?;
    Ok(())
}
