//! The data plane over HTTP on this machine, each contender a process of its own beside its floor and a peer: one feature,
//! all of them, nothing new; and event streams: what an idle one takes, how soon all hear of a change, and all coming at once.
//! Prints Markdown; never a test.
//!
//! Load generator and server share the cores: judge the server's CPU and the ratios of one run, not rates.
//! `cargo bench -p greenroom-delivery -- [clients [answers|streams]]`
#![expect(clippy::print_stdout, reason = "this program reports")]

mod answers;
mod edge;
mod floor;
mod ours;
#[path = "../../../server/benches/server/process.rs"]
mod process;
mod streams;
#[path = "../../../server/benches/server/wire.rs"]
mod wire;

use std::time::Duration;

use process::Child;
use wire::Wire;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Takes how many features there are, or bytes in a frame.
type Part = fn(usize) -> Outcome;

const PARTS: &[(&str, Part)] = &[("ours", ours::serve), ("floor", floor::answers), ("raw", floor::streams)];

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let Some((_, part)) = PARTS.iter().find(|(name, _)| args.first().is_some_and(|arg| arg == name)) {
        return part(args.get(1).map_or(Ok(0), |n| n.parse())?);
    }
    let clients = args.first().map_or(Ok(10_000), |n| n.parse())?;
    let wanted = |part: &str| args.get(1).is_none_or(|only| only == part);
    runtime(1)?.block_on(async {
        if wanted("answers") {
            answers::report().await?;
        }
        if wanted("streams") {
            println!("\n### {clients} event streams\n");
            streams::report(clients).await?;
        }
        Ok(())
    })
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// As many as ours answers requests on.
fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1)
}

/// As many as a server has for the rest, unless told otherwise.
const WORKERS: usize = 2;

/// Starts one of the parts, and waits until it listens.
async fn start(part: &str, features: usize) -> Outcome<Child> {
    let child = Child::spawn(std::process::Command::new(std::env::current_exe()?).arg(part).arg(features.to_string()))?;
    let began = std::time::Instant::now();
    while tokio::net::TcpStream::connect(child.address).await.is_err() {
        if began.elapsed() > Duration::from_secs(20) {
            child.end();
            return Err(format!("{part} does not listen").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(child)
}

/// In milliseconds.
fn percentile(sorted: &[Duration], p: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * p) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3)
}
