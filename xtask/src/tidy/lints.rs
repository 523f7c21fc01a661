//! What clippy enforces is asked for: every crate takes the lints of the workspace, and what must not panic denies it.

use std::collections::BTreeSet;

use super::graph::{manifest, ours};
use super::source::{Source, Token};
use super::{Finding, Repo};

/// Crates that decide, serve or follow, also inside other people's programs.
const MUST_NOT_PANIC: &[&str] = &["access", "delivery", "domain", "drivers", "exposure", "follow", "https", "ledger", "relay", "sdk"];
const PANICS: &[&str] = &["unwrap_used", "expect_used", "indexing_slicing", "panic"];

/// Files that these rules are about.
pub fn about() -> Vec<String> {
    MUST_NOT_PANIC.iter().map(|krate| format!("crates/{krate}/src/lib.rs")).collect()
}

pub fn of_the_workspace(repo: &Repo) -> Vec<Finding> {
    let manifests = ours(&repo.metadata).map(|package| manifest(&repo.metadata, package));
    let takes = |text: &str| text.lines().skip_while(|line| line.trim() != "[lints]").nth(1).is_some_and(|line| line.trim() == "workspace = true");
    let without = manifests.filter(|path| repo.file(path).is_some_and(|file| !takes(&file.text)));
    without.map(|path| Finding::new(&path, 0, "the lints of the workspace are not asked for", "add `[lints]` with `workspace = true`")).collect()
}

pub fn panics_denied(repo: &Repo) -> Vec<Finding> {
    let roots = MUST_NOT_PANIC.iter().filter_map(|krate| repo.file(&format!("crates/{krate}/src/lib.rs")));
    let mut found = Vec::new();
    for (file, source) in roots.filter_map(|file| Some((file, file.source.as_ref()?))) {
        let denied = denied(source);
        let allowed: Vec<&str> = PANICS.iter().copied().filter(|lint| !denied.contains(lint)).collect();
        if !allowed.is_empty() {
            let what = format!("clippy's {} is not denied here", allowed.join(", "));
            found.push(Finding::new(&file.path, 0, what, "`#![cfg_attr(not(test), deny(clippy::…))]`: an error is returned, not thrown"));
        }
    }
    found
}

/// Lints within `deny(…)`.
fn denied(source: &Source) -> BTreeSet<&str> {
    let tokens = source.tokens();
    let starts = tokens.windows(2).enumerate().filter(|(_, pair)| ["deny", "forbid"].contains(&pair[0].text) && pair[1].text == "(").map(|(index, _)| index);
    let words = |start: usize| tokens[start..].iter().take_while(|token| token.text != ")").filter(|token| Token::is_word(token)).map(|token| token.text);
    starts.flat_map(words).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn every_crate_takes_the_lints() {
        let mut repo = repo(&[("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"), ("b/Cargo.toml", "[package]\nedition.workspace = true\n[lints]\n\n[dependencies]\n")]);
        let package = |name: &str| json!({"source": null, "manifest_path": format!("/repo/{name}/Cargo.toml")});
        repo.metadata = json!({"workspace_root": "/repo", "packages": [package("a"), package("b")]});
        assert_eq!(places(&of_the_workspace(&repo)), ["b/Cargo.toml:0"]);
    }

    #[test]
    fn what_must_not_panic_denies_it() {
        let repo = repo(&[
            ("crates/domain/src/lib.rs", "#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used,\n clippy::indexing_slicing, clippy::panic))]\n"),
            ("crates/sdk/src/lib.rs", "#![deny(missing_docs, clippy::unwrap_used)]\n#![deny(clippy::expect_used)]\n// deny(clippy::panic)\nfn indexing_slicing() {}\n"),
            ("crates/api/src/lib.rs", ""),
        ]);
        let found: Vec<String> = panics_denied(&repo).into_iter().map(|finding| format!("{} {}", finding.file, finding.what)).collect();
        assert_eq!(found, ["crates/sdk/src/lib.rs clippy's indexing_slicing, panic is not denied here"]);
    }
}
