//! What must stand in a file because tests and reviews rely on it: the corpus of events, the contract of the API, and
//! who may use each of its routes.

use serde_json::Value;

use super::{Finding, Repo};

const CORPUS: &str = "crates/domain/corpus/";
const AUTHORIZATION: &str = "crates/server/tests/it/authorization.txt";
const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every version of every event ever written, to be read for ever.
pub fn corpus(repo: &Repo) -> Vec<Finding> {
    if repo.files.iter().any(|file| file.path.starts_with(CORPUS)) {
        return Vec::new();
    }
    vec![Finding::new(CORPUS, 0, "there is no corpus of events", "keep one example of each kind and version there, and a test that reads them all")]
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
    fn the_corpus_is_there() {
        assert_eq!(corpus(&repo(&[])).len(), 1);
        assert_eq!(corpus(&repo(&[("crates/domain/corpus/release.planned/1.json", "{}")])), []);
    }
}
