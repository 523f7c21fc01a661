use std::fs;

use greenroom_ledger::{Checkpoints, Found};

use super::*;

fn latest(checkpoints: &Checkpoints) -> Found {
    checkpoints.latest_usable(3, |_, _| Ok(true)).unwrap()
}

#[test]
fn the_two_newest_are_kept() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let checkpoints = dir.checkpoints();
    assert_eq!(latest(&checkpoints), Found::default());
    for seq in [900, 1000, 1100] {
        checkpoints.save(3, seq, Hash([1; 32]), format!("state {seq}").as_bytes()).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(house.path().join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["1000", "1100"]);
    let found = latest(&checkpoints).checkpoint.unwrap();
    assert_eq!((found.seq, found.hash, found.payload), (1100, Hash([1; 32]), b"state 1100".to_vec()));
}

#[test]
fn bad_ones_are_passed_over_and_said_so() {
    let house = House::new();
    let dir = DataDir::open(house.path()).unwrap();
    let checkpoints = dir.checkpoints();
    let path = checkpoints.save(3, 10, Hash([1; 32]), &[5; 1000]).unwrap();
    let newer = checkpoints.save(3, 20, Hash([2; 32]), &[6; 1000]).unwrap();
    let whole = fs::read(&newer).unwrap();
    let mut changed = whole.clone();
    changed[600] ^= 1;
    let spoiled: [(&[u8], &str); 5] = [(&whole[..0], "header"), (&whole[..50], "header"), (&whole[..whole.len() - 1], "length"), (&changed, "payload"), (b"GRCHKPT2", "header")];
    for (bytes, reason) in spoiled {
        fs::write(&newer, bytes).unwrap();
        let found = latest(&checkpoints);
        assert_eq!(found.checkpoint.unwrap().seq, 10);
        assert!(found.skipped[0].reason.contains(reason), "{}", found.skipped[0].reason);
    }
    // whole, but of another chain or another form
    fs::write(&newer, &whole).unwrap();
    let found = checkpoints.latest_usable(3, |seq, hash| Ok(seq == 10 && hash == Hash([1; 32])));
    assert_eq!(found.unwrap().checkpoint.unwrap().seq, 10);
    assert_eq!(checkpoints.latest_usable(4, |_, _| Ok(true)).unwrap().skipped.len(), 2);
    fs::remove_file(path).unwrap();
}

#[test]
fn the_reader_confirms_the_hash() {
    let house = House::new();
    let (dir, mut ledger) = house.open();
    fill(&mut ledger, 30);
    let (checkpoints, reader) = (dir.checkpoints(), ledger.reader());
    let at_20 = reader.event(20).unwrap().unwrap().hash;
    checkpoints.save(3, 20, at_20, b"good").unwrap();
    checkpoints.save(3, 25, at_20, b"of another chain").unwrap();
    let found = checkpoints.latest_usable(3, |seq, hash| reader.has(seq, hash)).unwrap();
    assert_eq!(found.checkpoint.unwrap().seq, 20);
    assert_eq!(found.skipped.len(), 1);
}
