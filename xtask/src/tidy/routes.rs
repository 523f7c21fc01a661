//! What must stand in a file because tests and reviews rely on it: the contract of the API, and who may use each of its
//! routes.

use serde_json::Value;

use super::source::Token;
use super::{Finding, Repo};

const AUTHORIZATION: &str = "crates/server/tests/it/authorization.txt";
const CASES: &str = "crates/server/tests/it/coverage/cases.rs";
const MAKERS: &[&str] = &["crates/server/src/", "crates/delivery/src/", "crates/relay/src/"];
/// The table itself, and gRPC on ports of its own, which has tests of its own for who is let in.
const ELSEWHERE: &[&str] = &["crates/server/src/http/routes.rs", "crates/delivery/src/flagd/"];
const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Files and folders that these rules are about.
pub fn about() -> Vec<String> {
    [CASES].iter().chain(MAKERS).chain(ELSEWHERE).map(|path| (*path).to_owned()).collect()
}

/// Every route of the contract has lines in the list. What stands there is asked for by the test that writes it.
pub fn authorization(repo: &Repo) -> Vec<Finding> {
    let has_routes = repo.files.iter().any(|file| file.path.starts_with("crates/server/src/http/"));
    let Some(contract) = repo.files.iter().find(|file| file.path.rsplit('/').next() == Some("openapi.json")) else {
        let missing =
            Finding::new("crates/server/openapi.json", 0, "the contract of the API is not committed", "write it from the router and commit it: a change of it shows in review");
        return if has_routes { vec![missing] } else { Vec::new() };
    };
    let routes = match routes(&contract.text) {
        Ok(routes) => routes,
        Err(why) => return vec![Finding::new(&contract.path, 0, why, "write it from the router again")],
    };
    let Some(list) = repo.file(AUTHORIZATION) else {
        return vec![Finding::new(AUTHORIZATION, 0, "there is no authorisation coverage list", "a test of the server writes it")];
    };
    let route = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let listed: Vec<String> = list.lines().map(|(_, line)| route(line)).collect();
    let missing = routes.iter().filter(|route| !listed.contains(route));
    missing.map(|route| Finding::new(&list.path, 0, format!("`{route}` is missing"), "add a case to the server's coverage test, and let it write the list")).collect()
}

/// Whoever makes a route by hand is known to the test that writes the list.
pub fn routes_by_hand(repo: &Repo) -> Vec<Finding> {
    let Some(cases) = repo.file(CASES) else { return Vec::new() };
    let mut found = Vec::new();
    let makers = repo.sources().filter(|(file, _)| MAKERS.iter().any(|folder| file.path.starts_with(folder)) && !ELSEWHERE.iter().any(|known| file.path.starts_with(known)));
    for (file, source) in makers {
        let makes = |words: &[Token<'_>]| words[0].text == "." && ["route", "route_service", "nest_service"].contains(&words[1].text) && words[2].text == "(";
        let Some(made) = source.tokens().windows(3).find(|words| makes(words) && !source.in_tests(words[0].at)).map(|words| words[1].at) else { continue };
        if !cases.text.contains(&format!("\"{}\"", file.path.trim_start_matches("crates/"))) {
            let remedy = format!("put it into the table of routes, or name this file in {CASES}, with who may come in");
            found.push(Finding::new(&file.path, source.line(made), "a route that no case of the coverage list knows", remedy));
        }
    }
    found
}

/// `METHOD PATH` of each operation.
fn routes(contract: &str) -> Result<Vec<String>, String> {
    let contract: Value = serde_json::from_str(contract).map_err(|error| format!("it is not JSON: {error}"))?;
    let paths = contract["paths"].as_object().ok_or("it has no `paths`")?;
    let operations =
        paths.iter().flat_map(|(path, item)| METHODS.iter().filter(|method| item.get(method).is_some()).map(move |method| format!("{} {path}", method.to_uppercase())));
    Ok(operations.collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    const CONTRACT: &str = r#"{"paths": {"/a": {"get": {}, "parameters": []}, "/b/{c}": {"post": {}, "delete": {}}}}"#;

    #[test]
    fn every_route_has_a_line() {
        let findings =
            |list: &str| -> Vec<String> { authorization(&repo(&[("crates/server/openapi.json", CONTRACT), (AUTHORIZATION, list)])).into_iter().map(|f| f.what).collect() };
        let heading = "# list\n                      nobody admin\n";
        assert_eq!(
            findings(&format!("{heading}GET /a                . x\nPOST /b/{{c}} (twice)   . x\nPOST /b/{{c}}           . .\nDELETE /b/{{c}}         . x\n")),
            Vec::<String>::new()
        );
        assert_eq!(findings(&format!("{heading}GET /a                . x\nPOST /b/{{c}}           . x\nGET /b/{{c}}            . x\n")), ["`DELETE /b/{c}` is missing"]);
    }

    #[test]
    fn contract_and_list_are_asked_for_once_there_are_routes() {
        assert_eq!(authorization(&repo(&[("crates/server/src/lib.rs", "")])), []);
        assert_eq!(places(&authorization(&repo(&[("crates/server/src/http/router.rs", "")]))), ["crates/server/openapi.json:0"]);
        assert_eq!(places(&authorization(&repo(&[("crates/server/openapi.json", CONTRACT)]))), [format!("{AUTHORIZATION}:0")]);
        assert_eq!(authorization(&repo(&[("crates/server/openapi.json", "{")])).len(), 1);
    }

    #[test]
    fn routes_by_hand_are_known() {
        let makes = "fn f() {\n Router::new().route(\"/x\", get(x))\n}\n";
        let repo = repo(&[
            (CASES, "[(\"server/src/http/door.rs\", &[])]"),
            ("crates/server/src/http/door.rs", makes),
            ("crates/server/src/http/routes.rs", makes),
            ("crates/delivery/src/flagd/sync.rs", makes),
            ("crates/relay/src/lib.rs", makes),
            ("crates/delivery/src/follow.rs", "fn f() { this.route = 1; route(x) }\n#[cfg(test)]\nmod tests { fn f() { Router::new().route(x) } }\n"),
        ]);
        assert_eq!(places(&routes_by_hand(&repo)), ["crates/relay/src/lib.rs:2"]);
    }
}
