//! What the sources of a crate may name, where the manifest cannot tell.

use super::path::{Path, paths};
use super::source::Source;
use super::{File, Finding, Repo};

const PURE: &[&str] = &["crates/exposure/src/", "crates/domain/src/"];

enum Named {
    /// The path starts so.
    Start(&'static [&'static str]),
    /// It stands somewhere in the path.
    Anywhere(&'static [&'static str]),
}

/// What a pure crate must not name, and what it does instead.
const IMPURE: &[(Named, &str)] = &[
    (Named::Start(&["tokio"]), "do the waiting in the server; the rules are functions"),
    (Named::Start(&["rusqlite"]), "the ledger alone stores"),
    (Named::Start(&["tokio_postgres"]), "the ledger alone stores"),
    (Named::Start(&["reqwest"]), "drivers and server alone speak to others"),
    (Named::Start(&["std", "fs"]), "take the content as a parameter"),
    (Named::Start(&["std", "env"]), "take the setting as a parameter"),
    (Named::Start(&["std", "process"]), "return an error"),
    (Named::Start(&["std", "net", "TcpListener"]), "drivers and server alone speak to others"),
    (Named::Start(&["std", "net", "TcpStream"]), "drivers and server alone speak to others"),
    (Named::Start(&["std", "net", "UdpSocket"]), "drivers and server alone speak to others"),
    (Named::Start(&["std", "net", "ToSocketAddrs"]), "asking for a host's address speaks to others: take the address as a parameter"),
    (Named::Start(&["std", "os"]), "take what the machine knows as a parameter"),
    (Named::Start(&["std", "thread"]), "do it where threads are at home; the rules are functions"),
    (Named::Start(&["rand"]), "ids and salts are minted outside and come with the command"),
    (Named::Start(&["getrandom"]), "ids and salts are minted outside and come with the command"),
    (Named::Start(&["fastrand"]), "ids and salts are minted outside and come with the command"),
    (Named::Anywhere(&["Uuid", "new_v4"]), "ids are minted outside and come with the command"),
    (Named::Anywhere(&["Uuid", "now_v7"]), "ids are minted outside and come with the command"),
    (Named::Anywhere(&["SystemTime"]), "take `now` as a parameter"),
    (Named::Anywhere(&["Instant", "now"]), "take `now` as a parameter"),
    (Named::Anywhere(&["Timestamp", "now"]), "take `now` as a parameter"),
    (Named::Anywhere(&["Zoned", "now"]), "take `now` as a parameter"),
];

/// Modules that these rules are about.
pub fn about() -> Vec<String> {
    let commands = PARTS.iter().flat_map(|(_, commands)| *commands).map(|command| format!("{BINARY}commands/{command}"));
    PURE.iter().map(|folder| (*folder).to_owned()).chain(commands).collect()
}

fn within<'a>(repo: &'a Repo, folders: &'a [&str]) -> impl Iterator<Item = (&'a File, &'a Source)> {
    repo.sources().filter(move |(file, _)| folders.iter().any(|folder| file.path.starts_with(folder)))
}

pub fn pure_crates(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in within(repo, PURE) {
        if file.path.ends_with("/tests.rs") {
            continue;
        }
        for token in source.tokens().iter().filter(|token| ["async", "await"].contains(&token.text) && !source.in_tests(token.at)) {
            found.push(Finding::new(&file.path, source.line(token.at), format!("`{}` in a pure crate", token.text), "do the waiting in the server; the rules are functions"));
        }
        for path in paths(source).iter().filter(|path| path.segments.len() > 1 && !source.in_tests(path.at)) {
            if let Some((named, remedy)) = IMPURE.iter().find(|(named, _)| named.is_in(path)) {
                found.push(Finding::new(&file.path, source.line(path.at), format!("`{}` in a pure crate", named.shown()), *remedy));
            }
        }
    }
    found
}

impl Named {
    fn is_in(&self, path: &Path<'_>) -> bool {
        match self {
            Self::Start(words) => path.leads_to(words),
            Self::Anywhere(words) => path.names(words),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Start(words) | Self::Anywhere(words) => words.join("::"),
        }
    }
}

/// Which commands of the one binary may name which of our crates.
const PARTS: &[(&str, &[&str])] = &[("greenroom_server", &["serve"]), ("greenroom_relay", &["relay"]), ("greenroom_drivers", &["proxy", "demo"])];
/// What the binary leaves to the server: it speaks the words of the domain, and asks the API for its judgement.
const RULES: &[&str] = &["agenda", "apply", "decide", "judge", "link", "state"];
const BINARY: &str = "crates/greenroom/src/";

pub fn parts_of_the_binary(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in within(repo, &[BINARY]) {
        let place = file.path[BINARY.len()..].trim_start_matches("commands/");
        let mut add = |at: usize, what: String, remedy: String| found.push(Finding::new(&file.path, source.line(at), what, remedy));
        for path in paths(source) {
            if let ["greenroom_domain", module, ..] = path.segments[..]
                && RULES.contains(&module)
            {
                add(path.at, format!("`greenroom_domain::{module}` in the binary"), "the words of the domain are for all, its rules for the server: ask the API".to_owned());
            }
            let Some((krate, commands)) = PARTS.iter().find(|(krate, _)| path.segments.first() == Some(krate)) else { continue };
            if !commands.iter().any(|command| place == format!("{command}.rs") || place.starts_with(&format!("{command}/"))) {
                add(path.at, format!("`{krate}` outside its commands"), format!("only {} may name it: the rest speaks to the API", commands.join(" and ")));
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
    fn pure_crates_do_no_io_and_know_no_clock() {
        let repo = repo(&[
            ("crates/domain/src/a.rs", "use std::{collections::BTreeMap,\n fs::File};\nfn f() { jiff::Timestamp::now(); }\n// std::env\nfn rand() { let rand = rand(); }\n"),
            ("crates/exposure/src/b.rs", "use std::net::IpAddr;\n#[cfg(test)]\nmod tests { use std::fs; }\nuse std::time::SystemTime;\n"),
            ("crates/exposure/src/c/tests.rs", "use std::fs;\n"),
            ("crates/exposure/src/e.rs", "use std::net::{IpAddr,\n UdpSocket};\nasync fn f() {}\nfn g(waits: u8) { let awaits = \"await\"; }\n"),
            ("crates/server/src/d.rs", "use std::fs;\n"),
        ]);
        assert_eq!(
            places(&pure_crates(&repo)),
            ["crates/domain/src/a.rs:2", "crates/domain/src/a.rs:3", "crates/exposure/src/b.rs:4", "crates/exposure/src/e.rs:3", "crates/exposure/src/e.rs:2"]
        );
    }

    #[test]
    fn parts_are_named_by_their_commands() {
        let repo = repo(&[
            ("crates/greenroom/src/commands/serve.rs", "use greenroom_server::run;\n"),
            ("crates/greenroom/src/commands/relay/off.rs", "greenroom_relay::off();\n"),
            ("crates/greenroom/src/demo/stage.rs", "use greenroom_drivers::proxy;\nuse greenroom_relay::start;\n"),
            ("crates/greenroom/src/commands/status.rs", "use greenroom_api::Board;\nuse greenroom_server::run;\nuse greenroom_domain::{id::Name, state::State};\n"),
        ]);
        assert_eq!(
            places(&parts_of_the_binary(&repo)),
            ["crates/greenroom/src/demo/stage.rs:2", "crates/greenroom/src/commands/status.rs:2", "crates/greenroom/src/commands/status.rs:3"]
        );
    }
}
