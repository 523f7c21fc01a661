//! What appending, replaying and verifying cost on this machine, beside its bare flush.
//!
//! `cargo run --release -p greenroom-ledger --example append -- [events] [directory]`
#![allow(clippy::print_stdout, reason = "it is a program that reports")]

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use greenroom_ledger::{
    Answer, Batch, DataDir, Direction, Error, Hash, Ledger, NewEvent, SideWrite, SqliteLedger,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let events: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let root = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let root = root.join(format!("greenroom-append-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let outcome = flushes(&root)
        .and_then(|()| appends(&root))
        .and_then(|()| clients(&root))
        .and_then(|()| replay(&root, events));
    std::fs::remove_dir_all(&root)?;
    outcome
}

/// The floor: a durable write of one page without any database.
fn flushes(root: &Path) -> Outcome {
    let mut file = File::create(root.join("flush"))?;
    file.write_all(&vec![0; 1 << 20])?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..2000 {
        let start = Instant::now();
        file.rewind()?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    println!("fdatasync of 4 KiB              {}", spread(&mut times));
    Ok(())
}

/// One caller that waits for each batch; each event is a command with a fresh key.
fn appends(root: &Path) -> Outcome {
    for size in [1, 32, 512] {
        let (_dir, mut ledger) = fresh(root, &format!("batch-{size}"))?;
        let mut mix = Mix::default();
        let mut times = Vec::new();
        let (begin, cpu) = (Instant::now(), cpu_time());
        while begin.elapsed() < Duration::from_secs(4) {
            let batch = mix.batch(size);
            let start = Instant::now();
            for write in &batch.side {
                if let SideWrite::Answer(answer) = write {
                    assert!(ledger.answer(&answer.principal, &answer.key)?.is_none());
                }
            }
            ledger.append(&batch)?;
            times.push(start.elapsed());
        }
        let commands = ledger.head().seq;
        let rate = commands as f64 / begin.elapsed().as_secs_f64();
        let each = (cpu_time() - cpu).as_secs_f64() * 1e6 / commands as f64;
        println!(
            "batches of {size:<4} {rate:>9.0} commands/s  {each:>5.1} us CPU each  {}",
            spread(&mut times)
        );
    }
    Ok(())
}

struct Request {
    event: NewEvent,
    answer: Answer,
    reply: mpsc::SyncSender<u64>,
}

/// 64 threads that each send a command with a fresh key and wait; one writer takes what is there.
fn clients(root: &Path) -> Outcome {
    let (_dir, mut ledger) = fresh(root, "clients")?;
    let (send, receive) = mpsc::sync_channel::<Request>(512);
    let end = Instant::now() + Duration::from_secs(5);
    let begin = Instant::now();
    let threads: Vec<_> = (0..64)
        .map(|n| {
            let send = send.clone();
            std::thread::spawn(move || client(n, &send, end))
        })
        .collect();
    drop(send);
    let mut batches = 0u64;
    while let Ok(first) = receive.recv() {
        let mut batch = Batch::default();
        let mut replies = Vec::new();
        let now = ledger.head().at + 1;
        for mut request in std::iter::once(first).chain(receive.try_iter().take(511)) {
            let answer = &request.answer;
            assert!(ledger.answer(&answer.principal, &answer.key)?.is_none());
            request.event.at = now;
            batch.events.push(request.event);
            batch.side.push(SideWrite::Answer(request.answer));
            replies.push(request.reply);
        }
        let seq = ledger.append(&batch)?.seq;
        batches += 1;
        replies.iter().try_for_each(|reply| reply.send(seq))?;
    }
    let took = begin.elapsed();
    let mut times: Vec<Duration> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap_or_default())
        .collect();
    let commands = ledger.head().seq;
    println!(
        "64 clients      {:>9.0} commands/s  batches of {:.0}   {}",
        commands as f64 / took.as_secs_f64(),
        commands as f64 / batches as f64,
        spread(&mut times)
    );
    Ok(())
}

fn client(number: u64, to: &mpsc::SyncSender<Request>, end: Instant) -> Vec<Duration> {
    let mut mix = Mix::numbered(number);
    let mut times = Vec::new();
    let (reply, replied) = mpsc::sync_channel(1);
    while Instant::now() < end {
        let start = Instant::now();
        let (event, answer) = (mix.event(), mix.answer());
        let reply = reply.clone();
        if to
            .send(Request {
                event,
                answer,
                reply,
            })
            .is_err()
            || replied.recv().is_err()
        {
            break;
        }
        times.push(start.elapsed());
    }
    times
}

fn replay(root: &Path, events: u64) -> Outcome {
    let (dir, mut ledger) = fresh(root, "replay")?;
    let mut mix = Mix::default();
    let (mut slowest, mut rate) = (Duration::ZERO, Vec::new());
    while ledger.head().seq < events {
        let mut batch = mix.batch(512.min(usize::try_from(events - ledger.head().seq)?));
        batch.side.clear();
        let start = Instant::now();
        ledger.append(&batch)?;
        slowest = slowest.max(start.elapsed());
        rate.push(start.elapsed());
    }
    let spent: Duration = rate.iter().sum();
    println!(
        "filling         {:>9.0} events/s, no answers, batches of 512, {}",
        events as f64 / spent.as_secs_f64(),
        spread(&mut rate)
    );
    ledger.settle()?;
    let bytes = std::fs::metadata(dir.path().join("greenroom.db"))?.len();
    println!(
        "on disk         {:>9.0} bytes per event",
        bytes as f64 / events as f64
    );
    tables(&dir)?;

    let reader = ledger.reader();
    for _ in 0..3 {
        let (start, mut sum) = (Instant::now(), 0);
        reader.scan(0, |row| {
            sum += row.body.len() + row.kind.len() + row.actor.len();
            Ok::<_, Error>(())
        })?;
        println!(
            "scan            {:>9.3} s ({sum} bytes)",
            start.elapsed().as_secs_f64()
        );
    }
    let start = Instant::now();
    let report = reader.verify(0, |_| {})?;
    assert_eq!(report.fault, None);
    println!("verify          {:>9.3} s", start.elapsed().as_secs_f64());

    for subject in [
        "placement/production/service-7/cell-3",
        "environment/production",
    ] {
        let start = Instant::now();
        let found = reader.by_subject(subject, u64::MAX, 50, Direction::NewestFirst)?;
        let newest = start.elapsed();
        let start = Instant::now();
        let all = reader.seqs_of(subject, 0)?.len();
        println!(
            "by subject      newest {} of {all} in {newest:.0?}, all numbers in {:.0?}",
            found.len(),
            start.elapsed()
        );
    }
    let start = Instant::now();
    reader.event_at(BEGIN + i64::try_from(events / 2)?)?;
    println!("event at a time {:.0?}", start.elapsed());
    drop(ledger);
    let start = Instant::now();
    let ledger = dir.ledger()?;
    println!(
        "open            {:.0?} at {}",
        start.elapsed(),
        ledger.head().seq
    );
    Ok(())
}

/// Where the bytes are, if the sqlite3 shell is at hand.
fn tables(dir: &DataDir) -> Outcome {
    let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6";
    let run = std::process::Command::new("sqlite3")
        .arg(dir.path().join("greenroom.db"))
        .arg(sql)
        .output();
    if let Ok(output) = run {
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

fn fresh(root: &Path, name: &str) -> Outcome<(DataDir, SqliteLedger)> {
    let dir = DataDir::open(root.join(name))?;
    let ledger = dir.ledger()?;
    Ok((dir, ledger))
}

const BEGIN: i64 = 1_790_000_000_000_000;

/// 55 % observations, 15 % deployments, 15 % toggles, 15 % registrations; about three subjects each.
#[derive(Default)]
struct Mix {
    client: u64,
    count: u64,
    random: u64,
}

impl Mix {
    fn numbered(client: u64) -> Mix {
        Mix {
            client,
            count: 0,
            random: client,
        }
    }

    /// splitmix64
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn batch(&mut self, size: usize) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..size {
            batch.events.push(self.event());
            batch.side.push(SideWrite::Answer(self.answer()));
        }
        batch
    }

    fn event(&mut self) -> NewEvent {
        self.count += 1;
        let dice = self.next() % 100;
        let service = self.next() % 1000;
        let environment = ["development", "staging", "production"][(self.next() % 3) as usize];
        let tail = self.next() as u32;
        let fresh = format!("{:012x}{tail:08x}", self.count);
        let (kind, subjects) = match dice {
            0..55 => (
                "placement.observed",
                vec![
                    format!(
                        "placement/{environment}/service-{service}/cell-{}",
                        self.next() % 4
                    ),
                    format!("service/service-{service}"),
                    format!("environment/{environment}"),
                ],
            ),
            55..70 => (
                "deployment.requested",
                vec![
                    format!("deployment/dep_{}{fresh}", self.client),
                    format!("service/service-{service}"),
                    format!("environment/{environment}"),
                ],
            ),
            70..85 => (
                "feature.toggled",
                vec![
                    format!("feature/feature-{}", self.next() % 2000),
                    format!("environment/{environment}"),
                    format!("release/release-{}", self.next() % 500),
                ],
            ),
            _ => (
                "build.registered",
                vec![
                    format!("version/service-{service}/{}.{}", self.client, self.count),
                    format!("service/service-{service}"),
                    format!("line/service-{service}/main"),
                ],
            ),
        };
        let text = format!(
            r#"{{"digest":"sha256:{:016x}{:016x}","note":""#,
            self.next(),
            self.next()
        );
        let mut body = text.into_bytes();
        body.resize(224, b'x');
        body.extend_from_slice(b"\"}");
        let mut command = [0; 16];
        command[..8].copy_from_slice(&self.count.to_be_bytes());
        command[8..].copy_from_slice(&self.next().to_be_bytes());
        NewEvent {
            at: BEGIN + self.count as i64,
            kind: kind.into(),
            version: 1,
            actor: format!("tok_{:08}", self.next() % 50),
            command,
            subjects,
            body,
        }
    }

    fn answer(&mut self) -> Answer {
        let random = self.next();
        Answer {
            principal: format!("tok_{:08}", self.client),
            key: format!("{random:016x}-{:016x}", self.count),
            request: Hash::of(&self.count.to_be_bytes()),
            status: 201,
            response: vec![b'r'; 200],
            at: BEGIN + self.count as i64,
        }
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    format!(
        "p50 {:.2?} p99 {:.2?} max {:.2?}",
        at(0.5).unwrap_or_default(),
        at(0.99).unwrap_or_default(),
        times.last().copied().unwrap_or_default()
    )
}

/// Of the whole process, from /proc; in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
