//! What a measurement was taken on, and how quiet it was: a number without these is a rumour.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::workspace::{git, output};

/// Day of the measurement, in UTC, as `2026-01-31`.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a day number since 1970-01-01 (Howard Hinnant, *chrono-compatible low-level date algorithms*).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Short commit of the checkout, with `-dirty` when it holds changes.
pub fn commit() -> Result<String> {
    let commit = output(git().args(["rev-parse", "--short=12", "HEAD"]))?;
    // reports are written one after the other; a new one does not make the measured sources other ones
    let changed = output(git().args(["status", "--porcelain", "--", ".", ":!docs"]))?;
    Ok(format!("{}{}", commit.trim(), if changed.is_empty() { "" } else { "-dirty" }))
}

/// Rows of a Markdown table: what the machine is, and the versions that matter.
pub fn description(build_directory: &Path) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory: u64 = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
    let file_system = one_line(Command::new("stat").args(["--file-system", "--format=%T"]).arg(build_directory));
    let mut text = String::new();
    for (what, value) in [
        ("Machine", format!("{cores} × {model}, {:.1} GiB", memory as f64 / 1_048_576.0)),
        ("System", format!("{}, build directory on {file_system}", one_line(Command::new("uname").args(["-srm"])))),
        ("Rust", one_line(Command::new("rustc").arg("--version"))),
    ] {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    text
}

fn one_line(command: &mut Command) -> String {
    output(command).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// How busy the machine is with other things, at one moment.
#[derive(Clone, Copy)]
pub struct Load {
    one_minute: f64,
    /// Jiffies the host took from us, and all jiffies.
    stolen: (u64, u64),
}

impl Load {
    pub fn now() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self { one_minute: load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN), stolen: stolen(&stat) }
    }

    /// A phrase on the time between two moments.
    pub fn until(self, end: Self) -> String {
        let all = end.stolen.1.saturating_sub(self.stolen.1).max(1);
        let share = end.stolen.0.saturating_sub(self.stolen.0) as f64 / all as f64 * 100.0;
        format!("load {:.2} before, {:.2} after; {share:.1} % stolen by the host", self.one_minute, end.one_minute)
    }
}

/// Stolen and total jiffies of the first line of `/proc/stat`.
fn stolen(stat: &str) -> (u64, u64) {
    let numbers: Vec<u64> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
    // guest time, behind the eighth, is already counted as user time
    (numbers.get(7).copied().unwrap_or(0), numbers.iter().take(8).sum())
}

/// How evenly the machine works when asked the same thing again and again.
pub struct Noise {
    spin: Spread,
    flush: Option<Spread>,
}

impl Noise {
    /// Takes about two seconds.
    pub fn measure(directory: &Path) -> Self {
        let spin = (0..60).map(|_| timed(spin)).collect();
        Self { spin: Spread::of(spin), flush: flushes(directory).ok().map(Spread::of) }
    }

    pub fn rows(&self) -> String {
        let mut text = format!("| Noise of a fixed sum | {} |\n", self.spin);
        if let Some(flush) = &self.flush {
            let _ = writeln!(text, "| Flush of 4 KiB to disk | {flush} |");
        }
        text
    }
}

fn spin() {
    let mut state = 1_u64;
    for _ in 0..4_000_000 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn flushes(directory: &Path) -> Result<Vec<Duration>> {
    fs::create_dir_all(directory)?;
    let path = directory.join("flush-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        file.rewind()?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

struct Spread {
    median: Duration,
    p95: Duration,
    worst: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get((times.len().saturating_sub(1) as f64 * share).round() as usize).copied().unwrap_or_default();
        Self { median: at(0.5), p95: at(0.95), worst: at(1.0) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let part = (ms(self.p95) / ms(self.median).max(f64::MIN_POSITIVE) - 1.0) * 100.0;
        write!(f, "median {:.2} ms, p95 {:.2} ms (+{part:.0} %), worst {:.2} ms", ms(self.median), ms(self.p95), ms(self.worst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_453), (2025, 12, 31));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn stolen_time_is_the_eighth_number() {
        assert_eq!(stolen("cpu  10 0 5 100 1 0 1 7 3 0\ncpu0 1 1 1 1\n"), (7, 124));
        assert_eq!(stolen(""), (0, 0));
    }

    #[test]
    fn a_spread_orders_its_times() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(spread.worst, Duration::from_millis(100));
        assert_eq!(spread.to_string(), "median 51.00 ms, p95 95.00 ms (+86 %), worst 100.00 ms");
        assert_eq!(Spread::of(Vec::new()).worst, Duration::ZERO);
    }
}
