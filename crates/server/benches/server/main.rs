//! The server under load, over HTTP on this machine, as a process of its own: start-up, durable commands, the board,
//! evaluations beside their floor, and how soon a change is heard. Prints Markdown; never a test.
//!
//! Load generator and server share the cores, so rates are lower bounds and tails are the machine's; CPU is the server's
//! alone. `cargo bench -p greenroom-server -- [events [part]]`, a part being `startup`, `commands`, `evaluations` or
//! `streams`.
#![expect(clippy::print_stdout, reason = "this program reports")]

mod child;
mod commands;
mod evaluations;
mod heap;
mod process;
mod streams;
mod wire;
mod world;

use std::time::{Duration, Instant};

use child::Child;
use wire::Wire;
use world::World;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match args.first().map(String::as_str) {
        Some("serve") => return child::serve(&args[1]),
        Some("floor") => return child::floor(),
        Some("weigh") => return heap::weigh(&args[1]),
        _ => {}
    }
    let events: u64 = args.first().map_or(Ok(1_000_000), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(report(events, args.get(1).map(String::as_str)))
}

/// Everything, or one part alone.
async fn report(events: u64, part: Option<&str>) -> Outcome {
    let wanted = |name: &str| part.is_none_or(|part| part == name);
    let dir = std::env::temp_dir().join(format!("greenroom-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let (sync50, sync99) = child::fdatasync(&dir)?;
    println!("fdatasync of 4 KiB on this disk: p50 {sync50:.2} ms, p99 {sync99:.2} ms.\n");
    let world = World::make(&dir.join("data"), events)?;
    if wanted("startup") {
        println!("### Start-up, {events} events\n\n| What | Figure |\n|---|---|");
        println!(
            "| events on disk, subject index included: {} events at the mix of 55 % observed, 15 % deployments, 15 % switches, 15 % builds | {} B each |",
            world.mixed, world.bytes_per_event
        );
        startup(&world).await?;
        println!("| live state: {} placements, 1,000 services × 6 environments, {} builds, 2,000 features | {} |", world.placements, world.builds, child::weighed(&world.data)?);
    }
    let server = Child::start(&world.data)?;
    server.ready().await?;
    println!("| the whole server after its start, its allocator included | {} MB resident |", server.rss() / 1_000_000);
    if wanted("commands") {
        println!("\n### Commands and reads\n\n| What | Figure |\n|---|---|");
        commands::durable(&server, &world, sync50).await?;
        commands::under_readers(&server, &world).await?;
        commands::board(&server, &world).await?;
    }
    if wanted("evaluations") {
        println!("\n### Evaluations (OFREP, one feature of 2,000, 32 connections)\n\n| What | Server CPU a request | Requests/s | p50 / p99 |\n|---|---|---|---|");
        evaluations::single(&server, &world).await?;
    }
    if wanted("streams") {
        println!("\n### A change, heard\n\n| What | Figure |\n|---|---|");
        for clients in [1_000, 10_000] {
            streams::heard(&server, &world, clients).await?;
        }
    }
    server.end();
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Time from `exec` until the first evaluation is answered and until writes are taken; the page cache is warm.
async fn startup(world: &World) -> Outcome {
    // the first start publishes, so that later ones find snapshots
    let first = Child::start(&world.data)?;
    first.ready().await?;
    first.kept(&world.data).await?;
    first.end();
    for (with, runs) in [("no checkpoint", 3), ("a checkpoint", 3)] {
        let (mut exposure, mut writes) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            if with == "no checkpoint" {
                world.drop_checkpoints()?;
            }
            let began = Instant::now();
            let server = Child::start(&world.data)?;
            server.evaluates(&world.sdk).await?;
            exposure.push(began.elapsed());
            server.ready().await?;
            writes.push(began.elapsed());
            if with == "no checkpoint" {
                server.end();
            } else {
                server.stop().await?;
            }
        }
        println!(
            "| start with {with}: exposure served / writes taken | {:.2} / {:.2} s (median of {runs}) |",
            median(&mut exposure).as_secs_f64(),
            median(&mut writes).as_secs_f64()
        );
        if with == "no checkpoint" {
            // a clean stop writes one
            let server = Child::start(&world.data)?;
            server.ready().await?;
            server.stop().await?;
        }
    }
    Ok(())
}

fn median(all: &mut [Duration]) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// In milliseconds.
fn percentile(sorted: &[Duration], p: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * p) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3)
}
