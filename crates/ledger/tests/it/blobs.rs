use greenroom_ledger::{Error, MAX_BLOB};

use super::*;

#[test]
fn content_is_named_by_its_hash() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let blobs = dir.blobs().unwrap();
    let big = vec![9; MAX_BLOB];
    let log = blobs.put("check-log", 100, b"all green").unwrap();
    let other = blobs.put("check-log", 100, &big).unwrap();
    assert_eq!(log, Hash::of(b"all green"));
    let read = blobs.get(log).unwrap().unwrap();
    assert_eq!((read.kind.as_str(), read.at, read.content), ("check-log", 100, b"all green".to_vec()));
    assert_eq!(blobs.get(Hash::of(b"never")).unwrap(), None);
    assert!(matches!(blobs.put("x", 1, &vec![0; MAX_BLOB + 1]), Err(Error::Invalid(_))));
    drop(blobs);
    let blobs = dir.blobs().unwrap();
    assert_eq!(blobs.get(other).unwrap().unwrap().content.len(), MAX_BLOB);
}

#[test]
fn retention_is_by_kind_and_last_put() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let blobs = dir.blobs().unwrap();
    let old = blobs.put("check-log", 100, b"old").unwrap();
    let again = blobs.put("check-log", 100, b"again").unwrap();
    let pack = blobs.put("evidence", 100, b"old").unwrap();
    assert_eq!(old, pack);
    blobs.put("check-log", 300, b"again").unwrap();
    assert_eq!(blobs.retain("check-log", 200).unwrap(), 1);
    assert_eq!(blobs.get(again).unwrap().unwrap().at, 300);
    assert_eq!(blobs.get(old).unwrap().unwrap().kind, "evidence");
}

#[test]
fn room_is_given_back_and_a_backup_is_whole() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let blobs = dir.blobs().unwrap();
    for n in 0..20u8 {
        blobs.put("check-log", i64::from(n), &vec![n; 200_000]).unwrap();
    }
    let size = |name: &str| {
        let copy = house.path().join(name);
        blobs.backup_to(&copy).unwrap();
        std::fs::metadata(copy).unwrap().len()
    };
    let before = size("one.db");
    assert_eq!(blobs.retain("check-log", 15).unwrap(), 15);
    assert!(size("two.db") < before / 2);
    assert!(blobs.get(Hash::of(&vec![17; 200_000])).unwrap().is_some());
}
