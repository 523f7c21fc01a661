//! ARCHITECTURE.md speaks of what is there: its files, its modules and items, and whom each crate may import.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::MAY_IMPORT;
use super::{File, Finding, Repo};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const REMEDY: &str = "let ARCHITECTURE.md say what is so now";

/// Every file, module and item named there is there.
pub fn names(repo: &Repo) -> Vec<Finding> {
    let Some(architecture) = repo.file(ARCHITECTURE) else { return Vec::new() };
    let items = items(repo);
    let mut found = Vec::new();
    let mut fenced = false;
    for (line, text) in architecture.lines() {
        fenced ^= text.starts_with("```");
        for name in text.split('`').skip(1).step_by(2).filter(|_| !fenced) {
            let there = match name {
                _ if is_path(name) => repo.files.iter().any(|file| leads_to(&file.path, name)),
                _ if name.contains("::") => name.split("::").all(|segment| items.contains(segment)),
                _ => true,
            };
            if !there {
                found.push(Finding::new(ARCHITECTURE, line, format!("there is no `{name}`"), REMEDY));
            }
        }
    }
    found
}

/// A file of the project, or a folder; not the path of a route.
fn is_path(name: &str) -> bool {
    let file = [".rs", ".md", ".txt", ".cedar", ".sql"].iter().any(|end| name.ends_with(end));
    !name.starts_with('/') && !name.contains(' ') && (file || name.ends_with('/') || name.starts_with("crates/"))
}

/// Whether the file is the one named, or lies in the folder named; what stands before the name may be left out.
fn leads_to(path: &str, name: &str) -> bool {
    let (path, name) = (format!("/{path}/"), format!("/{}/", name.trim_end_matches('/')));
    path.contains(&name)
}

/// Names of crates, modules and items of ours.
fn items(repo: &Repo) -> BTreeSet<&str> {
    let mut items: BTreeSet<&str> = BTreeSet::new();
    for (file, source) in repo.sources() {
        items.extend(file.path.trim_end_matches(".rs").split('/'));
        let tokens = source.tokens();
        items.extend(tokens.windows(2).filter(|pair| ["const", "enum", "fn", "mod", "static", "struct", "trait", "type"].contains(&pair[0].text)).map(|pair| pair[1].text));
    }
    items
}

/// What stands there of imports is what the manifests are held to.
pub fn imports(repo: &Repo) -> Vec<Finding> {
    let Some(architecture) = repo.file(ARCHITECTURE) else { return Vec::new() };
    let said = said(architecture);
    let mut found = Vec::new();
    for (krate, may) in MAY_IMPORT.iter().filter_map(|(krate, may)| Some((short(krate)?, may))) {
        let may: BTreeSet<&str> = may.iter().copied().filter_map(short).collect();
        match said.get(krate) {
            Some(said) if *said == may => {}
            Some(said) => {
                let differ: Vec<&str> = said.symmetric_difference(&may).copied().collect();
                found.push(Finding::new(
                    ARCHITECTURE,
                    0,
                    format!("whom `{krate}` may import is told in two ways: {}", differ.join(", ")),
                    "xtask/src/tidy/graph.rs holds the manifests to it",
                ));
            }
            None => found.push(Finding::new(ARCHITECTURE, 0, format!("it does not say whom `{krate}` may import"), REMEDY)),
        }
    }
    found
}

/// The name by which a crate is spoken of; none for programs of others.
fn short(krate: &str) -> Option<&str> {
    krate.strip_prefix("greenroom-").or(Some(krate).filter(|krate| *krate == "greenroom"))
}

/// `a`, `b` → none of ours · `c` → a (why), b · `d` → all but b and c.
fn said(architecture: &File) -> BTreeMap<&str, BTreeSet<&str>> {
    let list = architecture.text.split_once("Who may import whom:").map_or("", |(_, list)| list);
    let list = list.split_once(". ").map_or(list, |(list, _)| list);
    let rules: Vec<(&str, &str)> = list.split('·').filter_map(|rule| rule.split_once('→')).collect();
    let all: BTreeSet<&str> = rules.iter().flat_map(|(crates, _)| quoted(crates)).collect();
    let mut said = BTreeMap::new();
    for (crates, may) in rules {
        for krate in quoted(crates) {
            let may: BTreeSet<&str> = match may.trim().strip_prefix("all but") {
                // nobody imports the program itself
                Some(but) => all.iter().copied().filter(|other| *other != krate && *other != "greenroom" && !words(but).any(|word| word == *other)).collect(),
                None => words(may).filter(|word| all.contains(word)).collect(),
            };
            said.insert(krate, may);
        }
    }
    said
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Words outside parentheses.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let outside = text.split('(').map(|part| part.split_once(')').map_or(part, |(_, rest)| rest));
    outside.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '-')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn what_it_names_is_there() {
        let repo = repo(&[
            (
                ARCHITECTURE,
                "`domain/src/link.rs`, `link.rs`, `domain/src/`, `crates/domain`, `/readyz`, `a.b/2`\n`domain::link::need` and `State::asleep`\n`domain/src/gone.rs`\n`gone/` and `domain::gone`\n```\n`gone.rs`\n```\n`nk.rs`\n",
            ),
            ("crates/domain/src/link.rs", "pub fn need() {}\npub struct State;\nimpl State { fn asleep() {} }\n"),
        ]);
        assert_eq!(places(&names(&repo)), ["ARCHITECTURE.md:3", "ARCHITECTURE.md:4", "ARCHITECTURE.md:4", "ARCHITECTURE.md:8"]);
    }

    #[test]
    fn imports_are_told_as_they_are() {
        let rules =
            |krate: &str| MAY_IMPORT.iter().find(|(name, _)| short(name) == Some(krate)).map(|(_, may)| may.iter().copied().filter_map(short).collect::<Vec<_>>().join(", "));
        let all: Vec<&str> = MAY_IMPORT.iter().filter_map(|(krate, _)| short(krate)).collect();
        let told = |krate: &str| format!("`{krate}` → {}", rules(krate).filter(|may| !may.is_empty()).unwrap_or_else(|| "none of ours".to_owned()));
        let text = |rules: Vec<String>| format!("9. Who may import whom: {}. Tests may more.\n", rules.join(" ·\n   "));
        let findings = |text: &str| -> Vec<String> { imports(&repo(&[(ARCHITECTURE, text)])).into_iter().map(|finding| finding.what).collect() };
        let right: Vec<String> = all.iter().map(|krate| told(krate)).collect();
        assert_eq!(findings(&text(right.clone())), Vec::<String>::new());
        let wrong = right.iter().filter(|rule| !rule.starts_with("`sdk`")).map(|rule| rule.replace("`access` → domain", "`access` → domain (why, ledger), ledger")).collect();
        assert_eq!(findings(&text(wrong)), ["whom `access` may import is told in two ways: ledger", "it does not say whom `sdk` may import"]);
    }

    #[test]
    fn all_but_some_are_the_others() {
        let text = "Who may import whom: `a`, `b` → none of ours · `c` → all but b and greenroom · `greenroom` → a (b). More.";
        let file = File::new(ARCHITECTURE, text.to_owned());
        let said = said(&file);
        assert_eq!(said["c"], BTreeSet::from(["a"]));
        assert_eq!((said["b"].len(), said["greenroom"].clone()), (0, BTreeSet::from(["a"])));
    }
}
