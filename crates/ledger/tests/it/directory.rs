use std::fs;
use std::os::unix::fs::PermissionsExt;

use greenroom_ledger::{DataDir, Error};

use super::*;

#[test]
fn the_layout_is_made() {
    let house = House::new();
    let inside = house.path().join("data");
    let dir = DataDir::open(&inside).unwrap();
    let _ledger = dir.ledger().unwrap();
    let _blobs = dir.blobs().unwrap();
    for name in ["format", "lock", "greenroom.db", "blobs.db", "checkpoints", "snapshots", "keys", "run"] {
        assert!(inside.join(name).exists(), "{name}");
    }
    assert_eq!(fs::read_to_string(inside.join("format")).unwrap(), "1\n");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.keys()), 0o700);
    assert_eq!(mode(inside), 0o700);
}

#[test]
fn a_second_holder_is_refused_by_name() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let error = DataDir::open(house.path()).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(error, Error::Locked { pid: Some(p), .. } if p == pid));
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    // the ledger holds the directory too
    let ledger = dir.ledger().unwrap();
    drop(dir);
    assert!(matches!(DataDir::open(house.path()), Err(Error::Locked { .. })));
    drop(ledger);
    DataDir::open(house.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let house = House::new();
    drop(DataDir::open(house.path()).unwrap());
    fs::write(house.path().join("format"), "2\n").unwrap();
    let error = DataDir::open(house.path()).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }));
    fs::write(house.path().join("format"), "two").unwrap();
    assert!(matches!(DataDir::open(house.path()), Err(Error::Corrupt { .. })));
}

#[test]
fn a_newer_schema_is_refused() {
    let house = House::new();
    drop(house.open());
    let path = house.path().join("greenroom.db");
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let dir = DataDir::open(house.path()).unwrap();
    assert!(matches!(dir.ledger(), Err(Error::NewerFormat { found: 99, .. })));
}

#[test]
fn snapshots_are_replaced_whole() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let snapshots = dir.snapshots();
    snapshots.save("production", b"one").unwrap();
    snapshots.save("production", b"two").unwrap();
    snapshots.save("staging", b"").unwrap();
    fs::write(house.path().join("snapshots/staging.unfinished"), "half").unwrap();
    let found = snapshots.load().unwrap();
    let expected = [("production".to_owned(), b"two".to_vec()), ("staging".to_owned(), Vec::new())];
    assert_eq!(found, expected);
    for bad in ["", "..", "../keys/x", "a/b", ".hidden", "x.unfinished"] {
        assert!(matches!(snapshots.save(bad, b""), Err(Error::Invalid(_))), "{bad}");
    }
    snapshots.remove("staging").unwrap();
    snapshots.remove("staging").unwrap();
    assert_eq!(snapshots.load().unwrap().len(), 1);
}
