//! The server under load, over HTTP on this machine: durable commands, one client, board, OFREP, start-up. Prints
//! Markdown; never a test. Load generator and server share the cores, so rates are lower bounds.

#![expect(clippy::print_stdout, reason = "this program reports")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One keep-alive connection that sends prepared requests.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    async fn open(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 20) }
    }

    /// Status and body.
    async fn send(&mut self, method: &str, path: &str, token: &str, key: Option<&str>, body: &str) -> (u16, String) {
        let key = key.map(|k| format!("idempotency-key: {k}\r\n")).unwrap_or_default();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server hung up");
            let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|n| n.trim().parse().ok()).unwrap_or(0);
            if self.buffer.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
                return (status, String::from_utf8_lossy(&self.buffer[end + 4..end + 4 + length]).into_owned());
            }
        }
    }
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find(|l| l.starts_with("VmRSS")).map(|l| l.trim_start_matches("VmRSS:").trim().to_owned()).unwrap_or_default()
}

fn percentile(sorted: &[Duration], p: f64) -> f64 {
    sorted.get(((sorted.len() - 1) as f64 * p) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3)
}

fn fdatasync(dir: &Path) -> (f64, f64) {
    let file = std::fs::File::create(dir.join("sync")).unwrap();
    let mut preallocated = &file;
    preallocated.write_all(&vec![0; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    let mut all: Vec<Duration> = (0..500)
        .map(|i| {
            let at = Instant::now();
            file.write_all_at(&[1; 4096], (i % 1024) * 4096).unwrap();
            file.sync_data().unwrap();
            at.elapsed()
        })
        .collect();
    all.sort_unstable();
    (percentile(&all, 0.5), percentile(&all, 0.99))
}

async fn set_up(data: &Path) -> (greenroom_server::Running, String, String) {
    let running = greenroom_server::start(data, "127.0.0.1:0".parse().unwrap(), std::env::current_exe().unwrap()).await.unwrap();
    let mut wire = Wire::open(running.address).await;
    let setup = format!(r#"{{"token":"{}","name":"bench","password":"bench-bench"}}"#, running.first_token.clone().unwrap());
    let (status, body) = wire.send("POST", "/api/v1/setup", "", None, &setup).await;
    assert_eq!(status, 200, "{body}");
    let signed: serde_json::Value = serde_json::from_str(&body).unwrap();
    let (token, me) = (signed["token"].as_str().unwrap().to_owned(), signed["person"]["id"].as_str().unwrap().to_owned());
    wire.send("PUT", &format!("/api/v1/people/{me}/roles"), &token, None, r#"{"roles":["admin","engineer","deployer","release-manager"]}"#).await;
    let mut yaml = String::new();
    for (i, purpose) in ["development", "integration", "test", "staging", "production", "preview"].iter().enumerate() {
        yaml.push_str(&format!("---\napiVersion: greenroom/v1\nkind: Environment\nmetadata: {{ name: {purpose} }}\nspec: {{ purpose: {purpose}, targets: [{{ name: t, driver: command, address: a{i} }}] }}\n"));
    }
    for i in 0..1_000 {
        yaml.push_str(&format!(
            "---\napiVersion: greenroom/v1\nkind: Service\nmetadata: {{ name: s{i} }}\nspec: {{ components: [c], recipes: {{ command: {{ apply: [\"true\"] }} }} }}\n"
        ));
        yaml.push_str(&format!(
            "---\napiVersion: greenroom/v1\nkind: Feature\nmetadata: {{ name: f{i} }}\nspec: {{ type: boolean, variants: {{ \"on\": true, \"off\": false }}, \"off\": \"off\" }}\n"
        ));
    }
    let body = serde_json::json!({"documents": [{"file": "bench.yaml", "text": yaml}]}).to_string();
    let (status, answer) = wire.send("PUT", "/api/v1/manifests/bench", &token, None, &body).await;
    assert_eq!(status, 200, "{}", answer.chars().take(500).collect::<String>());
    let (status, made) = wire.send("POST", "/api/v1/tokens", &token, None, r#"{"kind":"sdk","environment":"development"}"#).await;
    assert_eq!(status, 201, "{made}");
    let sdk = serde_json::from_str::<serde_json::Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned();
    (running, token, sdk)
}

/// Durable commands: each toggles a feature, authorised, with an idempotency key of its own.
async fn commands(address: std::net::SocketAddr, token: &str, clients: usize, time: Duration) -> (f64, Vec<Duration>) {
    let count = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (token, count) = (token.to_owned(), Arc::clone(&count));
            tokio::spawn(async move {
                let mut wire = Wire::open(address).await;
                let mut took = Vec::new();
                let mut n = 0_u64;
                while began.elapsed() < time {
                    n += 1;
                    let body = format!(r#"{{"environment":"development","variant":"{}"}}"#, if n.is_multiple_of(2) { "on" } else { "off" });
                    let key = format!("{clients}-{client}-{n}-{}", began.elapsed().as_nanos());
                    let at = Instant::now();
                    let (status, answer) = wire.send("PUT", &format!("/api/v1/features/f{}/baseline", (client * 7 + (n as usize) * 64) % 1_000), &token, Some(&key), &body).await;
                    assert_eq!(status, 200, "{answer}");
                    took.push(at.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    (count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64(), all)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = std::env::temp_dir().join(format!("greenroom-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let data = dir.join("data");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("## Server over HTTP (load at start {})\n", load.split(' ').next().unwrap_or(""));
    let (sync50, sync99) = fdatasync(&dir);
    println!("fdatasync of 4 KiB on this disk: p50 {sync50:.2} ms, p99 {sync99:.2} ms\n\n| What | Figure |\n|---|---|");
    let (running, token, sdk) = set_up(&data).await;
    for (clients, seconds) in [(1, 3), (64, 6), (64, 6)] {
        let before = cpu();
        let (rate, all) = commands(running.address, &token, clients, Duration::from_secs(seconds)).await;
        let spent = (cpu() - before).as_secs_f64() * 1e6 / all.len() as f64;
        println!(
            "| durable commands, {clients} clients | {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {spent:.0} µs CPU each (client included) |",
            percentile(&all, 0.5),
            percentile(&all, 0.99),
            percentile(&all, 1.0)
        );
    }
    let mut wire = Wire::open(running.address).await;
    let mut board: Vec<Duration> = Vec::new();
    let mut size = 0;
    for _ in 0..50 {
        let at = Instant::now();
        let (status, body) = wire.send("GET", "/api/v1/board", &token, None, "").await;
        assert_eq!(status, 200);
        size = body.len();
        board.push(at.elapsed());
    }
    board.sort_unstable();
    println!("| board, 1,000 services × 6 environments, {} kB | p50 {:.1} ms, p99 {:.1} ms |", size / 1000, percentile(&board, 0.5), percentile(&board, 0.99));
    let before = cpu();
    let mut single: Vec<Duration> = Vec::new();
    for i in 0..20_000 {
        let at = Instant::now();
        let (status, _) = wire.send("POST", &format!("/ofrep/v1/evaluate/flags/f{}", i % 1_000), &sdk, None, r#"{"context":{"targetingKey":"user-1","plan":"gold"}}"#).await;
        assert_eq!(status, 200);
        single.push(at.elapsed());
    }
    single.sort_unstable();
    let spent = (cpu() - before).as_secs_f64() * 1e6 / 20_000.0;
    println!(
        "| OFREP single, one connection, 1,000 features | p50 {:.3} ms, p99 {:.3} ms, {spent:.0} µs CPU each (client included) |",
        percentile(&single, 0.5),
        percentile(&single, 0.99)
    );
    println!("| memory with all this in one process | {} |", rss());
    running.stop().await;
    let events = std::fs::metadata(data.join("greenroom.db")).map_or(0, |m| m.len());
    let at = Instant::now();
    let again = greenroom_server::start(&data, "127.0.0.1:0".parse().unwrap(), std::env::current_exe().unwrap()).await.unwrap();
    let ready = at.elapsed();
    let mut wire = Wire::open(again.address).await;
    let (_, log) = wire.send("GET", "/api/v1/events?limit=1", &token, None, "").await;
    let seq = serde_json::from_str::<serde_json::Value>(&log).unwrap()["items"][0]["seq"].as_u64().unwrap_or(1);
    println!("| start with {seq} events until writes are taken | {:.2} s |", ready.as_secs_f64());
    println!("| disk per event, idempotency keys included | {} B |", events / seq.max(1));
    again.stop().await;
    std::fs::remove_dir_all(&dir).unwrap();
}
