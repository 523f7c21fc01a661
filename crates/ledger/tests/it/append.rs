use greenroom_ledger::{AppendError, Batch, Error, Ledger, ProbePoint, event_hash};

use super::*;

#[test]
fn what_was_written_is_read_back_and_verifies() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 57);
    let events = ledger.reader().events(0, 1000).unwrap();
    assert_eq!(events.len(), 57);
    let mut prev = Hash::default();
    for (n, read) in (1..).zip(&events) {
        let written = event(n);
        assert_eq!((read.seq, read.at), (n, written.at));
        assert_eq!(&*read.kind, written.kind);
        assert_eq!(read.actor.as_ref(), written.actor);
        assert_eq!(read.command, written.command);
        let subjects: Vec<String> = read.subjects.iter().map(|s| s.to_string()).collect();
        assert_eq!(subjects, written.subjects);
        assert_eq!(read.body, written.body);
        assert_eq!(read.prev, prev);
        assert_eq!(read.hash, event_hash(read));
        prev = read.hash;
    }
    assert_eq!(ledger.head().hash, prev);
    assert_eq!(ledger.reader().head().unwrap(), ledger.head());
    assert_eq!(ledger.reader().event(13).unwrap().as_ref(), events.get(12));
    assert_eq!(ledger.reader().event(58).unwrap(), None);
    assert_sound(&ledger);
}

#[test]
fn an_empty_ledger_has_the_empty_head() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    assert_eq!(ledger.head(), greenroom_ledger::Head::EMPTY);
    assert_eq!(ledger.append(&Batch::default()).unwrap().seq, 0);
    assert_eq!(ledger.reader().event_at(BEGIN).unwrap(), 0);
    assert_sound(&ledger);
}

#[test]
fn a_moved_head_is_a_conflict() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 3);
    let refused = ledger.append(&commands(3, 3)).unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { expected: 2, actual: 3 }));
    assert_sound(&ledger);
}

#[test]
fn time_never_goes_back() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 3);
    let mut batch = commands(4, 5);
    batch.events[1].at = batch.events[0].at - 1;
    assert!(matches!(ledger.append(&batch), Err(AppendError::Invalid(_))));
    batch.events[1].at = batch.events[0].at;
    ledger.append(&batch).unwrap();
    assert_eq!(ledger.head().seq, 5);
}

#[test]
fn fields_outside_the_limits_are_refused() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let spoil: [fn(&mut NewEvent); 4] = [|e| e.kind = "".into(), |e| e.actor = "a".repeat(1025), |e| e.subjects.push(String::new()), |e| e.body = vec![0; (16 << 20) + 1]];
    for spoil in spoil {
        let mut batch = commands(1, 1);
        spoil(&mut batch.events[0]);
        assert!(matches!(ledger.append(&batch), Err(AppendError::Invalid(_))));
    }
    assert_eq!(ledger.head().seq, 0);
}

#[test]
fn a_failure_before_the_commit_keeps_nothing() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 20);
    ledger.set_probe(Some(Box::new(|point| match point {
        ProbePoint::BeforeCommit => Err(std::io::Error::other("stopped")),
        ProbePoint::AfterCommit => Ok(()),
    })));
    let refused = ledger.append(&commands(21, 30)).unwrap_err();
    assert!(matches!(refused, AppendError::Storage(Error::Io { .. })));
    assert_eq!(ledger.head().seq, 20);
    assert_sound(&ledger);
    ledger.set_probe(None);
    // other new subjects now get the numbers the undone batch had given out
    let mut other = commands(21, 30);
    other.events.reverse();
    other.events.iter_mut().for_each(|e| e.at = BEGIN + 30);
    ledger.append(&other).unwrap();
    assert_sound(&ledger);
    assert_eq!(ledger.reader().seqs_of("deployment/dep_00000030", 0).unwrap(), [21]);
}

#[test]
fn after_an_unknown_outcome_only_reopening_helps() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let reader = ledger.reader();
    fill(&mut ledger, 20);
    ledger.set_probe(Some(Box::new(|point| match point {
        ProbePoint::BeforeCommit => Ok(()),
        ProbePoint::AfterCommit => Err(std::io::Error::other("the disk went away")),
    })));
    let unknown = ledger.append(&commands(21, 30)).unwrap_err();
    assert!(matches!(unknown, AppendError::OutcomeUnknown { .. }));
    ledger.set_probe(None);
    assert!(matches!(ledger.append(&commands(21, 30)), Err(AppendError::Poisoned)));
    assert_eq!(ledger.reopen().unwrap().seq, 30);
    assert_sound(&ledger);
    assert_eq!(reader.head().unwrap().seq, 30);
    fill(&mut ledger, 40);
    assert_sound(&ledger);
    assert_eq!(reader.seqs_of("deployment/dep_00000035", 0).unwrap(), [35]);
}

#[test]
fn readers_beside_the_writer_see_whole_batches_without_gaps() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let reader = ledger.reader();
            let done = &done;
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut next = 1;
                    let end = reader
                        .scan(0, |row| {
                            assert_eq!(row.seq, next);
                            assert_eq!(row.subjects()?.len(), 3);
                            next += 1;
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                    assert!(end >= last && end % 10 == 0);
                    last = end;
                    let by = reader.seqs_of("environment/production", 0).unwrap();
                    assert!(by.len() as u64 >= last && by.iter().copied().eq(1..=by.len() as u64));
                }
            });
        }
        fill(&mut ledger, 1500);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_sound(&ledger);
}

#[test]
fn verifying_starts_where_it_is_told_and_reports_progress() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 100);
    let mut heard = Vec::new();
    let report = ledger.reader().verify(40, |seq| heard.push(seq)).unwrap();
    assert_eq!((report.after, report.seq, report.fault), (40, 100, None));
    assert_eq!(heard, [100]);
    let report = ledger.reader().verify(101, |_| {}).unwrap();
    assert_eq!(report.fault.unwrap().kind, greenroom_ledger::FaultKind::Gap);
}
