//! How soon listeners hear of a change: from the moment its command is answered, which is after it is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::child::Child;
use crate::world::World;
use crate::{Outcome, Wire, percentile};

const ROUNDS: usize = 20;

pub async fn heard(server: &Child, world: &World, clients: usize) -> Outcome {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if files.is_some_and(|files| files < clients as u64 + 200) {
        println!("| change committed → notice, {clients} listeners | not measured: this process may open {} files only |", files.unwrap_or(0));
        return Ok(());
    }
    let idle = server.rss();
    let (send, mut hear) = mpsc::unbounded_channel::<Instant>();
    let open = Arc::new(AtomicU64::new(0));
    for client in 0..clients {
        let mut wire = Wire::open(server.address).await;
        let (status, body) = wire.send("POST", "/ofrep/v1/evaluate/flags", &world.sdk, None, &format!(r#"{{"context":{{"targetingKey":"c{client}"}}}}"#)).await;
        assert_eq!(status, 200);
        let found: serde_json::Value = serde_json::from_str(&body)?;
        let path = found["eventStreams"][0]["endpoint"]["requestUri"].as_str().ok_or("no stream")?.to_owned();
        let (send, open) = (send.clone(), Arc::clone(&open));
        drop(wire);
        let mut stream = Wire::open(server.address).await.into_stream();
        tokio::spawn(async move {
            if stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").as_bytes()).await.is_err() {
                return;
            }
            let mut bytes = vec![0; 4096];
            let mut told = false;
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                if !std::mem::replace(&mut told, true) {
                    open.fetch_add(1, Ordering::Relaxed);
                }
                if bytes[..read].windows(5).any(|w| w == b"data:") && send.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
    }
    while (open.load(Ordering::Relaxed) as usize) < clients {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while hear.try_recv().is_ok() {}
    let per_client = server.rss().saturating_sub(idle) / clients as u64;
    let mut wire = Wire::open(server.address).await;
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let body = format!(r#"{{"environment":"development","variant":"{}"}}"#, if round % 2 == 0 { "on" } else { "off" });
        let (status, answer) = wire.send("PUT", "/api/v1/features/f1999/baseline", &world.token, None, &body).await;
        let committed = Instant::now();
        assert_eq!(status, 200, "{answer}");
        for _ in 0..clients {
            let heard = tokio::time::timeout(Duration::from_secs(10), hear.recv()).await?.ok_or("a listener is gone")?;
            all.push(heard.saturating_duration_since(committed));
        }
    }
    all.sort_unstable();
    println!(
        "| change committed → notice, {clients} listeners, {ROUNDS} changes | p50 {:.1} ms, p99 {:.1} ms, last {:.1} ms; {} KiB resident a listener |",
        percentile(&all, 0.5),
        percentile(&all, 0.99),
        percentile(&all, 1.0),
        per_client / 1024
    );
    Ok(())
}
