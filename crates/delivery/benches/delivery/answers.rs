//! One feature, all features and nothing new: ours and the floor in turns in the same minute.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::wire::load;
use crate::{Child, Outcome, Wire, percentile, start};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;
const ONE: &str = "/ofrep/v1/evaluate/flags/f75";
const ALL: &str = "/ofrep/v1/evaluate/flags";
const FEATURES: &str = "/api/client/features";
const BODY: &str = r#"{"context":{"targetingKey":"user-1","plan":"gold","country":"SE","app":{"version":"1.2.3"}}}"#;

/// CPU of the server per request in µs, requests per second, p50 and p99 in ms.
type Round = [f64; 4];

pub async fn report() -> Outcome {
    for features in [350, 1_000] {
        let (ours, floor) = (start("ours", features).await?, start("floor", features).await?);
        if features == 1_000 {
            row("one feature of 1,000", 1.3, (&ours, &post(ONE, "")), (&floor, &post(ONE, ""))).await;
        }
        row(&format!("all of {features}"), 2.0, (&ours, &post(ALL, "")), (&floor, &post(ALL, ""))).await;
        if features == 1_000 {
            let (mine, least) = (post(ALL, &tag(&ours).await?), post(ALL, &tag(&floor).await?));
            row("nothing new (304)", 1.5, (&ours, &mine), (&floor, &least)).await;
            let get = |header: &str| format!("GET {FEATURES} HTTP/1.1\r\nhost: x\r\nauthorization: *:unleash.unleash\r\nunleash-client-spec: 5.2.0\r\n{header}\r\n").into_bytes();
            row("Unleash: 1,000 features", 1.5, (&ours, &get("")), (&floor, &get(""))).await;
            let (mine, least) = (get(&tagged(&ours, &get("")).await?), get(&tagged(&floor, &get("")).await?));
            row("Unleash: nothing new (304)", 1.5, (&ours, &mine), (&floor, &least)).await;
        }
        ours.end();
        floor.end();
    }
    Ok(())
}

fn post(path: &str, header: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer bench\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{BODY}", BODY.len()).into_bytes()
}

/// The header that names the answer a caller has.
async fn tag(server: &Child) -> Outcome<String> {
    tagged(server, &post(ALL, "")).await
}

async fn tagged(server: &Child, request: &[u8]) -> Outcome<String> {
    let mut stream = Wire::open(server.address).await.into_stream();
    stream.write_all(request).await?;
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await?;
    let head = String::from_utf8_lossy(&bytes[..read]);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).ok_or("no tag")?;
    Ok(format!("if-none-match: {tag}\r\n"))
}

async fn row(what: &str, reach: f64, ours: (&Child, &[u8]), floor: (&Child, &[u8])) {
    let (mut mine, mut least) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(round(ours).await);
        least.push(round(floor).await);
    }
    let (cpu, at_least) = (line(what, &mut mine), line(&format!("{what}: floor"), &mut least));
    println!("| {what}: ratio, reach ≤ {reach:.1} | **{:.2}** | | |", cpu / at_least);
}

async fn round((server, request): (&Child, &[u8])) -> Round {
    let (before, request) = (server.cpu(), request.to_vec());
    let (rate, all) = load(server.address, CONNECTIONS, Duration::from_secs(1), move |_, _| request.clone()).await;
    let spent = (server.cpu() - before).as_secs_f64() * 1e6 / all.len() as f64;
    [spent, rate, percentile(&all, 0.5), percentile(&all, 0.99)]
}

/// Prints medians, with the range of what counts, which is given.
fn line(what: &str, rounds: &mut [Round]) -> f64 {
    let mut median = |i: usize| {
        rounds.sort_by(|a, b| a[i].total_cmp(&b[i]));
        rounds[rounds.len() / 2][i]
    };
    let [rate, p50, p99, cpu] = [1, 2, 3, 0].map(&mut median);
    println!("| {what} | {cpu:.1} µs [{:.1}–{:.1}] | {rate:.0} | {p50:.2} / {p99:.2} ms |", rounds[0][0], rounds[rounds.len() - 1][0]);
    cpu
}
