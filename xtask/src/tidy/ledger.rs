//! What was written stays: the chain is only added to, and every version of an event is read for ever.

use std::collections::BTreeSet;
use std::iter;

use serde_json::Value;

use super::{Finding, Repo};

const LEDGER: &str = "crates/ledger/";
/// Tables of the chain. What else there is may change: indexes are made from it, side tables stand beside it.
const CHAIN: &[&str] = &["event", "kind", "actor", "subject"];
const EVENTS: &str = "crates/domain/src/event.rs";
const CORPUS: &str = "crates/domain/corpus/";

/// Files and folders that these rules are about.
pub fn about() -> Vec<String> {
    [format!("{LEDGER}src/"), format!("{LEDGER}schema/"), EVENTS.to_owned(), CORPUS.to_owned()].to_vec()
}

/// No statement changes or removes a row of the chain.
pub fn append_only(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| ["src/", "schema/"].iter().any(|folder| file.path.strip_prefix(LEDGER).is_some_and(|rest| rest.starts_with(folder)))) {
        let words = words(&file.text);
        for (index, (at, _)) in words.iter().enumerate() {
            let statement: Vec<&str> = words[index..].iter().take(4).map(|(_, word)| *word).collect();
            let said = file.source.as_ref().is_none_or(|source| source.in_literal(*at) && !source.in_tests(*at));
            if let Some(table) = changed(&statement).filter(|table| said && CHAIN.contains(table)) {
                let line = file.text[..*at].matches('\n').count() + 1;
                found.push(Finding::new(&file.path, line, format!("rows of `{table}` are changed"), "the chain is only added to: append an event, or keep it in a side table"));
            }
        }
    }
    found
}

/// The table whose rows a statement changes or removes, if it starts with these words. Statements are in capitals.
fn changed<'a>(statement: &[&'a str]) -> Option<&'a str> {
    match statement {
        ["DELETE", "FROM", table, ..] | ["REPLACE", "INTO", table, ..] | ["UPDATE", "OR", _, table, ..] | ["DROP" | "ALTER", "TABLE", table, ..] | ["UPDATE", table, ..] => {
            Some(table)
        }
        _ => None,
    }
}

/// Words with their places.
fn words(text: &str) -> Vec<(usize, &str)> {
    let apart = |c: char| !c.is_alphanumeric() && c != '_';
    let starts = iter::once(0).chain(text.match_indices(apart).map(|(at, between)| at + between.len()));
    starts.zip(text.split(apart)).filter(|(_, word)| !word.is_empty()).collect()
}

/// One example, at least, of every version of every event ever written.
pub fn corpus(repo: &Repo) -> Vec<Finding> {
    let Some(events) = repo.file(EVENTS) else { return Vec::new() };
    let kinds = kinds(&events.text);
    if kinds.is_empty() {
        return vec![Finding::new(EVENTS, 0, "no kind of event can be read here", "let xtask/src/tidy/ledger.rs read how kinds and versions are written now")];
    }
    let lines = repo.files.iter().filter(|file| file.path.starts_with(CORPUS)).flat_map(|file| file.text.lines());
    let kept: BTreeSet<(String, u64)> = lines
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some((line["kind"].as_str()?.to_owned(), line["version"].as_u64()?))
        })
        .collect();
    let written = kinds.into_iter().flat_map(|(kind, newest)| (1..=newest).map(move |version| (kind.to_owned(), version)));
    let missing = written.filter(|one| !kept.contains(one));
    missing
        .map(|(kind, version)| {
            let remedy = "add a line as this version writes it, and never take one away: it is read for ever";
            Finding::new(CORPUS, 0, format!("there is no example of `{kind}/{version}`"), remedy)
        })
        .collect()
}

/// Kinds with their newest versions, from `"release.planned" / 2`.
fn kinds(events: &str) -> Vec<(&str, u64)> {
    let kind = |(at, slash): (usize, &str)| {
        let name = events[..at].rsplit('"').next()?;
        let version: String = events[at + slash.len()..].chars().take_while(char::is_ascii_digit).collect();
        Some((name, version.parse().ok()?))
    };
    events.match_indices("\" / ").filter_map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn the_chain_is_only_added_to() {
        let repo = repo(&[
            (
                "crates/ledger/src/sqlite/side.rs",
                "run(\"DELETE FROM session\");\n// never DELETE FROM event\nrun(\"DELETE\n FROM event WHERE x\");\nrun(\"UPDATE answer SET x\");\nrun(\"UPDATE subject SET\");\nrun(\"INSERT OR REPLACE INTO kind\");\n\
                 fn update(event: u8) {}\nfn g() { say(\"cannot update event\") + UPDATE(event) }\n#[cfg(test)]\nmod tests { fn f() { run(\"DROP TABLE event\") } }\n",
            ),
            ("crates/ledger/src/sqlite/writer.rs", "run(\"INSERT INTO event (seq) VALUES (?1)\");\n"),
            ("crates/ledger/schema/0002.sql", "CREATE TABLE x (a);\nALTER TABLE event ADD b;\n"),
            ("crates/ledger/tests/it/torn.rs", "run(\"DELETE FROM event\");\n"),
        ]);
        assert_eq!(
            places(&append_only(&repo)),
            ["crates/ledger/src/sqlite/side.rs:3", "crates/ledger/src/sqlite/side.rs:6", "crates/ledger/src/sqlite/side.rs:7", "crates/ledger/schema/0002.sql:2"]
        );
    }

    #[test]
    fn every_version_has_an_example() {
        let events = "A = \"a.made\" / 2 { }\nB = \"b\" / 1 { }\nformat!(\"{kind}/{version}\");\n";
        let line = |kind: &str, version: u8| format!("{{\"kind\": \"{kind}\", \"version\": {version}}}\n");
        let whats = |corpus: &str| -> Vec<String> { super::corpus(&repo(&[(EVENTS, events), ("crates/domain/corpus/a.jsonl", corpus)])).into_iter().map(|f| f.what).collect() };
        assert_eq!(whats(&[line("a.made", 1), line("a.made", 2), line("b", 1)].concat()), Vec::<String>::new());
        assert_eq!(whats(&line("a.made", 2)), ["there is no example of `a.made/1`", "there is no example of `b/1`"]);
        assert_eq!(places(&corpus(&repo(&[(EVENTS, "enum Event {}")]))), ["crates/domain/src/event.rs:0"]);
    }
}
