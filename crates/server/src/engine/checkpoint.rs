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
pub fn load(checkpoints: &Checkpoints, reader: &Reader, progress: &dyn Fn(u64)) -> Result<State, ReplayError> {
    replay::fold(reader, newest(checkpoints, reader, u64::MAX)?, progress)
}

/// The state as it was right after `seq`.
///
/// # Errors
/// As [`load`].
pub fn at(checkpoints: &Checkpoints, reader: &Reader, seq: u64) -> Result<State, ReplayError> {
    replay::at(reader, newest(checkpoints, reader, seq)?, seq)
}

/// The newest usable checkpoint that is not younger than `last`, or nothing at all.
fn newest(checkpoints: &Checkpoints, reader: &Reader, last: u64) -> Result<State, ReplayError> {
    let mut unread = Vec::new();
    loop {
        let found = checkpoints.latest_usable(State::CHECKPOINT_FORMAT, |seq, hash| Ok(seq <= last && !unread.contains(&seq) && reader.has(seq, hash)?))?;
        // one that was read in vain is told of below, and the future is no fault of the past's
        if unread.is_empty() && last == u64::MAX {
            for skipped in &found.skipped {
                tracing::warn!(file = %skipped.path.display(), reason = skipped.reason, "a checkpoint is passed over");
            }
        }
        let Some(checkpoint) = found.checkpoint else { return Ok(State::default()) };
        match State::from_checkpoint(&checkpoint.payload) {
            Ok(state) => return Ok(state),
            Err(error) => {
                tracing::warn!(seq = checkpoint.seq, %error, "a checkpoint does not read; an older one may");
                unread.push(checkpoint.seq);
            }
        }
    }
}

/// Writes a checkpoint of `state`.
///
/// # Errors
/// When the event it stands on or the file cannot be read or written.
pub fn save(checkpoints: &Checkpoints, reader: &Reader, state: &State) -> Result<(), ReplayError> {
    let Some(event) = reader.event(state.seq)? else { return Ok(()) };
    let payload = state.to_checkpoint();
    if payload.is_empty() {
        return Ok(());
    }
    checkpoints.save(State::CHECKPOINT_FORMAT, state.seq, event.hash, &payload)?;
    Ok(())
}
