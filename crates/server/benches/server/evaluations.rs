//! One evaluation over OFREP: ours, its floor and, where it is installed, a peer, in turns in the same minute.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::child::Child;
use crate::wire::load;
use crate::world::World;
use crate::{Outcome, Wire, percentile};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;

struct Contender {
    name: &'static str,
    server: Child,
    request: Vec<u8>,
    /// CPU per request in µs, requests per second, p50 and p99 in ms, by round.
    rounds: Vec<[f64; 4]>,
}

fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub async fn single(ours: &Child, world: &World) -> Outcome {
    let path = "/ofrep/v1/evaluate/flags/f77";
    let body = r#"{"context":{"targetingKey":"user-1","plan":"gold"}}"#;
    let floor = Child::floor()?;
    wait(&floor, path).await?;
    let mut all = vec![Contender { name: "floor: axum, parse, look up, evaluate, serialise", server: floor, request: post(path, "Bearer x", body), rounds: Vec::new() }];
    match edge(&world.data).await {
        Ok(server) => all.push(Contender {
            name: "unleash-edge, `/api/frontend/features/f77`",
            server,
            request: get("/api/frontend/features/f77?userId=user-1", EDGE_TOKEN),
            rounds: Vec::new(),
        }),
        Err(why) => println!("| unleash-edge | not measured: {why} | | |"),
    }
    let request = post(path, &format!("Bearer {}", world.sdk), body);
    let mut our_rounds = Vec::new();
    for _ in 0..ROUNDS {
        our_rounds.push(round(ours, &request).await);
        for one in &mut all {
            let figures = round(&one.server, &one.request).await;
            one.rounds.push(figures);
        }
    }
    let mine = line("Greenroom: token, environment, evaluate, metadata", &our_rounds);
    for one in all {
        let other = line(one.name, &one.rounds);
        println!("| ratio to {} | {:.2} | | |", one.name.split([':', ',']).next().unwrap_or(""), mine / other);
        one.server.end();
    }
    Ok(())
}

fn line(name: &str, rounds: &[[f64; 4]]) -> f64 {
    let sorted = |i: usize| {
        let mut all: Vec<f64> = rounds.iter().map(|r| r[i]).collect();
        all.sort_by(f64::total_cmp);
        (all[0], all[all.len() / 2], all[all.len() - 1])
    };
    let ((low, cpu, high), (_, rate, _), (_, p50, _), (_, p99, _)) = (sorted(0), sorted(1), sorted(2), sorted(3));
    println!("| {name} | {cpu:.1} µs [{low:.1}–{high:.1}] | {rate:.0} | {p50:.2} / {p99:.2} ms |");
    cpu
}

async fn round(server: &Child, request: &[u8]) -> [f64; 4] {
    let (before, request) = (server.cpu(), request.to_vec());
    let (rate, all) = load(server.address, CONNECTIONS, Duration::from_secs(2), move |_, _| request.clone()).await;
    let spent = (server.cpu() - before).as_secs_f64() * 1e6 / all.len() as f64;
    [spent, rate, percentile(&all, 0.5), percentile(&all, 0.99)]
}

async fn wait(server: &Child, path: &str) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok(mut wire) = Wire::try_open(server.address).await
            && wire.try_send("POST", path, "x", None, "{}").await.is_ok()
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("it does not listen".into())
}

const EDGE_TOKEN: &str = "*:development.bench";

fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n").into_bytes()
}

/// `cargo install unleash-edge --no-default-features`, on the path or named by `UNLEASH_EDGE`, serving as many features.
async fn edge(data: &std::path::Path) -> Outcome<Child> {
    let program = std::env::var("UNLEASH_EDGE").unwrap_or_else(|_| "unleash-edge".to_owned());
    let features: Vec<_> = (0..2_000)
        .map(|i| json!({"name": format!("f{i}"), "type": "release", "enabled": true, "project": "default", "strategies": [{"name": "default", "parameters": {}}]}))
        .collect();
    let file = data.with_file_name("edge.json");
    std::fs::File::create(&file)?.write_all(json!({"version": 2, "features": features}).to_string().as_bytes())?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let process = Command::new(&program)
        .args([
            "--interface",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "-w",
            "2",
            "offline",
            "--client-tokens",
            EDGE_TOKEN,
            "--frontend-tokens",
            EDGE_TOKEN,
            "--bootstrap-file",
        ])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{program}`: {error}; cargo install unleash-edge --no-default-features"))?;
    let server = Child::at(process, address);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok(mut wire) = Wire::try_open(address).await
            && matches!(wire.raw(&get("/api/frontend/features/f77?userId=user-1", EDGE_TOKEN)).await, Ok((200, ..)))
        {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.end();
    Err("it does not answer".into())
}
