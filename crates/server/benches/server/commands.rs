//! Durable commands, alone, together and while others read; and the board.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::wire::load;
use crate::world::World;
use crate::{Outcome, Wire, percentile};

/// Each switches a feature in development: authorised, with an idempotency key of its own, subjects indexed.
async fn run(server: &Child, token: &str, clients: usize, time: Duration) -> (f64, Vec<Duration>) {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let (run, token) = (RUN.fetch_add(1, Ordering::Relaxed), token.to_owned());
    let request = move |client: usize, n: usize| {
        let body = format!(r#"{{"environment":"development","variant":"{}"}}"#, if n.is_multiple_of(2) { "on" } else { "off" });
        // each client has features of its own, so that every command changes something
        let feature = client * 31 + n / 2 % 31;
        format!(
            "PUT /api/v1/features/f{feature}/baseline HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\nidempotency-key: {}-{run}-{client}-{n}\r\ncontent-length: {}\r\n\r\n{body}",
            std::process::id(),
            body.len()
        )
        .into_bytes()
    };
    load(server.address, clients, time, request).await
}

pub async fn durable(server: &Child, world: &World, sync50: f64) -> Outcome {
    for (clients, seconds, rounds) in [(1, 3, 3), (64, 5, 3)] {
        for _ in 0..rounds {
            let before = server.cpu();
            let (rate, all) = run(server, &world.token, clients, Duration::from_secs(seconds)).await;
            let spent = (server.cpu() - before).as_secs_f64() * 1e6 / all.len() as f64;
            let p50 = percentile(&all, 0.5);
            let over = if clients == 1 { format!(" (fdatasync + {:.2} ms)", p50 - sync50) } else { String::new() };
            println!(
                "| durable commands, {clients} client{} | {rate:.0}/s, p50 {p50:.2} ms{over}, p99 {:.2} ms, max {:.1} ms, {spent:.0} µs of server CPU each |",
                if clients == 1 { "" } else { "s" },
                percentile(&all, 0.99),
                percentile(&all, 1.0)
            );
        }
    }
    Ok(())
}

/// What the writer does between two flushes, while four clients read the board without pause.
pub async fn under_readers(server: &Child, world: &World) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let address = server.address;
    let before = stalls(server).await?;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (stop, token) = (Arc::clone(&stop), world.token.clone());
            tokio::spawn(async move {
                let mut wire = Wire::open(address).await;
                let mut read = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let (status, _) = wire.send("GET", "/api/v1/board", &token, None, "").await;
                    assert_eq!(status, 200);
                    read += 1;
                }
                read
            })
        })
        .collect();
    let (rate, all) = run(server, &world.token, 16, Duration::from_secs(5)).await;
    stop.store(true, Ordering::Relaxed);
    let mut boards = 0;
    for reader in readers {
        boards += reader.await?;
    }
    let after = stalls(server).await?;
    let counts: Vec<(f64, u64)> = after.iter().zip(&before).map(|((le, a), (_, b))| (*le, a - b)).collect();
    let total = counts.last().map_or(0, |(_, n)| *n);
    let at = |p: f64| counts.iter().find(|(_, n)| *n as f64 >= total as f64 * p).map_or(f64::INFINITY, |(le, _)| *le * 1e3);
    println!(
        "| writer stall (a batch decided, applied and published, without its flush), 16 clients, four readers of the board ({boards} boards in 5 s) | p50 ≤ {:.3} ms, p99 ≤ {:.3} ms over {total} batches; {rate:.0} commands/s, p99 {:.1} ms |",
        at(0.5),
        at(0.99),
        percentile(&all, 0.99)
    );
    Ok(())
}

/// Cumulative buckets of the writer's histogram: upper bound in seconds, count.
async fn stalls(server: &Child) -> Outcome<Vec<(f64, u64)>> {
    let (_, text) = Wire::open(server.address).await.send("GET", "/metrics", "", None, "").await;
    let bucket = |line: &str| {
        let (le, count) = line.strip_prefix("greenroom_writer_stall_seconds_bucket{le=\"")?.split_once("\"} ")?;
        Some((le.parse().unwrap_or(f64::INFINITY), count.trim().parse().ok()?))
    };
    let found: Vec<_> = text.lines().filter_map(bucket).collect();
    if found.is_empty() { Err("no histogram of stalls".into()) } else { Ok(found) }
}

pub async fn board(server: &Child, world: &World) -> Outcome {
    let mut wire = Wire::open(server.address).await;
    let (mut all, mut size) = (Vec::new(), 0);
    let before = server.cpu();
    for _ in 0..100 {
        let at = Instant::now();
        let (status, body) = wire.send("GET", "/api/v1/board", &world.token, None, "").await;
        assert_eq!(status, 200);
        size = body.len();
        all.push(at.elapsed());
    }
    let spent = (server.cpu() - before).as_secs_f64() * 1e3 / 100.0;
    all.sort_unstable();
    println!(
        "| board of 1,000 services × 6 environments, {} kB, over HTTP | p50 {:.1} ms, p99 {:.1} ms, {spent:.1} ms of server CPU |",
        size / 1_000,
        percentile(&all, 0.5),
        percentile(&all, 0.99)
    );
    Ok(())
}
