use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use greenroom_ledger::{DataDir, Error, FaultKind, Ledger};

use super::*;

/// A settled ledger of 2,000 events, everything in the one file.
fn settled() -> House {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 2000);
    ledger.settle().unwrap();
    house
}

fn garble(path: &Path, at: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; length], at).unwrap();
}

fn assert_names_file_and_remedy(error: &Error) {
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    let (text, remedy) = (error.to_string(), error.remedy());
    assert!(text.contains("greenroom.db` is damaged") && remedy.contains("backup"), "{text}: {remedy}");
}

#[test]
fn a_garbled_first_page_is_named() {
    let house = settled();
    garble(&house.path().join("greenroom.db"), 0, 512);
    let dir = DataDir::open(house.path()).unwrap();
    assert_names_file_and_remedy(&dir.ledger().err().unwrap());
}

#[test]
fn a_file_of_something_else_is_named() {
    let house = House::new();
    fs::write(house.path().join("greenroom.db"), "not a database, whatever its name says".repeat(99)).unwrap();
    let dir = DataDir::open(house.path()).unwrap();
    assert_names_file_and_remedy(&dir.ledger().err().unwrap());
}

/// Whatever page is overwritten, it shows at opening, in the chain, or is not the chain's.
#[test]
fn no_garbled_page_passes_for_a_whole_chain() {
    let house = settled();
    let whole = house.path().join("greenroom.db");
    let pages = fs::metadata(&whole).unwrap().len() / 4096;
    let expected = {
        let (_dir, ledger) = house.open();
        ledger.head()
    };
    let mut noticed = 0;
    for page in (1..pages).step_by(7) {
        let copy = House::new();
        let path = copy.path().join("greenroom.db");
        fs::copy(&whole, &path).unwrap();
        garble(&path, page * 4096, 4096);
        let dir = DataDir::open(copy.path()).unwrap();
        let ledger = match dir.ledger() {
            Ok(ledger) => ledger,
            Err(error) => {
                assert_names_file_and_remedy(&error);
                noticed += 1;
                continue;
            }
        };
        match ledger.reader().verify(0, |_| {}) {
            Ok(report) if report.fault.is_none() => {
                assert_eq!((report.seq, report.hash), (expected.seq, expected.hash));
            }
            Ok(_) => noticed += 1,
            Err(error) => assert_names_file_and_remedy(&error),
        }
    }
    assert!(noticed > 0);
}

#[test]
fn a_file_cut_short_is_refused_or_shows_a_fault() {
    let house = settled();
    let path = house.path().join("greenroom.db");
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let dir = DataDir::open(house.path()).unwrap();
    match dir.ledger() {
        Err(error) => assert_names_file_and_remedy(&error),
        Ok(ledger) => {
            let report = ledger.reader().verify(0, |_| {}).unwrap();
            assert!(report.fault.is_some());
        }
    }
}

#[test]
fn a_changed_word_breaks_the_chain_at_its_event() {
    let house = settled();
    let path = house.path().join("greenroom.db");
    let bytes = fs::read(&path).unwrap();
    let body = br#"{"n":777,"#;
    let at = bytes.windows(body.len()).position(|w| w == body).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"8", at as u64 + 5).unwrap();
    let (_dir, ledger) = house.open();
    let report = ledger.reader().verify(0, |_| {}).unwrap();
    let fault = report.fault.unwrap();
    assert_eq!((fault.seq, fault.kind, report.seq), (777, FaultKind::OtherHash, 776));
    assert_eq!(ledger.reader().verify(777, |_| {}).unwrap().fault, None);
}

/// SQLite drops a log from its first bad frame on. A checkpoint tells that something is missing.
#[test]
fn an_end_lost_with_the_log_is_noticed_by_the_checkpoint() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    fill(&mut ledger, 100);
    let wal = "greenroom.db-wal";
    let middle = fs::metadata(house.path().join(wal)).unwrap().len() / 2;
    dir.checkpoints().save(1, 100, ledger.head().hash, b"state").unwrap();
    let crashed = house.as_after_a_crash();
    garble(&crashed.path().join(wal), middle, 64);
    fs::create_dir(crashed.path().join("checkpoints")).unwrap();
    let checkpoint = crashed.path().join("checkpoints/100");
    fs::copy(house.path().join("checkpoints/100"), &checkpoint).unwrap();

    let opened = DataDir::open(crashed.path()).unwrap();
    let error = opened.ledger().err().unwrap();
    assert_names_file_and_remedy(&error);
    assert!(error.to_string().contains("checkpoints/100"), "{error}");
    // the loss accepted, what is left is sound
    fs::remove_file(checkpoint).unwrap();
    let left = opened.ledger().unwrap();
    assert!(left.head().seq < 100);
    assert_sound(&left);
}
