//! The ledger through its public face, in real files.

mod append;
mod blobs;
mod checkpoints;
mod directory;
mod full;
mod history;
mod recovery;
mod side;
mod torn;

use std::path::Path;

use greenroom_ledger::{Answer, Batch, DataDir, Hash, Ledger, NewEvent, SideWrite, SqliteLedger};
use tempfile::TempDir;

const BEGIN: i64 = 1_790_000_000_000_000;

/// A data directory that goes away with the test.
struct House {
    root: TempDir,
}

impl House {
    fn new() -> House {
        House { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn open(&self) -> (DataDir, SqliteLedger) {
        let dir = DataDir::open(self.path()).unwrap();
        let ledger = dir.ledger().unwrap();
        (dir, ledger)
    }

    /// What a crash would leave: the files as they are now, without the ends of a clean close.
    fn as_after_a_crash(&self) -> House {
        let copy = House::new();
        for file in ["greenroom.db", "greenroom.db-wal"] {
            std::fs::copy(self.path().join(file), copy.path().join(file)).unwrap();
        }
        copy
    }
}

/// Event number `n`, alike every time.
fn event(n: u64) -> NewEvent {
    NewEvent {
        at: BEGIN + i64::try_from(n).unwrap(),
        kind: if n.is_multiple_of(3) { "placement.observed" } else { "deployment.requested" }.into(),
        version: 1,
        actor: format!("tok_{}", n % 5),
        command: u128::from(n).to_be_bytes(),
        subjects: vec![format!("service/shop-{}", n % 7), "environment/production".to_owned(), format!("deployment/dep_{n:08}")],
        body: format!(r#"{{"n":{n},"build":"sha256:{}","of":"cafe","note":"{}"}}"#, Hash::of(&n.to_be_bytes()), "x".repeat(90)).into_bytes(),
    }
}

fn answer(n: u64) -> Answer {
    Answer {
        principal: "per_anna".to_owned(),
        key: format!("key-{n}"),
        request: Hash::of(&n.to_be_bytes()),
        status: 201,
        response: format!(r#"{{"seq":{n}}}"#).into_bytes(),
        at: BEGIN + i64::try_from(n).unwrap(),
    }
}

/// Events `from..=to`, each with the answer of its command.
fn commands(from: u64, to: u64) -> Batch {
    Batch { expect_head: Some(from - 1), events: (from..=to).map(event).collect(), side: (from..=to).map(|n| SideWrite::Answer(answer(n))).collect() }
}

/// Side writes only.
fn side(writes: Vec<SideWrite>) -> Batch {
    Batch { side: writes, ..Batch::default() }
}

/// Appends `1..=to` in batches of ten.
fn fill(ledger: &mut SqliteLedger, to: u64) {
    while ledger.head().seq < to {
        let from = ledger.head().seq + 1;
        ledger.append(&commands(from, to.min(from + 9))).unwrap();
    }
}

/// The chain is whole, and each event's command has its answer, up to the head and no further.
fn assert_sound(ledger: &SqliteLedger) {
    let reader = ledger.reader();
    let report = reader.verify(0, |_| {}).unwrap();
    assert_eq!(report.fault, None);
    assert_eq!((report.seq, report.hash), (ledger.head().seq, ledger.head().hash));
    let head = ledger.head().seq;
    for n in 1..=head {
        assert_eq!(ledger.answer("per_anna", &format!("key-{n}")).unwrap(), Some(answer(n)));
    }
    assert_eq!(ledger.answer("per_anna", &format!("key-{}", head + 1)).unwrap(), None);
}

#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}
