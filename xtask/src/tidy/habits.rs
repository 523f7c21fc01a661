//! House rules of every source file.

use super::source::{Source, Token};
use super::{File, Finding, OURSELVES, Repo};

/// Lines beyond which a file is parted, and beyond which one thinks about it.
const LIMIT: usize = 800;
const LONG: usize = 400;

pub fn unfinished(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| !file.path.starts_with(OURSELVES)) {
        let tokens = source.tokens();
        for window in tokens.windows(3) {
            let [first, second, third] = [window[0].text, window[1].text, window[2].text];
            let line = source.line(window[0].at);
            match (first, second) {
                ("todo" | "unimplemented", "!") => found.push(Finding::new(&file.path, line, format!("`{first}!`"), "write it, or return an error that says what is missing")),
                ("[", "ignore") if ["]", "="].contains(&third) => {
                    found.push(Finding::new(&file.path, line, "`#[ignore]`", "a test runs or goes; a long one belongs to `cargo xtask full`"));
                }
                _ => {}
            }
        }
    }
    for file in repo.files.iter().filter(|file| is_code(&file.path) && !file.path.starts_with(OURSELVES)) {
        // in Rust only comments speak; elsewhere every line may
        let text = file.source.as_ref().map_or(&file.text, |source| &source.comments);
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = ["TODO", "FIXME", "XXX"].into_iter().find(|word| has_word(line, word)) {
                found.push(Finding::new(&file.path, index + 1, format!("`{word}`"), "do it now, or open an issue and let the code be"));
            }
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    line.match_indices(word).any(|(at, _)| edge(line[..at].chars().next_back()) && edge(line[at + word.len()..].chars().next()))
}

/// A sleep that is not a wait: the test is slow where it passes and flickers where it does not.
pub fn waiting_in_tests(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| !file.path.starts_with(OURSELVES)) {
        let all = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
        let comments: Vec<&str> = source.comments.lines().collect();
        let mut lines: Vec<usize> = Vec::new();
        for path in super::path::paths(source) {
            let sleeps = path.names(&["thread", "sleep"]) || path.names(&["time", "sleep"]) || path.segments == ["sleep"] && followed_by_call(source, path.at);
            // `use` makes no one wait
            if sleeps && (all || source.in_tests(path.at)) && followed_by_call(source, path.at) {
                lines.push(source.line(path.at));
            }
        }
        for line in lines {
            // the line itself and the one above it
            let explained = comments.iter().take(line).skip(line.saturating_sub(2)).any(|comment| comment.contains("sleep: "));
            if !explained {
                let remedy = "wait on state or drive the clock; where the clock is paused or another process polled, `// sleep: why` beside it";
                found.push(Finding::new(&file.path, line, "a sleep in a test", remedy));
            }
        }
    }
    found
}

fn followed_by_call(source: &Source, at: usize) -> bool {
    source.code[at..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start().starts_with('(')
}

pub fn allowed_without_reason(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources() {
        let tokens = source.tokens();
        for (index, token) in tokens.iter().enumerate() {
            let opens = tokens.get(index + 1).is_some_and(|next| next.text == "(");
            if !["allow", "expect"].contains(&token.text) || !opens || !in_attribute(&tokens[..index]) {
                continue;
            }
            let inside = tokens[index + 2..].iter().take_while(|token| token.text != ")");
            if !inside.into_iter().any(|token| token.text == "reason") {
                found.push(Finding::new(&file.path, source.line(token.at), format!("`{}` without a reason", token.text), "add `reason = \"…\"`, or mend what the lint found"));
            }
        }
    }
    found
}

/// Whether the tokens end within `#[` or `#![`, directly or within `cfg_attr(…,`.
fn in_attribute(before: &[Token<'_>]) -> bool {
    let Some(bracket) = before.iter().rposition(|token| ["[", "]", ";", "{", "}"].contains(&token.text)) else { return false };
    let text = |index: usize| before.get(index).map_or("", |token| token.text);
    let opens = text(bracket) == "[" && (text(bracket.wrapping_sub(1)) == "#" || text(bracket.wrapping_sub(1)) == "!" && text(bracket.wrapping_sub(2)) == "#");
    let inside = &before[bracket + 1..];
    opens && (inside.is_empty() || text(bracket + 1) == "cfg_attr" && inside.last().is_some_and(|last| last.text == ","))
}

pub fn too_long(repo: &Repo) -> Vec<Finding> {
    let long = repo.files.iter().filter(|file| length(file) > LIMIT);
    long.map(|file| Finding::new(&file.path, 0, format!("{} lines, more than {LIMIT}", length(file)), "part it by what its parts are about")).collect()
}

/// Worth a thought, no more.
pub fn getting_long(repo: &Repo) -> Vec<String> {
    let long = repo.files.iter().filter(|file| (LONG + 1..=LIMIT).contains(&length(file)));
    long.map(|file| format!("{}: {} lines, more than {LONG}", file.path, length(file))).collect()
}

/// Lines of a file that people write and read; 0 for any other.
fn length(file: &File) -> usize {
    if is_written(file) { file.text.lines().count() } else { 0 }
}

fn is_written(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let text = is_code(&file.path) || file.path.ends_with(".md") || file.path.ends_with(".yaml") || file.path.ends_with(".css");
    let generated = file.text.lines().take(5).any(|line| line.contains("@generated") || line.to_lowercase().contains("do not edit"));
    text && !generated && !["CHANGELOG.md"].contains(&name)
}

fn is_code(path: &str) -> bool {
    [".rs", ".toml", ".sql", ".sh", ".ts", ".tsx", ".js", ".mjs", ".py", ".cedar"].iter().any(|end| path.ends_with(end)) || path == ".ci/run"
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn nothing_is_left_for_later() {
        let repo = repo(&[
            ("a.rs", "fn f() { todo!() }\n// TODO later\nlet todo = \"TODO\";\n#[ignore = \"slow\"]\nfn g() { unimplemented!(\"x\") }\n// METHODOLOGY TODOS\n"),
            ("b.tsx", "{/* FIXME */}\n"),
            ("c.md", "TODO\n"),
        ]);
        let mut found = places(&unfinished(&repo));
        found.sort();
        assert_eq!(found, ["a.rs:1", "a.rs:2", "a.rs:4", "a.rs:5", "b.tsx:1"]);
    }

    #[test]
    fn tests_wait_on_state() {
        let repo = repo(&[
            (
                "crates/a/tests/it/main.rs",
                "use std::thread::sleep;\nfn f() {\n std::thread::sleep(x);\n // sleep: another process, polled\n tokio::time::sleep(x).await;\n sleep(x);\n}\n",
            ),
            ("crates/a/src/lib.rs", "fn f() { std::thread::sleep(x) }\n#[cfg(test)]\nmod tests {\n fn g() { tokio::time::sleep(x) }\n}\n"),
        ]);
        assert_eq!(places(&waiting_in_tests(&repo)), ["crates/a/tests/it/main.rs:3", "crates/a/tests/it/main.rs:6", "crates/a/src/lib.rs:4"]);
    }

    #[test]
    fn what_is_allowed_has_a_reason() {
        let repo = repo(&[(
            "a.rs",
            "#[allow(dead_code)]\n#[allow(dead_code, reason = \"x\")]\n#![cfg_attr(test, allow(unused))]\n#[expect(unused)]\nlet x = y.expect(\"z\");\nlet a = [p, q.expect(r)];\n#[derive(Debug)]\n#![cfg_attr(test, allow(a,\n  b, reason = \"c\"))]\n",
        )]);
        assert_eq!(places(&allowed_without_reason(&repo)), ["a.rs:1", "a.rs:3", "a.rs:4"]);
    }

    #[test]
    fn long_files_are_found_unless_generated() {
        let (long, longer) = ("x\n".repeat(401), "x\n".repeat(801));
        let generated = format!("// @generated\n{longer}");
        let repo = repo(&[("a.rs", &longer), ("b.rs", &long), ("c.rs", &generated), ("Cargo.lock", &longer), ("corpus/d.json", &longer), ("CHANGELOG.md", &longer)]);
        assert_eq!(places(&too_long(&repo)), ["a.rs:0"]);
        assert_eq!(getting_long(&repo), ["b.rs: 401 lines, more than 400"]);
    }
}
