//! The invariants of the layout, checked: what is absent stays absent.
//!
//! Rules read the manifests (`cargo metadata`) and the sources, never a build, so that this takes seconds.

mod about;
mod architecture;
mod builds;
mod domain;
mod graph;
mod habits;
mod keepers;
mod ledger;
mod links;
mod lints;
mod modules;
mod path;
mod places;
mod purity;
mod released;
mod routes;
mod source;
mod wire;

use std::fmt;
use std::fs;

use anyhow::Result;
use serde_json::Value;

use crate::workspace::{files, metadata, root};
use builds::Builds;
use source::Source;

/// These files name what they forbid.
const OURSELVES: &str = "xtask/src/tidy";

/// Everything the rules look at.
struct Repo {
    /// Text files that are committed or about to be, by path.
    files: Vec<File>,
    metadata: Value,
    builds: Builds,
}

struct File {
    /// Within the checkout, with `/`.
    path: String,
    text: String,
    /// Of Rust files only.
    source: Option<Source>,
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::new(&text));
        Self { path: path.to_owned(), text, source }
    }

    /// Lines from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

impl Repo {
    fn read() -> Result<Self> {
        // what is not text, or deleted but still in the index, is none of the rules' business
        let files = files()?.into_iter().filter_map(|path| Some(File::new(&path, fs::read_to_string(root().join(&path)).ok()?))).collect();
        Ok(Self { files, metadata: metadata()?, builds: Builds::read()? })
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust files with their text as code.
    fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }
}

/// One thing that is not as it should be, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// 0 when it is about the file as a whole.
    line: usize,
    what: String,
    remedy: String,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, remedy } = self;
        match line {
            0 => write!(f, "{file}: {what}\n    → {remedy}"),
            line => write!(f, "{file}:{line}: {what}\n    → {remedy}"),
        }
    }
}

type Rule = fn(&Repo) -> Vec<Finding>;

const RULES: &[Rule] = &[
    about::something,
    graph::imports,
    graph::quarantine,
    architecture::imports,
    architecture::names,
    graph::single_versions,
    builds::once,
    lints::of_the_workspace,
    lints::panics_denied,
    purity::pure_crates,
    purity::parts_of_the_binary,
    domain::planes_apart,
    domain::planes_meet,
    domain::fold,
    keepers::kept,
    keepers::one_state,
    keepers::reactors,
    wire::wire_types,
    habits::unfinished,
    habits::waiting_in_tests,
    habits::allowed_without_reason,
    habits::too_long,
    modules::forgotten,
    places::this_machine,
    places::hosts,
    links::lead_somewhere,
    released::as_released,
    ledger::append_only,
    ledger::corpus,
    routes::authorization,
    routes::routes_by_hand,
];

/// Prints what it finds; true when nothing must be mended.
pub fn run() -> Result<bool> {
    let repo = Repo::read()?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&repo)).collect();
    findings.sort();
    findings.dedup();
    for warning in habits::getting_long(&repo) {
        println!("warning: {warning}");
    }
    for finding in &findings {
        println!("error: {finding}");
    }
    println!("tidy: {} rules, {} files, {} findings", RULES.len(), repo.files.len(), findings.len());
    Ok(findings.is_empty())
}

#[cfg(test)]
mod fixture {
    use super::*;

    /// A repository of these files.
    pub(super) fn repo(files: &[(&str, &str)]) -> Repo {
        Repo { files: files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect(), metadata: Value::Null, builds: Builds::default() }
    }

    /// `file:line` of each finding.
    pub(super) fn places(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}:{}", finding.file, finding.line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_place_and_remedy() {
        assert_eq!(Finding::new("a.rs", 3, "`x`", "drop it").to_string(), "a.rs:3: `x`\n    → drop it");
        assert_eq!(Finding::new("a.rs", 0, "too long", "part it").to_string(), "a.rs: too long\n    → part it");
    }
}
