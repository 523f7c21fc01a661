//! What appending, replaying and verifying cost on this machine, beside its bare flush.
//!
//! `cargo run --release -p greenroom-ledger --example append -- [events] [directory]`
#![allow(clippy::print_stdout, reason = "it is a program that reports")]

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use greenroom_ledger::{Answer, Batch, DataDir, Direction, Error, Hash, Ledger, NewEvent, SideWrite, SqliteLedger};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let events: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let root = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let root = root.join(format!("greenroom-append-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let outcome = flushes(&root).and_then(|()| appends(&root)).and_then(|()| clients(&root)).and_then(|()| replay(&root, events));
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
        let (mut busy, mut cpu) = (Duration::ZERO, Duration::ZERO);
        while busy < Duration::from_secs(4) {
            let batch = mix.batch(size);
            let before = cpu_time();
            let start = Instant::now();
            for write in &batch.side {
                if let SideWrite::Answer(answer) = write {
                    assert!(ledger.answer(&answer.principal, &answer.key)?.is_none());
                }
            }
            ledger.append(&batch)?;
            times.push(start.elapsed());
            busy += start.elapsed();
            cpu += cpu_time() - before;
        }
        let commands = ledger.head().seq;
        let rate = commands as f64 / busy.as_secs_f64();
        let each = cpu.as_secs_f64() * 1e6 / commands as f64;
        println!("batches of {size:<4} {rate:>9.0} commands/s  {each:>5.1} us CPU each  {}", spread(&mut times));
    }
    Ok(())
}

struct Request {
    client: usize,
    event: NewEvent,
    answer: Answer,
}

/// 64 clients that each send a command with a fresh key and wait for its answer, all on one thread
/// as an async runtime would have them; one writer takes what is there.
fn clients(root: &Path) -> Outcome {
    let (_dir, mut ledger) = fresh(root, "clients")?;
    let (send, receive) = mpsc::channel::<Request>();
    let (reply, replied) = mpsc::channel::<Vec<usize>>();
    let (begin, cpu) = (Instant::now(), cpu_time());
    let end = begin + Duration::from_secs(5);
    let crowd = std::thread::spawn(move || crowd(&send, &replied, end));
    let mut batches = 0u64;
    while let Ok(first) = receive.recv() {
        let mut batch = Batch::default();
        let mut clients = Vec::new();
        let now = ledger.head().at + 1;
        for mut request in std::iter::once(first).chain(receive.try_iter().take(511)) {
            let answer = &request.answer;
            assert!(ledger.answer(&answer.principal, &answer.key)?.is_none());
            request.event.at = now;
            batch.events.push(request.event);
            batch.side.push(SideWrite::Answer(request.answer));
            clients.push(request.client);
        }
        ledger.append(&batch)?;
        batches += 1;
        // at the end nobody may be listening any more
        let _ = reply.send(clients);
    }
    let (took, cpu) = (begin.elapsed(), cpu_time() - cpu);
    let mut times = crowd.join().unwrap_or_default();
    let commands = ledger.head().seq as f64;
    println!(
        "64 clients      {:>9.0} commands/s  {:>5.1} us CPU each  batches of {:.0}  {}",
        commands / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / commands,
        commands / batches as f64,
        spread(&mut times)
    );
    Ok(())
}

fn crowd(to: &mpsc::Sender<Request>, replied: &mpsc::Receiver<Vec<usize>>, end: Instant) -> Vec<Duration> {
    let mut clients: Vec<(Mix, Instant)> = (0..64).map(|number| (Mix::numbered(number), Instant::now())).collect();
    let mut times = Vec::new();
    let mut free: Vec<usize> = (0..clients.len()).collect();
    while Instant::now() < end {
        for client in free {
            let Some((mix, sent)) = clients.get_mut(client) else {
                continue;
            };
            *sent = Instant::now();
            let (event, answer) = (mix.event(), mix.answer());
            let request = Request { client, event, answer };
            if to.send(request).is_err() {
                return times;
            }
        }
        free = replied.recv().unwrap_or_default();
        let sent = free.iter().filter_map(|client| clients.get(*client));
        times.extend(sent.map(|(_, sent)| sent.elapsed()));
    }
    times
}

fn replay(root: &Path, events: u64) -> Outcome {
    let (dir, mut ledger) = fresh(root, "replay")?;
    let mut mix = Mix::default();
    let mut rate = Vec::new();
    while ledger.head().seq < events {
        let mut batch = mix.batch(512.min(usize::try_from(events - ledger.head().seq)?));
        batch.side.clear();
        let start = Instant::now();
        ledger.append(&batch)?;
        rate.push(start.elapsed());
    }
    let spent: Duration = rate.iter().sum();
    println!("filling         {:>9.0} events/s, no answers, batches of 512, {}", events as f64 / spent.as_secs_f64(), spread(&mut rate));
    ledger.settle()?;
    let bytes = std::fs::metadata(dir.path().join("greenroom.db"))?.len();
    println!("on disk         {:>9.0} bytes per event", bytes as f64 / events as f64);
    tables(&dir)?;

    let reader = ledger.reader();
    for _ in 0..3 {
        let (start, cpu, mut sum) = (Instant::now(), cpu_time(), 0);
        reader.scan(0, |row| {
            sum += row.body.len() + row.kind.len() + row.actor.len();
            Ok::<_, Error>(())
        })?;
        let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
        println!("scan            {took:>9.0?} ({cpu:.0?} CPU, {sum} bytes)");
    }
    let (start, cpu) = (Instant::now(), cpu_time());
    let report = reader.verify(0, |_| {})?;
    assert_eq!(report.fault, None);
    let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
    println!("verify          {took:>9.0?} ({cpu:.0?} CPU)");

    for subject in ["placement/production/service-7/cell-3", "environment/production"] {
        let start = Instant::now();
        let found = reader.by_subject(subject, u64::MAX, 50, Direction::NewestFirst)?;
        let newest = start.elapsed();
        let start = Instant::now();
        let all = reader.seqs_of(subject, 0)?.len();
        println!("by subject      newest {} of {all} in {newest:.0?}, all numbers in {:.0?}", found.len(), start.elapsed());
    }
    let start = Instant::now();
    reader.event_at(BEGIN + i64::try_from(events / 2)?)?;
    println!("event at a time {:.0?}", start.elapsed());
    drop(ledger);
    let start = Instant::now();
    let ledger = dir.ledger()?;
    println!("open            {:.0?} at {}", start.elapsed(), ledger.head().seq);
    Ok(())
}

/// Where the bytes are, if the sqlite3 shell is at hand.
fn tables(dir: &DataDir) -> Outcome {
    let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6";
    let run = std::process::Command::new("sqlite3").arg(dir.path().join("greenroom.db")).arg(sql).output();
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
        Mix { client, count: 0, random: client }
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
                vec![format!("placement/{environment}/service-{service}/cell-{}", self.next() % 4), format!("service/service-{service}"), format!("environment/{environment}")],
            ),
            55..70 => ("deployment.requested", vec![format!("deployment/dep_{}{fresh}", self.client), format!("service/service-{service}"), format!("environment/{environment}")]),
            70..85 => {
                ("feature.toggled", vec![format!("feature/feature-{}", self.next() % 2000), format!("environment/{environment}"), format!("release/release-{}", self.next() % 500)])
            }
            _ => (
                "build.registered",
                vec![format!("version/service-{service}/{}.{}", self.client, self.count), format!("service/service-{service}"), format!("line/service-{service}/main")],
            ),
        };
        let text = format!(r#"{{"digest":"sha256:{:016x}{:016x}","note":""#, self.next(), self.next());
        let mut body = text.into_bytes();
        body.resize(224, b'x');
        body.extend_from_slice(b"\"}");
        let mut command = [0; 16];
        command[..8].copy_from_slice(&self.count.to_be_bytes());
        command[8..].copy_from_slice(&self.next().to_be_bytes());
        NewEvent { at: BEGIN + self.count as i64, kind: kind.into(), version: 1, actor: format!("tok_{:08}", self.next() % 50), command, subjects, body }
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
    format!("p50 {:.2?} p99 {:.2?} max {:.2?}", at(0.5).unwrap_or_default(), at(0.99).unwrap_or_default(), times.last().copied().unwrap_or_default())
}

/// What this thread has used, from /proc.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
