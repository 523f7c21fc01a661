//! Who may depend on whom, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, Repo};

/// Which of our crates each of our crates may name. A crate that is not here may name none.
pub(super) const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("greenroom-exposure", &[]),
    ("greenroom-ledger", &[]),
    ("greenroom-domain", &["greenroom-exposure"]),
    ("greenroom-access", &["greenroom-domain"]),
    ("greenroom-drivers", &["greenroom-domain"]),
    ("greenroom-delivery", &["greenroom-exposure"]),
    ("greenroom-https", &[]),
    ("greenroom-follow", &["greenroom-exposure", "greenroom-https"]),
    ("greenroom-sdk", &["greenroom-exposure", "greenroom-follow"]),
    ("greenroom-api", &["greenroom-domain", "greenroom-exposure", "greenroom-https"]),
    ("greenroom-server", &["greenroom-exposure", "greenroom-domain", "greenroom-access", "greenroom-ledger", "greenroom-drivers", "greenroom-delivery", "greenroom-api"]),
    ("greenroom", &["greenroom-api", "greenroom-domain", "greenroom-exposure", "greenroom-server", "greenroom-relay", "greenroom-drivers"]),
    ("greenroom-relay", &["greenroom-exposure", "greenroom-delivery", "greenroom-follow"]),
    // programs of others: they meet Greenroom at its interfaces only
    ("shop", &[]),
    ("xtask", &[]),
];

/// Which more their tests may: what stands on the other side of a wire.
const MAY_TEST_WITH: &[(&str, &[&str])] = &[("greenroom-sdk", &["greenroom-delivery"]), ("greenroom-relay", &["greenroom-sdk"])];

/// Third parties that one crate alone may name, by the start of their names.
const QUARANTINE: &[(&str, &str)] = &[
    ("rusqlite", "greenroom-ledger"),
    ("libsqlite3-sys", "greenroom-ledger"),
    ("tokio-postgres", "greenroom-ledger"),
    ("kube", "greenroom-drivers"),
    ("k8s-openapi", "greenroom-drivers"),
    ("bollard", "greenroom-drivers"),
    ("cedar-policy", "greenroom-access"),
    ("tonic", "greenroom-delivery"),
    ("prost", "greenroom-delivery"),
    ("hyper-rustls", "greenroom-https"),
    ("rustls-native-certs", "greenroom-https"),
];

/// The client without TLS, for what stands on this machine. Whoever asks others has `greenroom_https`.
const PLAIN_CLIENT: &str = "reqwest";
const ASK_OTHERS: &[&str] = &["greenroom-api", "greenroom-follow", "greenroom-sdk", "greenroom-relay"];

/// Crates that none of ours may name.
const BANNED: &[(&str, &str)] = &[
    ("chrono", "use jiff; where a library speaks chrono, convert in one module and list it here"),
    ("openssl", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("once_cell", "use std::sync::{OnceLock, LazyLock}"),
    ("lazy_static", "use std::sync::{OnceLock, LazyLock}"),
];

const EXPOSURE_ONLY: &[&str] = &["serde", "serde_json", "regex", "semver", "ipnet"];

/// What the pure crates must not reach, however many steps away.
const IMPURE: &[&str] = &["tokio", "rusqlite", "tokio-postgres", "reqwest", "hyper", "axum"];

/// Crates of which there may be one version: types of two do not fit, and each is dear to compile.
const ONE_VERSION: &[&str] = &["reqwest", "rustls", "tokio", "hyper", "axum"];

const ABSENT: &[&str] = &["openssl-sys", "native-tls", "aws-lc-sys"];

/// One dependency of one of our crates, with the manifest that names it.
struct Edge<'a> {
    manifest: String,
    krate: &'a str,
    on: &'a str,
    dev: bool,
    /// Of ours: a path, not a registry.
    ours: bool,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Our packages.
pub(super) fn ours(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages").iter().filter(|package| package["source"].is_null())
}

pub(super) fn manifest(metadata: &Value, package: &Value) -> String {
    let root = text(metadata, "workspace_root");
    let path = text(package, "manifest_path");
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned()
}

fn edges(metadata: &Value) -> Vec<Edge<'_>> {
    let edge = |package, dependency| Edge {
        manifest: manifest(metadata, package),
        krate: text(package, "name"),
        on: text(dependency, "name"),
        dev: text(dependency, "kind") == "dev",
        ours: dependency["source"].is_null(),
    };
    ours(metadata).flat_map(|package| list(package, "dependencies").iter().map(move |dependency| edge(package, dependency))).collect()
}

/// The line of a manifest that names a dependency; 0 if it cannot be found.
fn line(repo: &Repo, manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| line.trim_start().strip_prefix(dependency).is_some_and(|rest| rest.trim_start().starts_with(['.', '=']));
    repo.file(manifest).and_then(|file| file.lines().find(|(_, line)| names(line))).map_or(0, |(number, _)| number)
}

pub fn imports(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in ours(&repo.metadata) {
        let name = text(package, "name");
        if MAY_IMPORT.iter().all(|(krate, _)| *krate != name) {
            let remedy = "a new crate earns its place (ARCHITECTURE.md): then say in xtask/src/tidy/graph.rs whom it may import";
            found.push(Finding::new(&manifest(&repo.metadata, package), 0, format!("`{name}` has no import rule"), remedy));
        }
    }
    for edge in edges(&repo.metadata).iter().filter(|edge| edge.ours) {
        let allowed = MAY_IMPORT.iter().find(|(krate, _)| *krate == edge.krate).map_or(&[][..], |(_, allowed)| allowed);
        let tested = MAY_TEST_WITH.iter().any(|(krate, with)| edge.dev && *krate == edge.krate && with.contains(&edge.on));
        if !allowed.contains(&edge.on) && !tested {
            let remedy = match allowed {
                [] => "it may import none of ours: move what it needs, or turn the dependency round".to_owned(),
                allowed => format!("it may import {}", allowed.join(", ")),
            };
            found.push(Finding::new(&edge.manifest, line(repo, &edge.manifest, edge.on), format!("`{}` imports `{}`", edge.krate, edge.on), remedy));
        }
    }
    found
}

pub fn quarantine(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for edge in edges(&repo.metadata).iter().filter(|edge| !edge.ours) {
        let mut add = |what: String, remedy: String| found.push(Finding::new(&edge.manifest, line(repo, &edge.manifest, edge.on), what, remedy));
        if let Some((_, keeper)) = QUARANTINE.iter().find(|(name, keeper)| edge.on.starts_with(name) && *keeper != edge.krate) {
            add(format!("`{}` names `{}`", edge.krate, edge.on), format!("`{keeper}` alone may: go through it"));
        }
        if let Some((_, remedy)) = BANNED.iter().find(|(name, _)| *name == edge.on) {
            add(format!("`{}` names `{}`", edge.krate, edge.on), (*remedy).to_owned());
        }
        if edge.on == PLAIN_CLIENT && !edge.dev && ASK_OTHERS.contains(&edge.krate) {
            add(format!("`{}` names `{PLAIN_CLIENT}`", edge.krate), "it has no TLS, and whoever is asked may be on another machine: `greenroom_https`".to_owned());
        }
        if edge.krate == "greenroom-exposure" && !edge.dev && !EXPOSURE_ONLY.contains(&edge.on) {
            add(format!("`greenroom-exposure` names `{}`", edge.on), format!("it runs inside other people's programs: {} and nothing else", EXPOSURE_ONLY.join(", ")));
        }
    }
    for pure in ["greenroom-exposure", "greenroom-domain"] {
        let Some(package) = ours(&repo.metadata).find(|package| text(package, "name") == pure) else { continue };
        for (name, way) in reached(&repo.metadata, text(package, "id")) {
            if IMPURE.contains(&name) {
                found.push(Finding::new(
                    &manifest(&repo.metadata, package),
                    0,
                    format!("`{pure}` reaches `{name}`: {}", way.join(" → ")),
                    "a pure crate does no I/O: drop the dependency or its feature",
                ));
            }
        }
    }
    found
}

/// The name of a package.
fn named<'a>(metadata: &'a Value, id: &str) -> &'a str {
    list(metadata, "packages").iter().find(|package| text(package, "id") == id).map_or("", |package| text(package, "name"))
}

/// Names of all packages that one needs when it is not under test, each with a way to it.
fn reached<'a>(metadata: &'a Value, from: &'a str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let names: BTreeMap<&str, &str> = list(metadata, "packages").iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut waiting = vec![(from, Vec::new())];
    let mut seen = BTreeSet::new();
    while let Some((id, mut way)) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let name = names.get(id).copied().unwrap_or(id);
        way.push(name);
        for dependency in nodes.get(id).map_or(&[][..], |node| list(node, "deps")) {
            let normal = list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            if normal {
                waiting.push((text(dependency, "pkg"), way.clone()));
            }
        }
        ways.insert(name, way);
    }
    ways
}

pub fn single_versions(repo: &Repo) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in list(&repo.metadata, "packages") {
        versions.entry(text(package, "name")).or_default().push(text(package, "version"));
    }
    let mut found = Vec::new();
    for name in ONE_VERSION {
        if let Some(several @ [_, _, ..]) = versions.get(name).map(Vec::as_slice) {
            found.push(Finding::new(
                "Cargo.lock",
                0,
                format!("`{name}` comes in the versions {}", several.join(" and ")),
                format!("`cargo tree --invert {name}@VERSION` shows who asks for it"),
            ));
        }
    }
    let of_clients = list(&repo.metadata["resolve"], "nodes").iter().filter(|node| named(&repo.metadata, text(node, "id")) == PLAIN_CLIENT);
    for feature in of_clients.flat_map(|node| list(node, "features")).filter_map(Value::as_str).filter(|feature| feature.contains("tls")) {
        let remedy = "it has TLS for all clients of a process or for none: `cargo tree --invert reqwest --edges features` shows who asks for it";
        found.push(Finding::new("Cargo.toml", 0, format!("`{PLAIN_CLIENT}` has `{feature}`"), remedy));
    }
    for name in ABSENT {
        if versions.contains_key(name) {
            found.push(Finding::new("Cargo.lock", 0, format!("`{name}` is compiled"), format!("TLS is rustls with ring: `cargo tree --invert {name}` shows who asks for it")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture;
    use super::*;

    fn package(name: &str, dependencies: &Value) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "source": null, "manifest_path": format!("/repo/{name}/Cargo.toml"), "dependencies": dependencies})
    }

    fn with(packages: &[Value], nodes: &Value) -> Repo {
        let mut repo = fixture::repo(&[("greenroom-domain/Cargo.toml", "[dependencies]\ngreenroom-ledger.workspace = true\nchrono = \"1\"\n")]);
        repo.metadata = json!({"workspace_root": "/repo", "packages": packages, "resolve": {"nodes": nodes}});
        repo
    }

    #[test]
    fn imports_are_as_listed() {
        let own = |name: &str| json!({"name": name, "source": null, "kind": null});
        let repo = with(&[package("greenroom-domain", &json!([own("greenroom-exposure"), own("greenroom-ledger")])), package("greenroom-misc", &json!([]))], &json!([]));
        let found: Vec<String> = imports(&repo).iter().map(|finding| format!("{}:{} {}", finding.file, finding.line, finding.what)).collect();
        assert_eq!(found, ["greenroom-misc/Cargo.toml:0 `greenroom-misc` has no import rule", "greenroom-domain/Cargo.toml:2 `greenroom-domain` imports `greenroom-ledger`"]);
    }

    #[test]
    fn third_parties_stay_in_quarantine() {
        let theirs = |name: &str, kind: &str| json!({"name": name, "source": "registry", "kind": if kind.is_empty() { Value::Null } else { json!(kind) }});
        let repo = with(
            &[
                package("greenroom-domain", &json!([theirs("chrono", ""), theirs("rusqlite", "dev"), theirs("jiff", "")])),
                package("greenroom-exposure", &json!([theirs("uuid", ""), theirs("serde", ""), theirs("proptest", "dev")])),
                package("greenroom-ledger", &json!([theirs("rusqlite", "")])),
                package("greenroom-relay", &json!([theirs("reqwest", "dev")])),
                package("greenroom-sdk", &json!([theirs("reqwest", "")])),
            ],
            &json!([]),
        );
        let found: Vec<String> = quarantine(&repo).iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect();
        assert_eq!(
            found,
            ["3 `greenroom-domain` names `chrono`", "0 `greenroom-domain` names `rusqlite`", "0 `greenroom-exposure` names `uuid`", "0 `greenroom-sdk` names `reqwest`"]
        );
    }

    #[test]
    fn purity_holds_at_any_distance_but_not_for_tests() {
        let node = |id: &str, deps: &Value| json!({"id": id, "deps": deps});
        let dep = |id: &str, kind: &Value| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let mut tokio = package("tokio", &json!([]));
        tokio["source"] = json!("registry");
        let mut between = package("between", &json!([]));
        between["source"] = json!("registry");
        let packages = [package("greenroom-domain", &json!([])), between, tokio];
        let repo = with(&packages, &json!([node("greenroom-domain", &json!([dep("between", &Value::Null)])), node("between", &json!([dep("tokio", &Value::Null)]))]));
        assert_eq!(quarantine(&repo)[0].what, "`greenroom-domain` reaches `tokio`: greenroom-domain → between → tokio");
        let repo = with(&packages, &json!([node("greenroom-domain", &json!([dep("tokio", &json!("dev"))]))]));
        assert_eq!(quarantine(&repo), []);
    }

    #[test]
    fn dear_crates_come_once() {
        let mut second = package("rustls", &json!([]));
        second["version"] = json!("2.0.0");
        let packages = [package("rustls", &json!([])), second, package("openssl-sys", &json!([])), package("reqwest", &json!([]))];
        let repo = with(&packages, &json!([{"id": "reqwest", "features": ["json", "rustls-tls"]}, {"id": "rustls", "features": ["tls12"]}]));
        let found: Vec<String> = single_versions(&repo).into_iter().map(|finding| finding.what).collect();
        assert_eq!(found, ["`rustls` comes in the versions 1.0.0 and 2.0.0", "`reqwest` has `rustls-tls`", "`openssl-sys` is compiled"]);
    }
}
