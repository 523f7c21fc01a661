//! Every endpoint, asked for real by every role and kind of token: who is let in stands in `authorization.txt`.

mod cases;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use greenroom_domain::role::Role;
use reqwest::Method;
use serde_json::{Value, json};

use self::cases::{BESIDE, Case, Things};
use crate::world::World;

const LEGEND: &str = "\
# Who is let in, endpoint by endpoint: `x` yes, `.` no (401 or 403). Each cell was asked for with a real request.
# `nobody` sends no token; `none` is someone signed in without a role; after the roles come tokens: `pat` a deployer's own, then those
# of programs, made for the environment `test`. `UPDATE=1 cargo nextest run -E 'test(every_endpoint_is_asked)'` writes this file.
";

/// Someone who asks.
struct Caller {
    name: String,
    secret: String,
    /// Ids of the person and of the token, for what one may do with one's own.
    person: String,
    token: String,
}

async fn callers(world: &World) -> Vec<Caller> {
    let nobody = |name: &str| Caller { name: name.to_owned(), secret: String::new(), person: "vera".to_owned(), token: String::new() };
    let mut callers = vec![nobody("nobody")];
    let own = async |secret: String, name: &str| {
        let who = world.get(&secret, "/whoami").await.body;
        let id = |of: &str| who[of]["id"].as_str().unwrap_or_else(|| panic!("{who}")).to_owned();
        Caller { name: name.to_owned(), secret, person: id("person"), token: id("token") }
    };
    callers.push(own(world.person("nick", &[]).await, "none").await);
    for role in Role::ALL {
        let name = role.as_str();
        callers.push(own(world.person(&format!("p-{name}"), &[name]).await, name).await);
    }
    let deployer = &callers.iter().find(|c| c.name == "deployer").unwrap().secret;
    let pat = world.post(deployer, "/tokens", &json!({"kind": "pat"})).await;
    callers.push(own(pat.body["secret"].as_str().unwrap().to_owned(), "pat").await);
    for kind in ["ci", "sdk", "web", "agent", "relay"] {
        let mut request = json!({"kind": kind});
        if ["sdk", "web", "relay"].contains(&kind) {
            request["environment"] = "test".into();
        }
        let made = world.post(&world.admin, "/tokens", &request).await.body;
        let (secret, token) = (made["secret"].as_str().unwrap().to_owned(), made["token"]["id"].as_str().unwrap().to_owned());
        callers.push(Caller { secret, token, ..nobody(kind) });
    }
    // whoever asks for their own token asks for one that is there
    callers[0].token = callers[1].token.clone();
    callers
}

/// Whether the caller is let in. What the domain then says of the request is no matter of authorisation, so long as it was asked.
async fn let_in(world: &World, caller: &Caller, case: &Case) -> bool {
    let path = case.path.replace("{own person}", &caller.person).replace("{own token}", &caller.token);
    let mut request = world.http.request(case.method.clone(), format!("{}{path}", world.url));
    if !caller.secret.is_empty() {
        request = request.bearer_auth(&caller.secret);
    }
    if case.method != Method::GET {
        request = request.json(&case.body);
    }
    let answer = request.send().await.unwrap();
    match answer.status().as_u16() {
        // the body of a stream has no end
        200..=299 | 304 => true,
        401 | 403 => false,
        409 => {
            let body: Value = answer.json().await.unwrap();
            assert!(body["code"] != "invalid", "{} by {}: {body}", case.name(), caller.name);
            true
        }
        status => panic!("{} by {}: {status} {}", case.name(), caller.name, answer.text().await.unwrap_or_default()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_is_asked_by_everyone() {
    let world = World::new().await;
    let things = Things::make(&world).await;
    let callers = callers(&world).await;
    let cases = cases::all(&things);
    every_route_has_a_case(&cases);
    let wide = cases.iter().map(|c| c.name().len()).max().unwrap();
    let mut table = format!("{LEGEND}{:wide$}", "");
    callers.iter().for_each(|caller| table.push_str(&format!(" {}", caller.name)));
    table.push('\n');
    for case in &cases {
        let _ = write!(table, "{:wide$}", case.name());
        let mut row = Vec::new();
        for caller in &callers {
            let may = let_in(&world, caller, case).await;
            let _ = write!(table, " {:1$}", if may { "x" } else { "." }, caller.name.len());
            row.push((caller.name.as_str(), may));
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
        let of = |name: &str| row.iter().find(|(caller, _)| *caller == name).unwrap().1;
        assert_eq!(of("pat"), of("deployer"), "a personal token allows what its person may, and no more: {}", case.name());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authorization.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let changed: Vec<&str> = table.lines().filter(|line| !kept.lines().any(|k| k == *line)).collect();
    assert_eq!(kept, table, "endpoints, or who is let in, changed: look, then run with UPDATE=1. These lines are new:\n{}", changed.join("\n"));
}

/// Every route of the table, and every one that is made beside it, is asked for.
fn every_route_has_a_case(cases: &[Case]) {
    let asked: BTreeSet<(String, String)> = cases.iter().map(|c| (c.method.to_string(), c.route.to_owned())).collect();
    for route in greenroom_server::http::table() {
        let one = (route.method.to_owned(), format!("/api/v1{}", route.path));
        assert!(asked.contains(&one), "{one:?} has no case in coverage/cases.rs");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, routes) in BESIDE {
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        let made: Vec<&str> = source.split(".route(").skip(1).filter_map(|rest| rest.split_once(',')).map(|(path, _)| path.trim().trim_matches('"')).collect();
        let known: Vec<&str> = routes.iter().map(|(made, _)| *made).collect();
        assert_eq!(made, known, "{file} makes other routes than coverage/cases.rs knows");
        for path in routes.iter().flat_map(|(_, paths)| *paths) {
            assert!(asked.iter().any(|(_, route)| route == path), "{path} has no case in coverage/cases.rs");
        }
    }
}

/// Whatever it was for, a token that has ended or was revoked opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_opens_nothing() {
    let world = World::new().await;
    let things = Things::make(&world).await;
    let rosa = world.person("rosa", &["deployer", "engineer", "release-manager", "auditor"]).await;
    let token = world.get(&rosa, "/whoami").await.body["token"]["id"].as_str().unwrap().to_owned();
    let revoked = world.send(world.request(Method::DELETE, &rosa, &format!("/tokens/{token}")).json(&json!({}))).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let short = world.post(&world.admin, "/tokens", &json!({"kind": "sdk", "environment": "test", "valid_for": "1s"})).await.body;
    let ended = short["secret"].as_str().unwrap().to_owned();
    while world.evaluate(&ended, "u").await.status != 401 {
        tokio::task::yield_now().await;
    }
    let nobody = Caller { name: "nobody".to_owned(), secret: String::new(), person: "vera".to_owned(), token };
    for case in cases::all(&things) {
        let open = let_in(&world, &nobody, &case).await;
        for secret in [&rosa, &ended] {
            let caller = Caller { name: "a token that has ended".to_owned(), secret: secret.clone(), person: nobody.person.clone(), token: nobody.token.clone() };
            assert!(open || !let_in(&world, &caller, &case).await, "{}", case.name());
        }
    }
}
