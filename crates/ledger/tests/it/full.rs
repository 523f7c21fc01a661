//! The disk is full, or says so; nothing may be kept by half.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use greenroom_ledger::{AppendError, DataDir, Error, Ledger};

use super::*;

/// A small memory disk, unmounted when dropped.
struct SmallDisk {
    at: PathBuf,
    _root: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(kib: u32) -> Option<SmallDisk> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().join("disk");
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(&at).output();
        let disk = SmallDisk { at, _root: root };
        mounted.is_ok_and(|output| output.status.success()).then_some(disk)
    }

    fn grow(&self, kib: u32) {
        let remount = Command::new("mount").args(["-o", &format!("remount,size={kib}k")]).arg(&self.at).status();
        assert!(remount.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).output();
    }
}

/// Appends until something gives way. Checks that the failed batch left nothing.
fn fill_up(ledger: &mut SqliteLedger) -> AppendError {
    loop {
        let head = ledger.head();
        if let Err(error) = ledger.append(&commands(head.seq + 1, head.seq + 20)) {
            assert_eq!(ledger.head(), head);
            return error;
        }
        assert!(ledger.head().seq < 100_000, "the disk is not small");
    }
}

#[test]
fn a_full_disk_refuses_whole_commands_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount(2048) else {
        return skipped("mounting a tmpfs is not allowed here");
    };
    let dir = DataDir::open(&disk.at).unwrap();
    let mut ledger = dir.ledger().unwrap();
    for _ in 0..3 {
        match fill_up(&mut ledger) {
            AppendError::Storage(error @ Error::StorageFull { .. }) => {
                assert!(error.to_string().contains("no space left"));
            }
            AppendError::OutcomeUnknown { .. } => {
                ledger.reopen().unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert_sound(&ledger);
    }
    let seq = ledger.head().seq;
    assert!(seq > 0);
    let blobs = dir.blobs();
    assert!(matches!(blobs.err(), Some(Error::StorageFull { .. } | Error::Io { .. })));
    let checkpoints = dir.checkpoints();
    let refused = checkpoints.save(1, seq, ledger.head().hash, &vec![7; 1 << 20]);
    assert!(matches!(refused, Err(Error::StorageFull { .. })));
    assert_eq!(checkpoints.latest_usable(1, |_, _| Ok(true)).unwrap().checkpoint, None);

    disk.grow(16_384);
    fill(&mut ledger, seq + 500);
    assert_sound(&ledger);
    drop(ledger);
    let ledger = dir.ledger().unwrap();
    assert_eq!(ledger.head().seq, seq + 500);
    assert_sound(&ledger);
}

const ACKNOWLEDGED: &str = "acknowledged";
const CHILD: &str = "GREENROOM_TEST_LIMITED_DIR";

/// A write that fails in the commit itself: the kernel refuses to let any file grow.
#[test]
fn a_commit_that_fails_is_an_unknown_outcome() {
    if let Ok(dir) = std::env::var(CHILD) {
        return limited(Path::new(&dir));
    }
    let house = House::new();
    {
        let (_dir, mut ledger) = house.open();
        fill(&mut ledger, 100);
    }
    let child = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 512; exec "$0" --exact "$1" --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .arg("full::a_commit_that_fails_is_an_unknown_outcome")
        .env(CHILD, house.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged: u64 = fs::read_to_string(house.path().join(ACKNOWLEDGED)).unwrap().parse().unwrap();
    let (_dir, mut ledger) = house.open();
    assert!(acknowledged > 100 && ledger.head().seq >= acknowledged);
    assert_sound(&ledger);
    fill(&mut ledger, acknowledged + 100);
    assert_sound(&ledger);
}

fn limited(dir: &Path) {
    let dir = DataDir::open(dir).unwrap();
    let mut ledger = dir.ledger().unwrap();
    let error = fill_up(&mut ledger);
    let acknowledged = ledger.head().seq;
    assert!(matches!(error, AppendError::OutcomeUnknown { .. }), "{error:?}");
    assert!(matches!(ledger.append(&commands(1, 1)), Err(AppendError::Poisoned)));
    assert!(ledger.reopen().unwrap().seq >= acknowledged);
    assert_sound(&ledger);
    fs::write(dir.path().join(ACKNOWLEDGED), acknowledged.to_string()).unwrap();
}
