//! Who goes first when the processors are busy: the writer, for whom everyone waits, and last those who look at everything.

/// The nice value of the writer.
const WRITER: i32 = -10;
/// What surveys add to that of the process.
const SURVEYS: i32 = 5;

/// Puts the calling thread before the others, where this process may: as root, with `CAP_SYS_NICE`, or under systemd's
/// `LimitNICE`. Elsewhere the writer takes its turn, and its batches wait for a slice of the scheduler now and then.
pub fn writer() {
    if let Err(error) = rustix::process::setpriority_process(None, WRITER) {
        tracing::debug!(%error, "the writer has no priority over other threads");
    }
}

/// Puts the calling thread behind the others.
pub fn survey() {
    if let Err(error) = rustix::process::nice(SURVEYS) {
        tracing::debug!(%error, "surveys have the priority of other threads");
    }
}
