//! One evaluation over OFREP through the whole server, beside its floor, in turns in the same minute. Peers are compared
//! with the data plane alone.

use std::time::{Duration, Instant};

use crate::child::Child;
use crate::wire::load;
use crate::world::World;
use crate::{Outcome, Wire, percentile};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;

fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub async fn single(ours: &Child, world: &World) -> Outcome {
    let path = "/ofrep/v1/evaluate/flags/f77";
    let body = r#"{"context":{"targetingKey":"user-1","plan":"gold"}}"#;
    let floor = Child::floor()?;
    wait(&floor, path).await?;
    let (mine, least) = (post(path, &format!("Bearer {}", world.sdk), body), post(path, "Bearer x", body));
    let (mut our_rounds, mut its_rounds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_rounds.push(round(ours, &mine).await);
        its_rounds.push(round(&floor, &least).await);
    }
    let mine = line("Greenroom: token, environment, evaluate, metadata", &our_rounds);
    let least = line("floor: axum, parse, look up, evaluate, serialise", &its_rounds);
    println!("| ratio to floor | {:.2} | | |", mine / least);
    floor.end();
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
