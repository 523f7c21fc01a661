//! The wire is written down once.

use super::about::is_module;
use super::{Finding, Repo};

/// Who speaks on the wire.
const SPEAKERS: &[&str] = &["crates/server/src", "crates/greenroom/src"];
/// What becomes an answer of the API.
const ANSWERS: &[&str] = &["crates/server/src/http", "crates/server/src/view"];

/// Modules that this rule is about.
pub fn about() -> Vec<String> {
    SPEAKERS.iter().chain(ANSWERS).map(|module| (*module).to_owned()).collect()
}

fn is_in(path: &str, modules: &[&str]) -> bool {
    modules.iter().any(|module| is_module(path, module))
}

/// Wire types stand in `api`; only what the query of a route may hold stands beside the route. What is answered is of these
/// types, and not put together by hand.
pub fn wire_types(repo: &Repo) -> Vec<Finding> {
    let remedy = "write it once, in crates/api: server, command line and other clients share it";
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| is_in(&file.path, SPEAKERS)) {
        let answers = is_in(&file.path, ANSWERS);
        let tokens = source.tokens();
        for (index, token) in tokens.iter().enumerate().filter(|(_, token)| !source.in_tests(token.at)) {
            let rest = &tokens[index..];
            let derives = |name: &str| token.text == "derive" && rest.iter().take_while(|t| t.text != "]").any(|t| t.text == name);
            let name = || rest.windows(2).find(|pair| ["struct", "enum"].contains(&pair[0].text)).map_or("", |pair| pair[1].text);
            let query = || file.path.starts_with("crates/server/src/http/") && (name().ends_with("Query") || name() == "Paging");
            if derives("JsonSchema") && !query() || derives("Serialize") && answers {
                found.push(Finding::new(&file.path, source.line(token.at), format!("the wire type `{}` outside `api`", name()), remedy));
            }
            // the description of the API is no answer of its
            if answers && token.text == "json" && rest.get(1).is_some_and(|next| next.text == "!") && !is_module(&file.path, "crates/server/src/http/openapi") {
                found.push(Finding::new(&file.path, source.line(token.at), "an answer put together by hand", remedy));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn wire_types_are_written_once() {
        let repo = repo(&[
            ("crates/server/src/http/v1/a.rs", "#[derive(Deserialize, JsonSchema)]\n#[serde(default)]\nstruct AQuery { a: u8 }\n#[derive(JsonSchema)]\npub struct Thing;\n"),
            ("crates/server/src/view/b.rs", "#[derive(Debug)]\nstruct Local;\n#[derive(JsonSchema)] enum BQuery {}\n"),
            ("crates/server/src/view/c.rs", "#[derive(Serialize)]\nstruct Local;\nfn f() { json!({}) }\n#[cfg(test)]\nmod tests { fn g() { json!({}) } }\n"),
            ("crates/server/src/gate.rs", "#[derive(Serialize)]\nstruct OnDisk;\n"),
            ("crates/api/src/views.rs", "#[derive(JsonSchema)]\npub struct Thing;\n"),
        ]);
        assert_eq!(
            places(&wire_types(&repo)),
            ["crates/server/src/http/v1/a.rs:4", "crates/server/src/view/b.rs:3", "crates/server/src/view/c.rs:1", "crates/server/src/view/c.rs:3"]
        );
    }
}
