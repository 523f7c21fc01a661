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

/// More than two runs of 65,536, so that the index is written, and read where it is written.
#[test]
fn histories_reach_from_the_file_into_memory() {
    const EVENTS: u64 = 140_000;
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let small = |n: u64| NewEvent { subjects: vec![format!("s/{}", n % 1000)], body: Vec::new(), ..event(n) };
    while ledger.head().seq < EVENTS {
        let from = ledger.head().seq + 1;
        let to = EVENTS.min(from + 4999);
        let events = (from..=to).map(small).collect();
        ledger.append(&Batch { events, ..Batch::default() }).unwrap();
    }
    let check = |ledger: &SqliteLedger| {
        let reader = ledger.reader();
        let head = ledger.head().seq;
        let expected: Vec<u64> = (1..=head).filter(|n| n % 1000 == 7).collect();
        assert_eq!(reader.seqs_of("s/7", 0).unwrap(), expected);
        let newest = reader.by_subject("s/7", 131_008, 3, Direction::NewestFirst).unwrap();
        assert_eq!(seqs(newest), [131_007, 130_007, 129_007]);
        let across = reader.by_subject("s/7", 64_007, 3, Direction::OldestFirst).unwrap();
        assert_eq!(seqs(across), [65_007, 66_007, 67_007]);
        let actor = reader.by_actor("tok_2", u64::MAX, 2, Direction::NewestFirst).unwrap();
        assert_eq!(seqs(actor), [head - (head + 3) % 5, head - (head + 3) % 5 - 5]);
    };
    check(&ledger);
    // killed while the second run was partly in the file
    let copy = house.as_after_a_crash();
    let (_copy, mut copied) = copy.open();
    check(&copied);
    copied.append(&Batch { events: (140_001..=140_500).map(small).collect(), ..Batch::default() }).unwrap();
    check(&copied);
    assert_eq!(copied.reader().verify(0, |_| {}).unwrap().fault, None);
}
