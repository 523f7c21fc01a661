//! What must stand in a file because tests and reviews rely on it: the corpus of events, the contract of the API, and
//! who may use each of its routes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{File, Finding, Repo};

const CORPUS: &str = "crates/domain/corpus/";
const AUTHORIZATION: &str = "crates/server/tests/it/authorization.txt";
/// Every action there is, by the name that policies use.
const ACTIONS: &str = "crates/access/src/action.rs";
const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every version of every event ever written, to be read for ever.
pub fn corpus(repo: &Repo) -> Vec<Finding> {
    if repo.files.iter().any(|file| file.path.starts_with(CORPUS)) {
        return Vec::new();
    }
    vec![Finding::new(CORPUS, 0, "there is no corpus of events", "keep one example of each kind and version there, and a test that reads them all")]
}

/// Routes of the contract and lines of the list are the same, one to one.
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
        return vec![Finding::new(AUTHORIZATION, 0, "there is no authorisation coverage list", "one line per route: `METHOD PATH action roles…`")];
    };
    let actions = repo.file(ACTIONS).map(|file| file.text.as_str());
    compared(&contract.path, &routes, list, actions)
}

/// `METHOD PATH` of each operation.
fn routes(contract: &str) -> Result<Vec<String>, String> {
    let contract: Value = serde_json::from_str(contract).map_err(|error| format!("it is not JSON: {error}"))?;
    let paths = contract["paths"].as_object().ok_or("it has no `paths`")?;
    let operations =
        paths.iter().flat_map(|(path, item)| METHODS.iter().filter(|method| item.get(method).is_some()).map(move |method| format!("{} {path}", method.to_uppercase())));
    Ok(operations.collect())
}

fn compared(contract: &str, routes: &[String], list: &File, actions: Option<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for (line, text) in list.lines() {
        let mut add = |what: String, remedy: &str| found.push(Finding::new(&list.path, line, what, remedy));
        let words: Vec<&str> = text.split_whitespace().collect();
        let [method, path, action, roles @ ..] = words.as_slice() else {
            if words.first().is_some_and(|word| !word.starts_with('#')) {
                add("not `METHOD PATH action roles…`".to_owned(), "`-` stands for no action, `anyone` for no role");
            }
            continue;
        };
        if method.starts_with('#') {
            continue;
        }
        let route = format!("{method} {path}");
        if roles.is_empty() {
            add(format!("`{route}` names no role"), "say who may, or `anyone`");
        }
        if *action != "-" && actions.is_some_and(|actions| !actions.contains(&format!("\"{action}\""))) {
            add(format!("`{action}` is not an action"), "they stand in crates/access/src/action.rs; `-` is none");
        }
        if !routes.contains(&route) {
            add(format!("`{route}` is not in {contract}"), "write the contract again, or drop the line");
        }
        if listed.insert(route.clone(), line).is_some() {
            add(format!("`{route}` stands here twice"), "keep one");
        }
    }
    for route in routes.iter().filter(|route| !listed.contains_key(*route)) {
        found.push(Finding::new(&list.path, 0, format!("`{route}` is missing"), "say which action it is and who may"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    const CONTRACT: &str = r#"{"paths": {"/a": {"get": {}, "parameters": []}, "/b/{c}": {"post": {}, "delete": {}}}}"#;

    fn findings(list: &str) -> Vec<String> {
        let repo = repo(&[("crates/server/openapi.json", CONTRACT), (AUTHORIZATION, list), (ACTIONS, "A = \"a.read\",")]);
        authorization(&repo).into_iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn every_route_is_listed_once_and_is_a_route() {
        assert_eq!(findings("# list\nGET /a a.read viewer\n\nPOST /b/{c} - anyone\nDELETE /b/{c} a.read admin\n"), Vec::<String>::new());
        assert_eq!(
            findings("GET /a a.rede viewer\nPOST /b/{c} a.read\nGET /a - anyone\nGET /x - anyone\nGET\n"),
            [
                "1 `a.rede` is not an action",
                "2 `POST /b/{c}` names no role",
                "3 `GET /a` stands here twice",
                "4 `GET /x` is not in crates/server/openapi.json",
                "5 not `METHOD PATH action roles…`",
                "0 `DELETE /b/{c}` is missing"
            ]
        );
    }

    #[test]
    fn contract_and_list_are_asked_for_once_there_are_routes() {
        assert_eq!(authorization(&repo(&[("crates/server/src/lib.rs", "")])), []);
        assert_eq!(places(&authorization(&repo(&[("crates/server/src/http/router.rs", "")]))), ["crates/server/openapi.json:0"]);
        assert_eq!(places(&authorization(&repo(&[("crates/server/openapi.json", CONTRACT)]))), [format!("{AUTHORIZATION}:0")]);
        assert_eq!(authorization(&repo(&[("crates/server/openapi.json", "{")])).len(), 1);
    }

    #[test]
    fn the_corpus_is_there() {
        assert_eq!(corpus(&repo(&[])).len(), 1);
        assert_eq!(corpus(&repo(&[("crates/domain/corpus/release.planned/1.json", "{}")])), []);
    }
}
