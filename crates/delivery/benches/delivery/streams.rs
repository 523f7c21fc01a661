//! Many event streams at once: what an idle one takes, how soon all hear of a change, beside a floor and a peer; and all
//! coming at once, as after a restart.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Child, Outcome, Wire, edge, ours, percentile, start};

/// Servers are started anew this often, in turns, and publish this often each.
const ROUNDS: usize = 3;
const CHANGES: usize = 3;
/// Of those that hold a stream open, and of those that come at once.
const FEATURES: usize = 10;
const MANY_FEATURES: usize = 100;
/// Bytes of what ours sends: that there is something new, and what.
const NOTICE: usize = 110;
const EVENT: usize = 1_400;
const PATIENCE: Duration = Duration::from_secs(30);
const STORM_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A page's, by the address in the answer to a bulk request: hears that there is something new.
    Ofrep,
    /// A backend's: hears what is new.
    Unleash,
    /// The same, handed on by Edge, which follows ours.
    Edge,
    /// Frames of so many bytes.
    Raw(usize),
}

pub async fn report(clients: usize) -> Outcome {
    println!("| What | Figure |\n|---|---|");
    let kinds = [
        (Kind::Ofrep, "OFREP streams"),
        (Kind::Raw(NOTICE), "floor of bare sockets, as small a notice"),
        (Kind::Unleash, "Unleash streams"),
        (Kind::Raw(EVENT), "floor of bare sockets, as large an event"),
        (Kind::Edge, "Unleash Edge, `--streaming`"),
    ];
    let mut all: Vec<(Kind, &str, Round)> = kinds.map(|(kind, name)| (kind, name, Round::default())).into();
    for _ in 0..ROUNDS {
        let mut absent = None;
        for (at, (kind, name, into)) in all.iter_mut().enumerate() {
            match round(*kind, clients, into).await {
                Err(why) if *kind == Kind::Edge => {
                    println!("| {name} | not measured: {why} |");
                    absent = Some(at);
                }
                other => other?,
            }
        }
        absent.map(|at| all.remove(at));
    }
    let lasts: Vec<f64> = all.iter_mut().map(|(_, name, round)| line(name, round)).collect();
    let [ofrep, small, unleash, large, edge @ ..] = lasts.as_slice() else { return Err("a row is missing".into()) };
    for (name, last, floor) in [("OFREP", ofrep, small), ("Unleash", unleash, large)] {
        println!("| last client of {name} streams: times the floor, reach ≤ 1.5 | **{:.2}** |", last / floor);
        for edge in edge {
            println!("| last client of {name} streams: times before Edge's, reach ≥ 3 | **{:.1}** |", edge / last);
        }
    }
    storm(clients).await
}

/// All that was measured of one server, over its starts.
#[derive(Default)]
struct Round {
    memory: Vec<u64>,
    heard: Vec<Duration>,
    last: Vec<Duration>,
    cpu: Vec<Duration>,
}

async fn round(kind: Kind, clients: usize, into: &mut Round) -> Outcome {
    let (part, size) = if let Kind::Raw(size) = kind { ("raw", size) } else { ("ours", FEATURES) };
    let source = start(part, size).await?;
    let edge = if kind == Kind::Edge { Some(edge::streaming(source.address).await?) } else { None };
    let server = edge.as_ref().unwrap_or(&source);
    let idle = server.rss();
    let hearing = Arc::new(Hearing { clients, times: Mutex::default(), all: Notify::new() });
    let mut listeners = JoinSet::new();
    let mut asking = Wire::open(source.address).await;
    for client in 0..clients {
        let path = match kind {
            Kind::Ofrep => address(&asking.send("POST", BULK, ours::TOKEN, None, &body(client)).await.1)?,
            Kind::Unleash | Kind::Edge => BACKEND.to_owned(),
            Kind::Raw(_) => "/".to_owned(),
        };
        let stream = open(TcpStream::connect(server.address).await?, &path).await?;
        listeners.spawn(listen(stream, Arc::clone(&hearing)));
    }
    drop(asking);
    into.memory.push(server.rss().saturating_sub(idle) / clients as u64);
    for _ in 0..CHANGES {
        let (before, at) = (server.cpu(), Instant::now());
        publish(source.address).await?;
        tokio::time::timeout(PATIENCE, hearing.all.notified()).await?;
        let heard = std::mem::take(&mut *hearing.times.lock().unwrap());
        into.last.extend(heard.iter().max().map(|last| *last - at));
        into.heard.extend(heard.iter().map(|heard| *heard - at));
        into.cpu.push((server.cpu() - before) / clients as u32);
    }
    listeners.shutdown().await;
    for server in [source].into_iter().chain(edge) {
        server.end();
    }
    Ok(())
}

/// Prints, and gives the median of the last client's delay in ms.
fn line(what: &str, round: &mut Round) -> f64 {
    for times in [&mut round.heard, &mut round.last, &mut round.cpu] {
        times.sort_unstable();
    }
    round.memory.sort_unstable();
    let last = percentile(&round.last, 0.5);
    println!(
        "| {what} | {:.1} KiB of user memory each; change → notice p50 {:.0} ms, p99 {:.0} ms, last client {last:.0} ms [{:.0}–{:.0}]; {:.1} µs of server CPU each |",
        round.memory[round.memory.len() / 2] as f64 / 1024.0,
        percentile(&round.heard, 0.5),
        percentile(&round.heard, 0.99),
        percentile(&round.last, 0.0),
        percentile(&round.last, 1.0),
        percentile(&round.cpu, 0.5) * 1e3,
    );
    last
}

const BULK: &str = "/ofrep/v1/evaluate/flags";
const BACKEND: &str = "/api/client/streaming";

fn body(client: usize) -> String {
    format!(r#"{{"context":{{"targetingKey":"c{client}"}}}}"#)
}

/// Where the answer to a bulk request says that its stream is.
fn address(answer: &str) -> Outcome<String> {
    let found: serde_json::Value = serde_json::from_str(answer)?;
    Ok(found["eventStreams"][0]["endpoint"]["requestUri"].as_str().ok_or("no stream")?.to_owned())
}

/// Asks for a stream, and waits until it has begun: until what follows its head has come whole.
async fn open(mut stream: TcpStream, path: &str) -> Outcome<TcpStream> {
    let greeting: &[u8] = if path == BACKEND { b"unleash-connected" } else { b"retry:" };
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\naccept: text/event-stream\r\n\r\n", edge::CLIENT).as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1 << 10);
    let begun = |bytes: &[u8]| bytes.windows(greeting.len()).position(|w| w == greeting).is_some_and(|at| bytes[at..].windows(2).any(|w| w == b"\n\n"));
    while !begun(&bytes) {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err("a stream ended before it began".into());
        }
    }
    if bytes.starts_with(b"HTTP/1.1 200") { Ok(stream) } else { Err("a stream was refused".into()) }
}

/// When the clients heard of a change; and word once all have.
struct Hearing {
    clients: usize,
    times: Mutex<Vec<Instant>>,
    all: Notify,
}

async fn listen(mut stream: TcpStream, hearing: Arc<Hearing>) {
    let mut bytes = [0; 512];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        if bytes[..read].windows(5).any(|w| w == b"data:") {
            let mut times = hearing.times.lock().unwrap();
            times.push(Instant::now());
            if times.len() == hearing.clients {
                hearing.all.notify_one();
            }
        }
    }
}

async fn publish(server: SocketAddr) -> Outcome {
    let (status, _) = Wire::try_open(server).await?.try_send("POST", "/publish", ours::TOKEN, None, "").await?;
    if status == 200 { Ok(()) } else { Err(format!("publishing was answered by {status}").into()) }
}

/// As a web page comes back: asks for everything, then listens.
async fn come_back(server: SocketAddr, client: usize) -> Outcome<TcpStream> {
    let mut wire = Wire::try_open(server).await?;
    let (status, answer) = wire.try_send("POST", BULK, ours::TOKEN, None, &body(client)).await?;
    if status != 200 {
        return Err(format!("a bulk request was answered by {status}").into());
    }
    open(wire.into_stream(), &address(&answer)?).await
}

/// All clients at the same moment, at a server that has just started.
async fn storm(clients: usize) -> Outcome {
    let server = start("ours", MANY_FEATURES).await?;
    let began = Instant::now();
    let mut coming = JoinSet::new();
    for client in 0..clients {
        let server = server.address;
        coming.spawn(async move { come_back(server, client).await.map(|stream| (stream, began.elapsed())) });
    }
    let (mut open, mut took, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(come) = coming.join_next().await {
        match come? {
            Ok((stream, after)) => {
                open.push(stream);
                took.push(after);
            }
            Err(why) => lost.push(why.to_string()),
        }
    }
    took.sort_unstable();
    let late = took.iter().filter(|took| **took > STORM_LIMIT).count();
    let (peak, idle) = (server.peak()?, server.rss());
    println!(
        "| {clients} come at once, each for {MANY_FEATURES} features and a stream | p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms; {} lost, {late} over 5 s{}; peak memory {:.0} MB, {:.2} of idle with all streams |",
        percentile(&took, 0.5),
        percentile(&took, 0.99),
        percentile(&took, 1.0),
        lost.len(),
        lost.first().map_or(String::new(), |why| format!(" ({why})")),
        peak as f64 / 1e6,
        peak as f64 / idle as f64
    );
    server.end();
    Ok(())
}

impl Child {
    /// The most that was ever resident, in bytes.
    fn peak(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
        Ok(line.split_whitespace().next().ok_or("no figure")?.parse::<u64>()? * 1024)
    }
}
