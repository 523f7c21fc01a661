//! The two planes of the domain, where they meet, and the fold that stands below all of it.

use super::path::{Path, paths};
use super::source::Source;
use super::{File, Finding, Repo};

const DOMAIN: &str = "crates/domain/src/";
const PLANES: [&str; 2] = ["deployment", "release"];
/// What asks both planes, and the vocabulary, which holds both and asks neither.
const MAY_NAME_BOTH: &[&str] = &["link", "decide", "judge", "command", "event", "state", "apply", "checkpoint", "recall"];

/// What the fold must not ask, for it has no policy and no refusal.
const POLICY: &[&str] = &["decide", "judge", "link", "reach", "refusal"];
/// Of these, what says when a thing is looked at again.
const TIMES: &[&[&str]] = &[&["judge", "archive", "KEEP"], &["judge", "releases", "deadlines"]];

/// Modules that these rules are about.
pub fn about() -> Vec<String> {
    PLANES.iter().chain(MAY_NAME_BOTH).chain(POLICY).map(|module| format!("{DOMAIN}{module}")).collect()
}

/// Files of the domain, with their modules from the root of the crate: `deployment/build.rs` is `deployment`, `build`.
fn files(repo: &Repo) -> impl Iterator<Item = (&File, &Source, Vec<&str>)> {
    repo.sources().filter_map(|(file, source)| {
        let stem = file.path.strip_prefix(DOMAIN)?.trim_end_matches(".rs").trim_end_matches("/mod");
        Some((file, source, stem.split('/').collect()))
    })
}

/// Paths of a file, from the root of the crate, with what they start at.
fn named<'a>(source: &'a Source, module: &'a [&'a str]) -> impl Iterator<Item = (Path<'a>, Vec<&'a str>)> {
    paths(source).into_iter().map(|path| {
        let absolute = absolute(module, &path.segments);
        (path, absolute)
    })
}

/// Segments from the root of the crate, when the path says where it starts; else none.
fn absolute<'a>(module: &[&'a str], segments: &[&'a str]) -> Vec<&'a str> {
    if let ["crate" | "greenroom_domain", rest @ ..] = segments {
        return rest.to_vec();
    }
    let ups = segments.iter().take_while(|segment| **segment == "super").count();
    if ups == 0 || ups > module.len() {
        return Vec::new();
    }
    [&module[..module.len() - ups], &segments[ups..]].concat()
}

pub fn planes_apart(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source, module) in files(repo) {
        let Some(here) = PLANES.iter().find(|plane| module.first() == Some(*plane)) else { continue };
        for (path, absolute) in named(source, &module) {
            if let Some(there) = PLANES.iter().find(|plane| *plane != here && absolute.first() == Some(*plane)) {
                let remedy = "what needs both planes stands in `link`; what both need, in the shared kernel";
                found.push(Finding::new(&file.path, source.line(path.at), format!("`{here}` imports `{there}`"), remedy));
            }
        }
    }
    found
}

/// Nothing but the link, those who ask it, and the vocabulary names both planes.
pub fn planes_meet(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source, module) in files(repo).filter(|(.., module)| module.first().is_some_and(|first| !PLANES.contains(first) && !MAY_NAME_BOTH.contains(first))) {
        let first = |plane: &str| named(source, &module).find(|(path, absolute)| absolute.first() == Some(&plane) && !source.in_tests(path.at)).map(|(path, _)| path.at);
        if let [Some(one), Some(other)] = PLANES.map(first) {
            let remedy = format!("ask `link`, or stand in one of {}", MAY_NAME_BOTH.join(", "));
            found.push(Finding::new(&file.path, source.line(one.max(other)), "deployment and release meet here", remedy));
        }
    }
    found
}

/// `apply` cannot fail and knows no policy.
pub fn fold(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source, module) in files(repo).filter(|(.., module)| module.first() == Some(&"apply")) {
        for (path, absolute) in named(source, &module).filter(|(path, _)| !source.in_tests(path.at)) {
            if absolute.first().is_some_and(|first| POLICY.contains(first)) && !TIMES.contains(&&absolute[..]) {
                let remedy = "the fold takes what was decided: decide it before, and say it in the event";
                found.push(Finding::new(&file.path, source.line(path.at), format!("`apply` asks `{}`", absolute.join("::")), remedy));
            }
        }
        for token in source.tokens().iter().filter(|token| token.text == "Result" && !source.in_tests(token.at)) {
            found.push(Finding::new(&file.path, source.line(token.at), "`apply` may fail", "a ledger that was written must fold: refuse it before it is an event"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn the_planes_meet_elsewhere() {
        let repo = repo(&[
            ("crates/domain/src/deployment/build.rs", "use crate::{id::Name,\n release::feature::Feature};\nuse super::super::release;\nuse super::release;\n"),
            ("crates/domain/src/deployment.rs", "use super::release::plan;\n"),
            ("crates/domain/src/release/mod.rs", "use crate::deployment::build::Build;\nuse crate::release::plan;\n"),
            ("crates/domain/src/link.rs", "use crate::deployment::build::Build;\nuse crate::release::plan;\n"),
        ]);
        assert_eq!(
            places(&planes_apart(&repo)),
            ["crates/domain/src/deployment/build.rs:2", "crates/domain/src/deployment/build.rs:3", "crates/domain/src/deployment.rs:1", "crates/domain/src/release/mod.rs:1"]
        );
    }

    #[test]
    fn they_meet_in_few_places() {
        let both = "use crate::deployment::build::Build;\nuse crate::id::Name;\nuse crate::release::plan;\n";
        let repo = repo(&[
            ("crates/domain/src/link.rs", both),
            ("crates/domain/src/judge/rollouts.rs", both),
            ("crates/domain/src/reach.rs", both),
            ("crates/domain/src/exposure.rs", "use crate::release::plan;\n#[cfg(test)]\nmod tests { use crate::deployment::build; }\n"),
            ("crates/server/src/view/board.rs", both),
        ]);
        assert_eq!(places(&planes_meet(&repo)), ["crates/domain/src/reach.rs:3"]);
    }

    #[test]
    fn the_fold_asks_nobody() {
        let repo = repo(&[
            ("crates/domain/src/apply.rs", "use crate::judge::archive::KEEP;\nuse crate::{state::State,\n link::need};\nfn f() { crate::judge::releases::deadlines(r) }\n"),
            ("crates/domain/src/apply/token.rs", "use super::super::refusal::Reason;\nfn f() -> CheckResult {}\nfn g() -> Result<(), E> {}\n"),
            ("crates/domain/src/decide.rs", "use crate::link::need;\nfn f() -> Result<(), E> {}\n"),
        ]);
        assert_eq!(places(&fold(&repo)), ["crates/domain/src/apply.rs:3", "crates/domain/src/apply/token.rs:1", "crates/domain/src/apply/token.rs:3"]);
    }
}
