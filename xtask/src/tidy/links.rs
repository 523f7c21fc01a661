//! Links in the documentation lead somewhere: relative ones to a file or folder of the project.

use std::path::{Component, Path};

use super::{Finding, Repo};

pub fn lead_somewhere(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut fenced = false;
        for (line, text) in file.lines() {
            if text.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for link in links(text) {
                let target = link.split(['#', '?']).next().unwrap_or_default();
                if target.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let there =
                    resolved(&file.path, target).is_some_and(|path| path.is_empty() || repo.files.iter().any(|f| f.path == path || f.path.starts_with(&format!("{path}/"))));
                if !there {
                    found.push(Finding::new(&file.path, line, format!("the link `{link}` leads nowhere"), "write it relative to this file, and commit what it leads to"));
                }
            }
        }
    }
    found
}

/// Targets of `[words](target)`, `![words](target)` and `src="target"`; what stands in backticks is no link.
fn links(text: &str) -> Vec<&str> {
    let code = |at: usize| text[..at].matches('`').count() % 2 == 1;
    let ended = |start: usize, end: char| text[start..].split_once(end).map(|(target, _)| target.split_whitespace().next().unwrap_or_default());
    let inline = text.match_indices("](").filter_map(|(at, open)| (!code(at)).then(|| ended(at + open.len(), ')'))?);
    let embedded = text.match_indices("src=\"").filter_map(|(at, open)| (!code(at)).then(|| ended(at + open.len(), '"'))?);
    inline.chain(embedded).collect()
}

/// The path within the checkout, unless it leads out of it.
fn resolved(from: &str, target: &str) -> Option<String> {
    let base = if target.starts_with('/') { Path::new("") } else { Path::new(from).parent()? };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.components().chain(Path::new(target.trim_start_matches('/')).components()) {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn what_is_linked_is_there() {
        let repo = repo(&[
            (
                "README.md",
                "[a](docs/a.md) [b](docs/b.md#x) [c](docs/) [d](https://example.com/x) [e](#here)\n`[f](nowhere)` ![g](docs/g.svg \"t\")\n```\n[h](nowhere)\n```\n<img src=\"docs/a.md\">\n",
            ),
            ("docs/a.md", "[up](../README.md) [root](..) [out](../../x.md)\n"),
        ]);
        assert_eq!(places(&lead_somewhere(&repo)), ["README.md:1", "README.md:2", "docs/a.md:1"]);
    }
}
