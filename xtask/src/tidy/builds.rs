//! The world is compiled once: the program alone, and the whole workspace with its tests, ask the same features of every
//! dependency. One feature that only a test asks for compiles all that stands on that dependency a second time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{Finding, Repo};
use crate::workspace::{cargo, output};

/// Feature sets, each as text, of every package: more than one where build scripts ask for others.
pub type Features = BTreeMap<String, BTreeSet<String>>;

/// What is compiled for `cargo build`, and for the tests of the workspace.
#[derive(Default)]
pub struct Builds {
    program: Features,
    tests: Features,
}

impl Builds {
    pub fn read() -> Result<Self> {
        let tree = |args: &[&str]| output(cargo().args(["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p}|{f}"]).args(args));
        Ok(Self { program: features(&tree(&["--package", "greenroom", "--edges", "normal,build"])?), tests: features(&tree(&["--workspace", "--edges", "normal,build,dev"])?) })
    }
}

fn features(tree: &str) -> Features {
    let mut features = Features::new();
    for (package, asked) in tree.lines().filter_map(|line| line.split_once('|')) {
        // `name v1.2.3`, without the place of our own
        let package: Vec<&str> = package.split(' ').take(2).collect();
        features.entry(package.join(" ")).or_default().insert(asked.to_owned());
    }
    features
}

pub fn once(repo: &Repo) -> Vec<Finding> {
    let Builds { program, tests } = &repo.builds;
    let mut found = Vec::new();
    // tempfile asks for more of it in every test, and it compiles in a moment
    for (package, asked) in program.iter().filter(|(package, _)| !package.starts_with("getrandom ")) {
        let Some(with_tests) = tests.get(package).filter(|with_tests| !asked.is_subset(with_tests)) else { continue };
        let more = only_in(with_tests, asked);
        let remedy = "drop what a dev-dependency or another member asks for more, or let [workspace.dependencies] ask for it always: `cargo tree --workspace --edges features --invert NAME@VERSION`";
        found.push(Finding::new("Cargo.toml", 0, format!("`{package}` is compiled twice: tests ask for `{more}` more than the program"), remedy));
    }
    found
}

/// Features of some set here that are in no set there.
fn only_in(here: &BTreeSet<String>, there: &BTreeSet<String>) -> String {
    let all = |sets: &BTreeSet<String>| sets.iter().flat_map(|set| set.split(',')).map(ToOwned::to_owned).collect::<BTreeSet<String>>();
    all(here).difference(&all(there)).cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_feature_for_tests_alone_is_found() {
        let mut repo = fixture::repo(&[]);
        repo.builds = Builds {
            program: features("greenroom v0.1.0 (/somewhere)|\ntokio v1.0.0|rt\nsyn v2.0.0|full\nserde v1.0.0|std\n"),
            tests: features("tokio v1.0.0|rt,test-util\nsyn v2.0.0|derive\nsyn v2.0.0|full\nserde v1.0.0|std\nproptest v1.0.0|std\ngreenroom v0.1.0 (/somewhere)|\n"),
        };
        let found: Vec<String> = once(&repo).into_iter().map(|finding| finding.what).collect();
        assert_eq!(found, ["`tokio v1.0.0` is compiled twice: tests ask for `test-util` more than the program"]);
    }
}
