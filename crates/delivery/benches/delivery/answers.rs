//! One feature, all features and nothing new: ours, the floor and the peer in turns in the same minute.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::wire::load;
use crate::{Child, Outcome, Wire, edge, ours, percentile, start};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;
const ALL: &str = "/ofrep/v1/evaluate/flags";
const PAGE: &str = "/api/frontend";

/// What is asked, with more headers.
type Ask = fn(&str) -> Vec<u8>;

struct Row {
    what: &'static str,
    features: usize,
    /// Asked again with the tag of the answer before, so that nothing is new.
    again: bool,
    ours: Ask,
    /// At most so many times its cost.
    floor: Option<(Ask, f64)>,
    /// At least so many times below its cost.
    edge: (Ask, f64),
}

const ROWS: &[Row] = &[
    Row { what: "OFREP, all of 350", features: 350, again: false, ours: all, floor: Some((all, 2.0)), edge: (page, 15.0) },
    Row { what: "Unleash frontend, all of 350", features: 350, again: false, ours: page, floor: None, edge: (page, 15.0) },
    Row { what: "OFREP, one of 1,000", features: 1_000, again: false, ours: one, floor: Some((one, 1.3)), edge: (page_one, 5.0) },
    Row { what: "OFREP, all of 1,000", features: 1_000, again: false, ours: all, floor: Some((all, 2.0)), edge: (page, 15.0) },
    Row { what: "Unleash frontend, all of 1,000", features: 1_000, again: false, ours: page, floor: None, edge: (page, 15.0) },
    Row { what: "OFREP, nothing new (304)", features: 1_000, again: true, ours: all, floor: Some((all, 1.5)), edge: (page, 100.0) },
    Row { what: "Unleash frontend, nothing new (304)", features: 1_000, again: true, ours: page, floor: None, edge: (page, 100.0) },
    Row { what: "Unleash client, 1,000 features", features: 1_000, again: false, ours: handed, floor: Some((handed, 1.5)), edge: (handed, 20.0) },
    Row { what: "Unleash client, nothing new (304)", features: 1_000, again: true, ours: handed, floor: Some((handed, 1.5)), edge: (handed, 20.0) },
];

fn one(header: &str) -> Vec<u8> {
    ofrep(&format!("{ALL}/f75"), header)
}

fn all(header: &str) -> Vec<u8> {
    ofrep(ALL, header)
}

fn page_one(header: &str) -> Vec<u8> {
    unleash(&format!("{PAGE}/features/f75"), header)
}

fn page(header: &str) -> Vec<u8> {
    unleash(PAGE, header)
}

pub fn handed(header: &str) -> Vec<u8> {
    format!("GET /api/client/features HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nunleash-client-spec: 5.2.0\r\n{header}\r\n", edge::CLIENT).into_bytes()
}

fn ofrep(path: &str, header: &str) -> Vec<u8> {
    post(path, &format!("Bearer {}", ours::TOKEN), header, r#"{"context":{"targetingKey":"user-1","plan":"gold","country":"SE","app":{"version":"1.2.3"}}}"#)
}

/// The same caller as its clients say it.
fn unleash(path: &str, header: &str) -> Vec<u8> {
    post(path, edge::PAGE, header, r#"{"userId":"user-1","properties":{"plan":"gold","country":"SE","app.version":"1.2.3"}}"#)
}

fn post(path: &str, token: &str, header: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub async fn report() -> Outcome {
    println!("| What | Server CPU a request | Requests/s | p50 / p99 | Bytes |\n|---|---|---|---|---|");
    for features in [350, 1_000] {
        let (ours, floor) = (start("ours", features).await?, start("floor", features).await?);
        let peer = edge::offline(features).await.inspect_err(|why| println!("| Unleash Edge | not measured: {why} | | | |")).ok();
        for row in ROWS.iter().filter(|row| row.features == features) {
            let mut others = Vec::new();
            others.extend(row.floor.map(|(ask, reach)| ("floor", &floor, ask, reach)));
            others.extend(peer.as_ref().map(|edge| ("Unleash Edge", edge, row.edge.0, 1.0 / row.edge.1)));
            compare(row, &ours, &others).await?;
        }
        for server in [ours, floor].into_iter().chain(peer) {
            server.end();
        }
    }
    Ok(())
}

/// Each of the others with its name and how many times its cost ours may be.
async fn compare(row: &Row, ours: &Child, others: &[(&str, &Child, Ask, f64)]) -> Outcome {
    let mut contenders = Vec::new();
    for &(name, server, ask, reach) in [("", ours, row.ours, 1.0)].iter().chain(others) {
        contenders.push((name, server, if row.again { ask(&tag(server, &ask("")).await?) } else { ask("") }, reach, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, server, request, _, rounds) in &mut contenders {
            rounds.push(round(server, request).await);
        }
    }
    let cost = |rounds: &[Round]| rounds.iter().map(|round| round[0]).collect::<Vec<_>>();
    let mine = contenders.first().map(|(.., rounds)| cost(rounds)).unwrap_or_default();
    for (name, _, _, reach, rounds) in &mut contenders {
        // round by round: the machine is faster in one minute than in the next
        let mut ratios: Vec<f64> = mine.iter().zip(cost(rounds)).map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        line(&[row.what, name], rounds);
        match *name {
            "" => {}
            _ if *reach >= 1.0 => println!("| {}: times the {name}, reach ≤ {reach:.1} | **{ratio:.2}** | | | |", row.what),
            _ => println!("| {}: times below {name}, reach ≥ {:.0} | **{:.1}** | | | |", row.what, 1.0 / *reach, 1.0 / ratio),
        }
    }
    Ok(())
}

/// The header that names the answer a caller has.
async fn tag(server: &Child, request: &[u8]) -> Outcome<String> {
    let mut stream = Wire::open(server.address).await.into_stream();
    stream.write_all(request).await?;
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await?;
    let head = String::from_utf8_lossy(&bytes[..read]);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).ok_or("no tag")?;
    Ok(format!("if-none-match: {tag}\r\n"))
}

/// CPU of the server per request in µs, requests per second, p50 and p99 in ms, and how long the body of an answer is.
type Round = [f64; 5];

async fn round(server: &Child, request: &[u8]) -> Round {
    let length = Wire::open(server.address).await.raw(request).await.map_or(0, |(_, _, length)| length);
    let (before, request) = (server.cpu(), request.to_vec());
    let (rate, all) = load(server.address, CONNECTIONS, Duration::from_secs(1), move |_, _| request.clone()).await;
    let spent = (server.cpu() - before).as_secs_f64() * 1e6 / all.len() as f64;
    [spent, rate, percentile(&all, 0.5), percentile(&all, 0.99), length as f64]
}

/// Prints medians, with the range of what counts.
fn line(what: &[&str], rounds: &mut [Round]) {
    let mut median = |i: usize| {
        rounds.sort_by(|a, b| a[i].total_cmp(&b[i]));
        rounds[rounds.len() / 2][i]
    };
    let [rate, p50, p99, length, cpu] = [1, 2, 3, 4, 0].map(&mut median);
    let what = what.join(": ");
    println!("| {} | {cpu:.1} µs [{:.1}–{:.1}] | {rate:.0} | {p50:.2} / {p99:.2} ms | {length} |", what.trim_end_matches([':', ' ']), rounds[0][0], rounds[rounds.len() - 1][0]);
}
