//! Which files alone may name what: who appends, who speaks with the outside, where the wire is written down.

use super::path::paths;
use super::{Finding, Repo};

struct Keep {
    /// Files or folders to which it applies.
    within: &'static [&'static str],
    /// Of these, the ones that may.
    but: &'static [&'static str],
    /// A path that starts so.
    words: &'static [&'static str],
    what: &'static str,
    remedy: &'static str,
}

const SERVER: &str = "crates/server/src/";
const WRITER: &str = "crates/server/src/engine/writer.rs";
const REACTORS: &[&str] = &["crates/server/src/engine/rollouts", "crates/server/src/engine/fleet"];

/// Appending to the ledger: one writer, and `serve`, which opens it.
const fn appends(words: &'static [&'static str]) -> Keep {
    Keep {
        within: &[SERVER],
        but: &[WRITER, "crates/server/src/serve.rs"],
        words,
        what: "appends beside the writer",
        remedy: "send the writer a command: what was decided is in the ledger, by its hand",
    }
}

const fn outside(words: &'static [&'static str]) -> Keep {
    Keep {
        within: &[WRITER, "crates/domain/src/"],
        but: &[],
        words,
        what: "speaks with the outside where things are decided",
        remedy: "a reactor does it once the event is durable",
    }
}

const fn input(words: &'static [&'static str]) -> Keep {
    Keep {
        within: REACTORS,
        but: &[],
        words,
        what: "gives a reactor another input than the state",
        remedy: "look at the state: a reactor may be woken twice, or killed, and starts with what it finds",
    }
}

const KEEPS: &[Keep] = &[
    appends(&["greenroom_ledger", "SqliteLedger"]),
    appends(&["greenroom_ledger", "Ledger"]),
    appends(&["greenroom_ledger", "Batch"]),
    appends(&["greenroom_ledger", "NewEvent"]),
    appends(&["greenroom_ledger", "SideWrite"]),
    outside(&["greenroom_drivers"]),
    outside(&["greenroom_delivery"]),
    outside(&["reqwest"]),
    outside(&["hyper"]),
    outside(&["tokio", "net"]),
    outside(&["tokio", "process"]),
    outside(&["std", "net", "TcpStream"]),
    outside(&["std", "net", "UdpSocket"]),
    outside(&["std", "process"]),
    input(&["tokio", "sync", "mpsc"]),
    input(&["tokio", "sync", "broadcast"]),
    input(&["tokio", "sync", "oneshot"]),
];

pub fn kept(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources() {
        let rules: Vec<&Keep> = KEEPS.iter().filter(|keep| keep.within.iter().any(|w| file.path.starts_with(w)) && !keep.but.contains(&file.path.as_str())).collect();
        if rules.is_empty() || file.path.ends_with("/tests.rs") {
            continue;
        }
        for path in paths(source).iter().filter(|path| !source.in_tests(path.at)) {
            // `Trait as _` lends its methods: that is naming it too
            if let Some(keep) = rules.iter().find(|keep| path.starts_with(keep.words)) {
                found.push(Finding::new(&file.path, source.line(path.at), format!("`{}` {}", keep.words.join("::"), keep.what), keep.remedy));
            }
        }
    }
    found
}

/// Wire types stand in `api`; only what the query of a route may hold stands beside the route.
pub fn wire_types(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| [SERVER, "crates/greenroom/src/"].iter().any(|folder| file.path.starts_with(folder))) {
        let tokens = source.tokens();
        for (index, token) in tokens.iter().enumerate() {
            let derives = token.text == "derive" && tokens[index..].iter().take_while(|t| t.text != "]").any(|t| t.text == "JsonSchema");
            if !derives || source.in_tests(token.at) {
                continue;
            }
            let name = tokens[index..].windows(2).find(|pair| ["struct", "enum"].contains(&pair[0].text)).map_or("", |pair| pair[1].text);
            let query = name.ends_with("Query") || name == "Paging";
            if !(query && file.path.starts_with("crates/server/src/http/")) {
                found.push(Finding::new(
                    &file.path,
                    source.line(token.at),
                    format!("the wire type `{name}` outside `api`"),
                    "write it once, in crates/api: server, command line and other clients share it",
                ));
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
    fn one_writer_appends_and_speaks_with_nobody() {
        let repo = repo(&[
            (
                "crates/server/src/engine/writer.rs",
                "use greenroom_ledger::{Batch, SqliteLedger};\nuse tokio::sync::mpsc;\nuse greenroom_drivers::Driver;\nuse tokio::net::TcpStream;\n",
            ),
            ("crates/server/src/http/v1/people.rs", "use greenroom_ledger::{Hash,\n Ledger as _};\n"),
            (
                "crates/server/src/engine/rollouts.rs",
                "use greenroom_drivers::Driver;\nuse tokio::{sync::mpsc, task::JoinHandle};\n#[cfg(test)]\nmod tests { use tokio::sync::mpsc; }\n",
            ),
            ("crates/domain/src/link.rs", "use std::net::IpAddr;\nfn f() { reqwest::get(); }\n"),
        ]);
        assert_eq!(
            places(&kept(&repo)),
            [
                "crates/server/src/engine/writer.rs:3",
                "crates/server/src/engine/writer.rs:4",
                "crates/server/src/http/v1/people.rs:2",
                "crates/server/src/engine/rollouts.rs:2",
                "crates/domain/src/link.rs:2"
            ]
        );
    }

    #[test]
    fn wire_types_are_written_once() {
        let repo = repo(&[
            ("crates/server/src/http/v1/a.rs", "#[derive(Deserialize, JsonSchema)]\n#[serde(default)]\nstruct AQuery { a: u8 }\n#[derive(JsonSchema)]\npub struct Thing;\n"),
            ("crates/server/src/view/b.rs", "#[derive(Debug)]\nstruct Local;\n#[derive(JsonSchema)] enum BQuery {}\n"),
            ("crates/api/src/views.rs", "#[derive(JsonSchema)]\npub struct Thing;\n"),
        ]);
        assert_eq!(places(&wire_types(&repo)), ["crates/server/src/http/v1/a.rs:4", "crates/server/src/view/b.rs:3"]);
    }
}
