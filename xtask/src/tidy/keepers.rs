//! Which files alone may name what: who appends, who speaks with the outside, who is told more than the state.

use super::about::is_module;
use super::path::paths;
use super::{Finding, Repo};

/// As [`is_module`] has them.
type Modules = &'static [&'static str];

struct Keep {
    within: Modules,
    /// Of these, the ones that may.
    but: Modules,
    /// Paths that start so.
    words: &'static [&'static [&'static str]],
    what: &'static str,
    remedy: &'static str,
}

const SERVER: &str = "crates/server/src";
const ENGINE: &str = "crates/server/src/engine/";
const WRITER: &str = "crates/server/src/engine/writer";
/// The writer and what else its thread runs; the domain is kept by its own rules.
const ON_ITS_THREAD: Modules = &[
    WRITER,
    "crates/server/src/engine/replay",
    "crates/server/src/engine/usage",
    "crates/server/src/directory",
    "crates/server/src/view",
    "crates/access/src",
    "crates/ledger/src",
];

const KEEPS: &[Keep] = &[
    Keep {
        within: &[SERVER],
        // `serve` opens it
        but: &[WRITER, "crates/server/src/serve"],
        words: &[
            &["greenroom_ledger", "SqliteLedger"],
            &["greenroom_ledger", "Ledger"],
            &["greenroom_ledger", "Batch"],
            &["greenroom_ledger", "NewEvent"],
            &["greenroom_ledger", "SideWrite"],
        ],
        what: "appends beside the writer",
        remedy: "send the writer a command: what was decided is in the ledger, by its hand",
    },
    Keep {
        within: ON_ITS_THREAD,
        but: &[],
        words: &[
            &["greenroom_drivers"],
            &["greenroom_api", "client"],
            &["greenroom_api", "Client"],
            &["reqwest"],
            &["greenroom_https"],
            &["hyper"],
            &["tokio", "net"],
            &["tokio", "process"],
            &["std", "net", "TcpListener"],
            &["std", "net", "TcpStream"],
            &["std", "net", "UdpSocket"],
            &["std", "net", "ToSocketAddrs"],
            &["std", "os", "unix", "net"],
            &["std", "process", "Command"],
        ],
        what: "speaks with the outside on the writer's thread",
        remedy: "a reactor does it once the event is durable",
    },
    Keep {
        within: ON_ITS_THREAD,
        // counters in memory, which go into the side table
        but: &["crates/server/src/engine/usage"],
        words: &[&["greenroom_delivery"]],
        what: "reaches into the data plane on the writer's thread",
        remedy: "the publisher does it once the event is durable",
    },
    Keep {
        within: &[ENGINE],
        // two are told what changed, and `replay` reads ahead of itself
        but: &[WRITER, "crates/server/src/engine/publish", "crates/server/src/engine/keep", "crates/server/src/engine/replay"],
        words: &[&["tokio", "sync", "mpsc"], &["tokio", "sync", "broadcast"], &["tokio", "sync", "oneshot"], &["std", "sync", "mpsc"], &["futures_util", "channel"]],
        what: "gives a reactor another input than the state",
        remedy: "look at the state: a reactor may be woken twice, or killed, and starts with what it finds",
    },
    Keep {
        within: &[SERVER, "crates/delivery/src", "crates/relay/src"],
        but: &[],
        words: &[&["tokio", "process"], &["std", "process", "Command"], &["greenroom_drivers", "proxy"]],
        what: "runs programs, or carries traffic, beside the drivers",
        remedy: "a driver starts what runs on a target, and `greenroom proxy` holds its address",
    },
    Keep {
        within: &["crates/domain/src"],
        but: &["crates/domain/src/map"],
        words: &[&["imbl", "HashMap"], &["imbl", "HashSet"], &["imbl", "GenericHashMap"], &["imbl", "GenericHashSet"], &["imbl", "hashmap"], &["imbl", "hashset"]],
        what: "hashes otherwise than the rest of the state",
        remedy: "use `crate::map::HashMap`",
    },
    Keep {
        within: &["crates/domain/src"],
        but: &[],
        words: &[&["std", "cell"], &["std", "sync", "Mutex"], &["std", "sync", "RwLock"], &["std", "sync", "OnceLock"], &["std", "sync", "atomic"]],
        what: "changes under those who read it",
        remedy: "the state is a value: make another",
    },
];

fn is_in(path: &str, modules: Modules) -> bool {
    modules.iter().any(|module| is_module(path, module))
}

/// Modules that these rules are about.
pub fn about() -> Vec<String> {
    KEEPS.iter().flat_map(|keep| keep.within.iter().chain(keep.but)).map(|module| (*module).to_owned()).collect()
}

pub fn kept(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| !file.path.ends_with("/tests.rs")) {
        let rules: Vec<&Keep> = KEEPS.iter().filter(|keep| is_in(&file.path, keep.within) && !is_in(&file.path, keep.but)).collect();
        if rules.is_empty() {
            continue;
        }
        for path in paths(source).iter().filter(|path| !source.in_tests(path.at)) {
            for keep in &rules {
                // `Trait as _` lends its methods: that is naming it too
                if let Some(words) = keep.words.iter().find(|words| path.leads_to(words)) {
                    found.push(Finding::new(&file.path, source.line(path.at), format!("`{}` {}", words.join("::"), keep.what), keep.remedy));
                }
            }
        }
    }
    found
}

/// What everyone reads becomes another only by the writer's hand, and nobody waits for it behind a lock.
pub fn one_state(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| is_in(&file.path, &[SERVER]) && !is_in(&file.path, &[WRITER])) {
        for window in source.tokens().windows(5).filter(|window| !source.in_tests(window[0].at)) {
            let words: Vec<&str> = window.iter().map(|token| token.text).collect();
            let (what, remedy) = match words[..] {
                [".", "state", ".", "store" | "swap" | "rcu" | "compare_and_swap", "("] => {
                    ("the state is replaced beside the writer", "send the writer a command: the state is a fold of the ledger")
                }
                ["Mutex" | "RwLock", "<", "State", ..] | ["Mutex" | "RwLock", "<", "Arc", "<", "State"] => {
                    ("the state stands behind a lock", "take a snapshot: `engine.state.load()`")
                }
                _ => continue,
            };
            found.push(Finding::new(&file.path, source.line(window[0].at), what, remedy));
        }
    }
    found
}

/// Every task of the engine stands in the architecture, with what it takes.
pub fn reactors(repo: &Repo) -> Vec<Finding> {
    let Some(architecture) = repo.file("ARCHITECTURE.md") else { return Vec::new() };
    let mut found = Vec::new();
    for (file, source) in repo.sources().filter(|(file, _)| is_in(&file.path, &[ENGINE])) {
        let tokens = source.tokens();
        let runs = tokens.windows(3).find(|window| window.iter().map(|token| token.text).eq(["async", "fn", "run"]) && !source.in_tests(window[0].at));
        let name = file.path[ENGINE.len()..].split(['/', '.']).next().unwrap_or_default();
        if let Some([at, ..]) = runs
            && !architecture.text.contains(&format!("`{name}`"))
        {
            let remedy = "say in ARCHITECTURE.md what it compares or is told, and how it goes on after a kill";
            found.push(Finding::new(&file.path, source.line(at.at), format!("the reactor `{name}` is on no list"), remedy));
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
            ("crates/server/src/engine/writer/clock.rs", "use greenroom_ledger::*;\nuse reqwest::Client;\n"),
            ("crates/server/src/http/v1/people.rs", "use greenroom_ledger::{Hash,\n Ledger as _};\n"),
            ("crates/server/src/http/v1/usage.rs", "use greenroom_ledger::*;\n"),
            ("crates/server/src/engine/usage.rs", "use greenroom_delivery::Usage;\nuse tokio::net;\n"),
            ("crates/server/src/view/board.rs", "use greenroom_delivery::Feeds;\n#[cfg(test)]\nmod tests { use std::process::Command; }\n"),
        ]);
        assert_eq!(
            places(&kept(&repo)),
            [
                "crates/server/src/engine/writer.rs:3",
                "crates/server/src/engine/writer.rs:4",
                "crates/server/src/engine/writer/clock.rs:2",
                "crates/server/src/http/v1/people.rs:2",
                "crates/server/src/http/v1/usage.rs:1",
                "crates/server/src/engine/usage.rs:2",
                "crates/server/src/view/board.rs:1",
            ]
        );
    }

    #[test]
    fn reactors_are_told_nothing() {
        let told = "use tokio::{sync::mpsc, task::JoinHandle};\n#[cfg(test)]\nmod tests { use tokio::sync::mpsc; }\n";
        let repo = repo(&[
            ("crates/server/src/engine/rollouts.rs", told),
            ("crates/server/src/engine/fleet/revival.rs", "use std::sync::mpsc::channel;\n"),
            ("crates/server/src/engine/keep.rs", told),
            ("crates/server/src/engine.rs", told),
            ("crates/server/src/http.rs", told),
        ]);
        assert_eq!(places(&kept(&repo)), ["crates/server/src/engine/rollouts.rs:1", "crates/server/src/engine/fleet/revival.rs:1"]);
    }

    #[test]
    fn drivers_alone_run_programs() {
        let repo = repo(&[
            ("crates/server/src/serve.rs", "use greenroom_drivers::{proxy, process::ProcessDriver};\nfn f() { std::process::exit(1) }\n"),
            ("crates/relay/src/lib.rs", "use std::process::Command;\n"),
            ("crates/drivers/src/process/job.rs", "use tokio::process::Command;\n"),
        ]);
        assert_eq!(places(&kept(&repo)), ["crates/server/src/serve.rs:1", "crates/relay/src/lib.rs:1"]);
    }

    #[test]
    fn the_state_hashes_the_same_everywhere() {
        let repo = repo(&[("crates/domain/src/state.rs", "use imbl::{OrdMap, HashMap};\n"), ("crates/domain/src/map.rs", "type M = imbl::GenericHashMap<K, V>;\n")]);
        assert_eq!(places(&kept(&repo)), ["crates/domain/src/state.rs:1"]);
    }

    #[test]
    fn the_writer_alone_replaces_the_state() {
        let replaces = "fn f() {\n engine.state.store(x);\n self.state.load();\n other.store(x);\n}\n#[cfg(test)]\nmod tests { fn g() { engine.state.store(x) } }\n";
        let repo = repo(&[("crates/server/src/engine/writer.rs", replaces), ("crates/server/src/http/v1.rs", replaces)]);
        assert_eq!(places(&one_state(&repo)), ["crates/server/src/http/v1.rs:2"]);
    }

    #[test]
    fn the_state_is_a_value_that_nobody_waits_for() {
        let locks = repo(&[("crates/server/src/gate.rs", "struct A(Mutex<Waiting>);\nstruct B(RwLock<State>);\nstruct C(Mutex<Arc<State>>);\n")]);
        assert_eq!(places(&one_state(&locks)), ["crates/server/src/gate.rs:2", "crates/server/src/gate.rs:3"]);
        let cells = repo(&[("crates/domain/src/state.rs", "use std::sync::{Arc,\n Mutex};\nstruct A(std::cell::Cell<u8>);\n")]);
        assert_eq!(places(&kept(&cells)), ["crates/domain/src/state.rs:2", "crates/domain/src/state.rs:3"]);
    }

    #[test]
    fn reactors_are_on_the_list() {
        let runs = "struct A;\npub async fn run() {}\n";
        let repo = repo(&[
            ("ARCHITECTURE.md", "`fleet` looks\n"),
            ("crates/server/src/engine/fleet/mod.rs", runs),
            ("crates/server/src/engine/mail.rs", runs),
            ("crates/server/src/engine/writer.rs", "fn run() {}\n#[cfg(test)]\nmod tests { async fn run() {} }\n"),
        ]);
        assert_eq!(places(&reactors(&repo)), ["crates/server/src/engine/mail.rs:2"]);
    }
}
