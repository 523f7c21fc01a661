use greenroom_ledger::{Ledger, QueueRow, Sealed, Session, UsageRow};

use super::*;

#[test]
fn answers_survive_and_are_pruned_by_age() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    let answers = |range: std::ops::RangeInclusive<u64>| side(range.map(|n| SideWrite::Answer(answer(n))).collect());
    // several runs of 4,096 hashes, in and across batches
    ledger.append(&answers(1..=9000)).unwrap();
    ledger.append(&answers(9001..=13_000)).unwrap();
    let known = |ledger: &SqliteLedger, n: u64| ledger.answer("per_anna", &format!("key-{n}")).unwrap() == Some(answer(n));
    drop(ledger);
    let mut ledger = dir.ledger().unwrap();
    assert!([1, 4096, 4097, 9000, 9001, 13_000].iter().all(|n| known(&ledger, *n)));
    assert!(!known(&ledger, 13_001));
    assert_eq!(ledger.answer("per_bert", "key-1").unwrap(), None);
    assert_eq!(ledger.reader().answer("per_anna", "key-5").unwrap(), Some(answer(5)));

    let prune = || side(vec![SideWrite::PruneAnswers { before: answer(9500).at }]);
    ledger.append(&prune()).unwrap();
    assert!(!known(&ledger, 8192) && known(&ledger, 8193));
    ledger.append(&prune()).unwrap();
    assert!(!known(&ledger, 9499) && known(&ledger, 9500));
    drop(ledger);
    let mut ledger = dir.ledger().unwrap();
    assert!(!known(&ledger, 9499) && known(&ledger, 9500) && known(&ledger, 13_000));
    ledger.append(&answers(13_001..=17_000)).unwrap();
    drop(ledger);
    let ledger = dir.ledger().unwrap();
    assert!(!known(&ledger, 9499) && known(&ledger, 9500) && known(&ledger, 17_000));
}

#[test]
fn the_newest_answer_to_a_key_counts() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    let newer = Answer { status: 409, at: BEGIN + 50, ..answer(1) };
    ledger.append(&side(vec![SideWrite::Answer(answer(1))])).unwrap();
    ledger.append(&side(vec![SideWrite::Answer(newer.clone())])).unwrap();
    assert_eq!(ledger.answer("per_anna", "key-1").unwrap(), Some(newer.clone()));
    drop(ledger);
    let mut ledger = dir.ledger().unwrap();
    assert_eq!(ledger.answer("per_anna", "key-1").unwrap(), Some(newer.clone()));
    ledger.append(&side(vec![SideWrite::PruneAnswers { before: BEGIN + 10 }])).unwrap();
    assert_eq!(ledger.answer("per_anna", "key-1").unwrap(), Some(newer));
}

#[test]
fn persons_credentials_and_sessions() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let reader = ledger.reader();
    let session = |n: u8| Session { id: Hash([n; 32]), person: "per_anna".into(), created: BEGIN + i64::from(n), expires: BEGIN + 100 + i64::from(n), body: b"{}".to_vec() };
    ledger
        .append(&side(vec![
            SideWrite::Person { person: "per_anna".into(), profile: b"{\"name\":\"Anna\"}".to_vec() },
            SideWrite::Credential { person: "per_anna".into(), hash: "$argon2id$1".into() },
            SideWrite::Credential { person: "per_anna".into(), hash: "$argon2id$2".into() },
            SideWrite::Session(session(1)),
            SideWrite::Session(session(2)),
            SideWrite::Session(session(3)),
        ]))
        .unwrap();
    assert_eq!(reader.persons().unwrap().len(), 1);
    assert_eq!(reader.credential("per_anna").unwrap().unwrap(), "$argon2id$2");
    assert_eq!(reader.session(Hash([2; 32])).unwrap(), Some(session(2)));
    ledger.append(&side(vec![SideWrite::EndSession { id: Hash([2; 32]) }, SideWrite::PruneSessions { expired_before: BEGIN + 102 }])).unwrap();
    assert_eq!(reader.sessions_of("per_anna").unwrap(), [session(3)]);
    ledger
        .append(&side(vec![
            SideWrite::EndSessionsOf { person: "per_anna".into() },
            SideWrite::ForgetCredential { person: "per_anna".into() },
            SideWrite::ForgetPerson { person: "per_anna".into() },
        ]))
        .unwrap();
    assert_eq!(reader.sessions_of("per_anna").unwrap(), []);
    assert_eq!(reader.credential("per_anna").unwrap(), None);
    assert_eq!(reader.person("per_anna").unwrap(), None);
}

#[test]
fn erased_text_leaves_no_trace_in_the_files() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 10);
    let sealed = Sealed { hash: Hash::of(b"nonce and text"), nonce: vec![7; 16], content: b"call me on +49 30 1234567".to_vec() };
    ledger.append(&side(vec![SideWrite::Seal(sealed.clone())])).unwrap();
    assert_eq!(ledger.reader().sealed(sealed.hash).unwrap(), Some(sealed.clone()));
    let traces = || {
        ["greenroom.db", "greenroom.db-wal"]
            .iter()
            .filter_map(|file| std::fs::read(house.path().join(file)).ok())
            .any(|bytes| bytes.windows(sealed.content.len()).any(|w| w == sealed.content))
    };
    assert!(traces());
    ledger.append(&side(vec![SideWrite::Erase { hash: sealed.hash }])).unwrap();
    assert_eq!(ledger.reader().sealed(sealed.hash).unwrap(), None);
    assert!(!traces());
    assert_sound(&ledger);
}

#[test]
fn usage_adds_up() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let row = |day, count| UsageRow { feature: "checkout".into(), variant: "on".into(), build: "shop-web@1.1.0".into(), environment: "production".into(), day, count };
    let usage = |day, count| SideWrite::Usage(row(day, count));
    ledger.append(&side(vec![usage(1, 5), usage(2, 1), usage(1, 7)])).unwrap();
    ledger.append(&side(vec![usage(2, 1)])).unwrap();
    assert_eq!(ledger.reader().usage(1, 2).unwrap(), [row(1, 12), row(2, 2)]);
    ledger.append(&side(vec![SideWrite::PruneUsage { before_day: 2 }])).unwrap();
    assert_eq!(ledger.reader().usage(0, 9).unwrap(), [row(2, 2)]);
}

#[test]
fn a_queue_gives_what_is_due_in_order() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    let row = |n: u8, due| QueueRow { queue: "webhook".into(), id: [n; 16], due, body: vec![n] };
    let rows = [row(1, 30), row(2, 10), row(3, 20)];
    ledger.append(&side(rows.map(SideWrite::Enqueue).to_vec())).unwrap();
    let reader = ledger.reader();
    assert_eq!(reader.due("webhook", 20, 9).unwrap(), [row(2, 10), row(3, 20)]);
    assert_eq!(reader.due("webhook", 99, 1).unwrap(), [row(2, 10)]);
    assert_eq!(reader.due("mail", 99, 9).unwrap(), []);
    // tried in vain: later again
    let retry = SideWrite::Enqueue(row(2, 40));
    let done = SideWrite::Dequeue { queue: "webhook".into(), id: [3; 16] };
    ledger.append(&side(vec![retry, done])).unwrap();
    assert_eq!(reader.next_due("webhook").unwrap(), Some(30));
    assert_eq!(reader.due("webhook", 99, 9).unwrap(), [row(1, 30), row(2, 40)]);
}
