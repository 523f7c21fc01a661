use greenroom_ledger::{Batch, Direction, Ledger};

use super::*;

fn seqs(events: Vec<greenroom_ledger::Event>) -> Vec<u64> {
    events.into_iter().map(|event| event.seq).collect()
}

#[test]
fn by_subject_and_by_actor_page_both_ways() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 100);
    let reader = ledger.reader();
    let (oldest, newest) = (Direction::OldestFirst, Direction::NewestFirst);
    let of_shop = |cursor, limit, direction| seqs(reader.by_subject("service/shop-3", cursor, limit, direction).unwrap());
    assert_eq!(of_shop(0, 3, oldest), [3, 10, 17]);
    assert_eq!(of_shop(17, 3, oldest), [24, 31, 38]);
    assert_eq!(of_shop(u64::MAX, 3, newest), [94, 87, 80]);
    assert_eq!(of_shop(80, 2, newest), [73, 66]);
    assert_eq!(of_shop(94, 9, oldest), []);
    assert_eq!(seqs(reader.by_subject("service/none", 0, 9, oldest).unwrap()), []);
    assert_eq!(seqs(reader.by_actor("tok_4", 0, 2, oldest).unwrap()), [4, 9]);
    assert_eq!(seqs(reader.by_actor("tok_4", u64::MAX, 2, newest).unwrap()), [99, 94]);
    // an actor is not a subject
    assert_eq!(seqs(reader.by_subject("tok_4", 0, 9, oldest).unwrap()), []);
    assert_eq!(reader.subjects_count().unwrap(), 7 + 1 + 100);
}

#[test]
fn a_subject_named_twice_is_found_once() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let mut batch = commands(1, 1);
    batch.events[0].subjects = vec!["a".into(), "b".into(), "a".into()];
    ledger.append(&batch).unwrap();
    assert_eq!(ledger.reader().seqs_of("a", 0).unwrap(), [1]);
    assert_sound(&ledger);
}

#[test]
fn event_at_gives_the_last_one_not_after() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let times = [10, 10, 20, 20, 20, 30].map(|t| BEGIN + t);
    let mut batch = commands(1, 6);
    batch.events.iter_mut().zip(times).for_each(|(e, at)| e.at = at);
    ledger.append(&batch).unwrap();
    let reader = ledger.reader();
    let at = |t: i64| reader.event_at(BEGIN + t).unwrap();
    assert_eq!([at(9), at(10), at(15), at(20), at(29), at(30), at(99)], [0, 2, 2, 5, 5, 6, 6]);
}

fn bare(n: u64, subject: String) -> NewEvent {
    NewEvent { subjects: vec![subject], body: Vec::new(), ..event(n) }
}

fn append(ledger: &mut SqliteLedger, to: u64, at_once: u64, subject: fn(u64) -> String) {
    while ledger.head().seq < to {
        let from = ledger.head().seq + 1;
        let events = (from..=to.min(from + at_once - 1)).map(|n| bare(n, subject(n))).collect();
        ledger.append(&Batch { events, ..Batch::default() }).unwrap();
    }
}

/// More than a run of 65,536, so that the index is written, and read where it is written.
#[test]
fn histories_reach_from_the_file_into_memory() {
    let subject = |n: u64| format!("s/{}", n % 1000);
    let check = |ledger: &SqliteLedger| {
        let reader = ledger.reader();
        let head = ledger.head().seq;
        let expected: Vec<u64> = (1..=head).filter(|n| n % 1000 == 500).collect();
        assert_eq!(reader.seqs_of("s/500", 0).unwrap(), expected);
        let newest = reader.by_subject("s/500", 65_600, 3, Direction::NewestFirst).unwrap();
        assert_eq!(seqs(newest), [65_500, 64_500, 63_500]);
        let across = reader.by_subject("s/536", 64_536, 2, Direction::OldestFirst).unwrap();
        assert_eq!(seqs(across), [65_536, 66_536].into_iter().filter(|n| *n <= head).collect::<Vec<_>>());
        let actor = reader.by_actor("tok_2", u64::MAX, 2, Direction::NewestFirst).unwrap();
        assert_eq!(seqs(actor), [head - (head + 3) % 5, head - (head + 3) % 5 - 5]);
    };
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    append(&mut ledger, 65_536, 8192, subject);
    check(&ledger);
    // a few commands later the run is partly in the file
    append(&mut ledger, 65_546, 1, subject);
    check(&ledger);
    let killed = house.as_after_a_crash();
    let (_killed, mut killed) = killed.open();
    check(&killed);
    for ledger in [&mut ledger, &mut killed] {
        append(ledger, 67_000, 500, subject);
        check(ledger);
    }
    assert_eq!(ledger.head(), killed.head());
    let again = house.as_after_a_crash();
    let (_again, again) = again.open();
    check(&again);
    assert_eq!(again.reader().verify(65_000, |_| {}).unwrap().fault, None);
}

/// More than twice the 8,192 subjects that are indexed together.
#[test]
fn a_subject_is_found_before_while_and_after_it_is_indexed() {
    let subject = |n: u64| format!("build/{:08x}", (n as u32).wrapping_mul(0x9e37_79b1));
    let check = |ledger: &SqliteLedger| {
        let (reader, head) = (ledger.reader(), ledger.head().seq);
        for n in (1..=head).step_by(97).chain([head]) {
            assert_eq!(reader.seqs_of(&subject(n), 0).unwrap(), [n]);
        }
        assert_eq!(reader.subjects_count().unwrap(), head);
        assert_eq!(reader.seqs_of(&subject(head + 1), 0).unwrap(), []);
    };
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    for to in [5000, 8200, 8300, 17_000, 25_000] {
        append(&mut ledger, to, if to == 8300 { 10 } else { 1000 }, subject);
        check(&ledger);
        let killed = house.as_after_a_crash();
        let (_dir, mut killed) = killed.open();
        check(&killed);
        // known ones keep their numbers
        let again = bare(to, subject(3));
        killed.append(&Batch { events: vec![again], ..Batch::default() }).unwrap();
        assert_eq!(killed.reader().seqs_of(&subject(3), 0).unwrap(), [3, to + 1]);
        assert_eq!(killed.reader().subjects_count().unwrap(), to);
    }
}
