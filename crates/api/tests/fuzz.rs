//! Manifests that nobody writes by accident are refused at their place, in bounded time and memory, and never with a panic.
#![expect(unsafe_code, reason = "the harness counts what is allocated")]

#[path = "../../exposure/tests/fuzz/harness.rs"]
mod harness;

use std::path::Path;

use greenroom_api::manifest::{locate, parse, parse_part, parse_release};
use greenroom_api::requests::File;
use greenroom_domain::refusal::{Reason, ReasonCode};
use serde_json::Value;

use crate::harness::fuzz;

/// What people have written, and what YAML allows besides.
fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let within = |directory: &str| std::fs::read_dir(root.join(directory)).unwrap().map(|file| file.unwrap().path());
    let mut paths: Vec<_> = ["tests/fuzz-seeds", "../../examples/shop", "../../examples/shop/releases"].into_iter().flat_map(within).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    assert!(paths.len() >= 6, "{paths:?}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn manifests() {
    let mut read = 0;
    fuzz(&seeds(), 4_000, |bytes| {
        let files = [File { file: "a.yaml".to_owned(), text: String::from_utf8_lossy(bytes).into_owned() }];
        match parse(&files) {
            Ok(parsed) => {
                for one in &parsed {
                    let reason = Reason::new(ReasonCode::Invalid, one.manifest.subject(), "why").path("spec/rules/0/when");
                    let place = locate(&parsed, &reason);
                    assert!(place.is_none_or(|place| place.line >= one.line && place.column >= 1));
                }
                read += 1;
            }
            Err(problem) => assert!(!serde_json::to_string(&problem).unwrap().is_empty()),
        }
    });
    assert!(read > 3, "some of what is mangled reads");
}

#[test]
fn plans_and_parts() {
    fuzz(&seeds(), 2_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = parse_release("a.yaml", &text);
        let _ = parse_part::<Value>("a.yaml", &text);
    });
}
