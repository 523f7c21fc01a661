//! No Rust file is forgotten: from the roots that cargo compiles, `mod` leads to every one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::source::Source;
use super::{File, Finding, Repo};

pub fn forgotten(repo: &Repo) -> Vec<Finding> {
    let mut waiting = roots(&repo.metadata);
    // a program with a workspace of its own is not in our metadata
    let apart = repo.files.iter().filter(|file| file.text.lines().any(|line| line == "[workspace]")).filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    waiting.extend(apart.map(|folder| (format!("{folder}/src/main.rs"), true)));
    let mut reached: BTreeSet<String> = BTreeSet::new();
    while let Some((path, is_root)) = waiting.pop() {
        let Some((file, source)) = repo.file(&path).and_then(|file| Some((file, file.source.as_ref()?))) else { continue };
        if reached.insert(path.clone()) {
            waiting.extend(children(file, source, is_root).into_iter().map(|child| (child, false)));
        }
    }
    let lost = repo.sources().filter(|(file, _)| !reached.contains(&file.path) && !is_material(&file.path));
    lost.map(|(file, _)| Finding::new(&file.path, 0, "no `mod` leads here: it is not compiled", "name it in its parent module, or remove it")).collect()
}

/// Rust text that tests read.
fn is_material(path: &str) -> bool {
    path.split('/').any(|folder| ["corpus", "fixtures"].contains(&folder))
}

/// What cargo compiles, within the checkout.
fn roots(metadata: &Value) -> Vec<(String, bool)> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ours = list(&metadata["packages"]).into_iter().filter(|package| package["source"].is_null());
    let targets = ours.flat_map(|package| list(&package["targets"]));
    targets.filter_map(|target| Some((target["src_path"].as_str()?.strip_prefix(root)?.trim_start_matches('/').to_owned(), true))).collect()
}

/// Every place where a module or an included file of this one may lie.
fn children(file: &File, source: &Source, is_root: bool) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    // a root, like a `mod.rs`, has its modules beside it
    let home = if is_root || stem == "mod" { folder.to_owned() } else { joined(folder, stem) };
    let tokens = source.tokens();
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    // inline modules that are open, with the depth of their braces
    let (mut open, mut depth): (Vec<(&str, u32)>, u32) = (Vec::new(), 0);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                open.pop_if(|(_, opened)| *opened == depth);
            }
            "mod" if text(index + 2) == "{" => open.push((text(index + 1), depth)),
            "mod" if text(index + 2) == ";" => {
                let within = open.iter().fold(home.clone(), |home, (module, _)| joined(&home, module));
                let module = joined(&within, text(index + 1));
                found.extend([format!("{module}.rs"), format!("{module}/mod.rs")]);
            }
            // where the name stands in the text: the code has only its quotes
            "path" if text(index + 1) == "=" => found.extend(quoted(file, tokens.get(index + 2).map_or(0, |token| token.at)).map(|name| resolved(folder, name))),
            "include" if text(index + 1) == "!" => found.extend(quoted(file, tokens.get(index + 3).map_or(0, |token| token.at)).map(|name| resolved(folder, name))),
            _ => {}
        }
    }
    found
}

fn quoted(file: &File, at: usize) -> Option<&str> {
    file.text.get(at..)?.strip_prefix('"')?.split('"').next()
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A relative path with its `..` taken.
fn resolved(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{self, places};
    use super::*;

    #[test]
    fn files_that_no_module_names_are_found() {
        let mut repo = fixture::repo(&[
            ("a/src/lib.rs", "mod one;\npub mod two { mod deep; }\n// mod lost;\n#[path = \"odd/name.rs\"]\nmod odd;\nmod after;"),
            ("a/src/one.rs", "mod inner;"),
            ("a/src/one/inner.rs", "include!(\"../made.rs\");"),
            ("a/src/two/deep.rs", ""),
            ("a/src/odd/name.rs", ""),
            ("a/src/made.rs", ""),
            ("a/src/after/mod.rs", "mod last;"),
            ("a/src/after/last.rs", ""),
            ("a/src/lost.rs", ""),
            ("a/src/inner.rs", ""),
            ("a/src/bin/program.rs", "mod helper;"),
            ("a/src/bin/helper.rs", ""),
            ("a/tests/corpus/text.rs", ""),
        ]);
        repo.metadata = json!({"workspace_root": "/repo", "packages": [
            {"source": null, "targets": [{"src_path": "/repo/a/src/lib.rs"}, {"src_path": "/repo/a/src/bin/program.rs"}]},
            {"source": "registry", "targets": [{"src_path": "/repo/a/src/lost.rs"}]},
        ]});
        assert_eq!(places(&forgotten(&repo)), ["a/src/lost.rs:0", "a/src/inner.rs:0"]);
    }
}
