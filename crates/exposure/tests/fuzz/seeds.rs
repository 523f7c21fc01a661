//! Seeds that are JSON, for every crate that includes this file.

use std::path::Path;

use serde_json::Value;

/// `fuzz-seeds/NAME`.
pub fn seeds(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exposure/tests/fuzz-seeds").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The members of a list, each a text of its own.
pub fn texts(seeds: &Value) -> Vec<Vec<u8>> {
    seeds.as_array().unwrap().iter().map(|seed| serde_json::to_vec(seed).unwrap()).collect()
}

/// The snapshots of the conformance corpus.
pub fn corpus() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../exposure/corpus")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    paths.sort();
    let stories = paths.iter().map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap());
    let snapshots: Vec<Vec<u8>> = stories.filter_map(|story| Some(serde_json::to_vec(story.get("snapshot")?).unwrap())).collect();
    assert!(snapshots.len() >= 5);
    snapshots
}
