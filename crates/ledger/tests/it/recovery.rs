use std::process::Command;

use greenroom_ledger::{DataDir, Error, Ledger};

use super::*;

#[test]
fn a_kill_leaves_a_sound_ledger_with_all_that_was_acknowledged() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    for to in [10, 250, 1000] {
        fill(&mut ledger, to);
        let crashed = house.as_after_a_crash();
        let (_dir, copy) = crashed.open();
        assert_eq!(copy.head(), ledger.head());
        assert_sound(&copy);
    }
}

#[test]
fn a_clean_end_and_a_start_change_nothing() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    fill(&mut ledger, 300);
    let head = ledger.head();
    drop(ledger);
    let mut ledger = dir.ledger().unwrap();
    assert_eq!(ledger.head(), head);
    ledger.settle().unwrap();
    fill(&mut ledger, 310);
    assert_sound(&ledger);
}

#[test]
fn a_batch_whose_commit_was_torn_is_gone_whole() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 100);
    let wal = "greenroom.db-wal";
    let before = std::fs::metadata(house.path().join(wal)).unwrap().len();
    ledger.append(&commands(101, 130)).unwrap();
    let after = std::fs::metadata(house.path().join(wal)).unwrap().len();
    assert!(after > before);
    for cut in [before + 1, before.midpoint(after), after - 1] {
        let crashed = house.as_after_a_crash();
        let file = std::fs::OpenOptions::new().write(true).open(crashed.path().join(wal)).unwrap();
        file.set_len(cut).unwrap();
        let (_dir, mut copy) = crashed.open();
        assert_eq!(copy.head().seq, 100);
        assert_sound(&copy);
        fill(&mut copy, 130);
        assert_eq!(copy.head(), ledger.head());
        assert_sound(&copy);
    }
}

#[test]
fn a_backup_is_a_whole_ledger() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 200);
    let reader = ledger.reader();
    let elsewhere = House::new();
    let copy = elsewhere.path().join("greenroom.db");
    reader.backup_to(&copy).unwrap();
    assert!(matches!(reader.backup_to(&copy), Err(Error::Invalid(_))));
    fill(&mut ledger, 210);
    let (_dir, mut restored) = elsewhere.open();
    assert_eq!(restored.head().seq, 200);
    assert_sound(&restored);
    fill(&mut restored, 210);
    assert_eq!(restored.head(), ledger.head());
}

/// Beside a writer that goes on: taken without its lock, as the command line does it.
#[test]
fn a_data_directory_is_copied_while_it_is_written_to() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    let blobs = dir.blobs().unwrap();
    let evidence = blobs.put("text/plain", 1, b"it went well").unwrap();
    std::fs::write(dir.keys().join("ed25519"), b"secret").unwrap();
    fill(&mut ledger, 200);
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("backup");
    let head = greenroom_ledger::backup(house.path(), &to).unwrap();
    assert_eq!(head, ledger.head());
    fill(&mut ledger, 210);
    assert!(matches!(greenroom_ledger::backup(house.path(), &to), Err(Error::Invalid(_))));
    assert!(matches!(greenroom_ledger::backup(elsewhere.path(), &elsewhere.path().join("other")), Err(Error::Invalid(_))));
    let restored = DataDir::open(&to).unwrap();
    let mut copy = restored.ledger().unwrap();
    assert_eq!(copy.head(), head);
    assert_sound(&copy);
    assert_eq!(restored.blobs().unwrap().get(evidence).unwrap().unwrap().content, b"it went well");
    assert_eq!(std::fs::read(restored.keys().join("ed25519")).unwrap(), b"secret");
    fill(&mut copy, 210);
    assert_eq!(copy.head(), ledger.head());
}

/// The view for people with a shell, if there is one here.
#[test]
fn the_sqlite_shell_shows_the_history() {
    let house = House::new();
    let (_dir, mut ledger) = house.open();
    fill(&mut ledger, 5);
    let shell = Command::new("sqlite3").arg(house.path().join("greenroom.db")).arg("SELECT seq, at, kind, actor, body, hash FROM history WHERE seq = 5").output();
    let Ok(shell) = shell else {
        return skipped("there is no sqlite3 here");
    };
    let line = String::from_utf8(shell.stdout).unwrap();
    let expected = format!("5|2026-09-21T14:13:20.000005Z|deployment.requested/1|tok_0|{}|{}", String::from_utf8(event(5).body).unwrap(), ledger.head().hash);
    assert_eq!(line.trim(), expected);
}

#[test]
fn a_directory_opened_anew_is_the_same() {
    let house = House::new();
    {
        let (_dir, mut ledger) = house.open();
        fill(&mut ledger, 20);
    }
    let dir = DataDir::open(house.path()).unwrap();
    assert_eq!(dir.ledger().unwrap().head().seq, 20);
}
