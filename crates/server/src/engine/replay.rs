//! Folding the ledger into the state, decoding in one thread and applying in another.

use std::sync::mpsc;

use greenroom_domain::event::{DecodeError, Event};
use greenroom_domain::state::{Recorded, State};
use greenroom_domain::time::At;
use greenroom_ledger::{EventRow, Reader};

/// Why the ledger does not fold.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Ledger(#[from] greenroom_ledger::Error),
    #[error("event {seq} cannot be understood")]
    Event {
        seq: u64,
        #[source]
        source: DecodeError,
    },
    #[error("event {seq} names an actor that is none: `{actor}`")]
    Actor { seq: u64, actor: String },
}

/// Events handed over at once.
const CHUNK: usize = 2_048;

/// An event as the domain reads it.
///
/// # Errors
/// When kind, version, body or actor are not known to this program.
pub fn recorded(seq: u64, at: i64, actor: &str, kind: &str, version: u16, body: &[u8]) -> Result<Recorded, ReplayError> {
    let event = Event::decode(kind, version, body).map_err(|source| ReplayError::Event { seq, source })?;
    let actor = actor.parse().map_err(|_| ReplayError::Actor { seq, actor: actor.to_owned() })?;
    Ok(Recorded { seq, at: At(at), actor, event })
}

/// Folds everything after `state.seq`; `progress` is told how far it has come, now and then.
///
/// # Errors
/// When the ledger cannot be read or holds what this program does not know.
pub fn fold(reader: &Reader, mut state: State, progress: &dyn Fn(u64)) -> Result<State, ReplayError> {
    let from = state.seq;
    state = state.asleep();
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Vec<Recorded>>(8);
        let decoding = scope.spawn(move || -> Result<(), ReplayError> {
            let mut chunk = Vec::with_capacity(CHUNK);
            reader.scan(from, |row: &EventRow<'_>| -> Result<(), ReplayError> {
                chunk.push(recorded(row.seq, row.at, row.actor, row.kind, row.version, row.body)?);
                if chunk.len() == CHUNK {
                    // a receiver that is gone has failed already
                    let _ = send.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK)));
                }
                Ok(())
            })?;
            let _ = send.send(chunk);
            Ok(())
        });
        for chunk in receive {
            for recorded in &chunk {
                state.apply(recorded);
            }
            progress(state.seq);
        }
        decoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(state.awake())
    })
}

/// The state as it was right after `seq`, for explaining the past: `state`, which is older, and what came after it.
///
/// # Errors
/// As [`fold`].
pub fn at(reader: &Reader, state: State, seq: u64) -> Result<State, ReplayError> {
    let mut state = state.asleep();
    while state.seq < seq {
        let want = usize::try_from(seq - state.seq).unwrap_or(CHUNK).min(CHUNK);
        let events = reader.events(state.seq, want)?;
        if events.is_empty() {
            break;
        }
        for e in events {
            state.apply(&recorded(e.seq, e.at, &e.actor, &e.kind, e.version, &e.body)?);
        }
    }
    Ok(state)
}

/// Gives `state` back what it has archived about `subjects`, by folding their events with the same `apply`.
///
/// # Errors
/// As [`fold`].
pub fn recall(reader: &Reader, state: &State, subjects: &[String]) -> Result<State, ReplayError> {
    let mut seqs: Vec<u64> = Vec::new();
    for subject in subjects {
        seqs.extend(reader.seqs_of(subject, 0)?);
    }
    seqs.sort_unstable();
    seqs.dedup();
    let mut overlay = State::default();
    for seq in seqs {
        let Some(e) = reader.event(seq)? else { continue };
        let recorded = recorded(e.seq, e.at, &e.actor, &e.kind, e.version, &e.body)?;
        if !matches!(recorded.event, Event::Archived(_)) {
            overlay.apply(&recorded);
        }
    }
    Ok(state.with_recalled(subjects, &overlay))
}
