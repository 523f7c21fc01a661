//! Steps run one after the other, each under a heading and with its time; the last line counts them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::workspace::shown;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    /// Could not be run here, and why; never a way to pass.
    Skipped(String),
}

pub struct Step<'a> {
    pub name: String,
    pub run: Box<dyn FnOnce() -> Result<Outcome> + 'a>,
}

impl<'a> Step<'a> {
    pub fn new(name: impl Into<String>, run: impl FnOnce() -> Result<Outcome> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// A step that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub name: String,
    pub outcome: Outcome,
    pub took: Duration,
}

/// Runs every step, also after one has failed: a person wants to see all that is wrong.
pub fn run_all(steps: Vec<Step<'_>>) -> Vec<Ended> {
    let mut ended = Vec::new();
    let count = steps.len();
    for (index, step) in steps.into_iter().enumerate() {
        println!("\n━━ {}/{count} {} ━━", index + 1, step.name);
        let began = Instant::now();
        let outcome = (step.run)().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let took = began.elapsed();
        match &outcome {
            Outcome::Passed => println!("── {}: passed in {}", step.name, seconds(took)),
            Outcome::Failed(why) => println!("── {}: FAILED in {}: {why}", step.name, seconds(took)),
            Outcome::Skipped(why) => println!("── {}: skipped: {why}", step.name),
        }
        ended.push(Ended { name: step.name, outcome, took });
    }
    ended
}

pub fn all_passed(ended: &[Ended]) -> bool {
    ended.iter().all(|step| !matches!(step.outcome, Outcome::Failed(_))) && ended.iter().any(|step| step.outcome == Outcome::Passed)
}

/// One line per step, then the line that counts them.
pub fn summary(ended: &[Ended]) -> String {
    let mut text = String::from("\n━━ summary ━━\n");
    for Ended { name, outcome, took } in ended {
        let (word, why) = match outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed(why) => ("FAILED", format!("  {}", first_line(why))),
            Outcome::Skipped(why) => ("skipped", format!("  {}", first_line(why))),
        };
        let _ = writeln!(text, "{word:>8}  {:>8}  {name}{why}", seconds(*took));
    }
    let count = |wanted: fn(&Outcome) -> bool| ended.iter().filter(|step| wanted(&step.outcome)).count();
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let _ = write!(text, "{} passed, {} failed", count(|outcome| *outcome == Outcome::Passed), count(|outcome| matches!(outcome, Outcome::Failed(_))));
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    let total: Duration = ended.iter().map(|step| step.took).sum();
    let _ = write!(text, " in {}", seconds(total));
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{}:{:02} min", whole / 60, whole % 60),
    }
}

/// Runs a command in the open.
pub fn command(command: &mut Command) -> Result<Outcome> {
    let what = shown(command);
    println!("$ {what}");
    let status = command.status().with_context(|| format!("`{what}` does not start"))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("`{what}` ends with {status}")) })
}

/// Runs a command in the open and keeps what it said: (outcome, exit code, standard output, standard error).
pub fn recorded(command: &mut Command) -> Result<(Outcome, Option<i32>, String, String)> {
    let what = shown(command);
    println!("$ {what}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| format!("`{what}` does not start"))?;
    let out = child.stdout.take().map(|pipe| thread::spawn(|| passed_on(pipe, false)));
    let err = child.stderr.take().map(|pipe| thread::spawn(|| passed_on(pipe, true)));
    let status = child.wait()?;
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let outcome = if status.success() { Outcome::Passed } else { Outcome::Failed(format!("`{what}` ends with {status}")) };
    Ok((outcome, status.code(), text(out), text(err)))
}

/// Prints what comes through the pipe and gives it back at its end.
fn passed_on(pipe: impl Read, to_error: bool) -> String {
    let (mut reader, mut line, mut text) = (BufReader::new(pipe), Vec::new(), String::new());
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        // a closed terminal is no reason to lose the record
        let _ = if to_error { std::io::stderr().write_all(&line) } else { std::io::stdout().write_all(&line) };
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome) -> Ended {
        Ended { name: "fmt".to_owned(), outcome, took: Duration::from_millis(1500) }
    }

    #[test]
    fn the_last_line_counts() {
        let steps = [ended(Outcome::Passed), ended(Outcome::Failed("no\nmore".to_owned())), ended(Outcome::Skipped("absent".to_owned()))];
        let text = summary(&steps);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped in 4.5 s"));
        assert!(text.contains("  FAILED     1.5 s  fmt  no\n"), "{text}");
        assert!(!all_passed(&steps));
    }

    #[test]
    fn nothing_but_skipped_is_not_passed() {
        assert!(!all_passed(&[ended(Outcome::Skipped(String::new()))]));
        assert!(all_passed(&[ended(Outcome::Passed), ended(Outcome::Skipped(String::new()))]));
        assert_eq!(summary(&[ended(Outcome::Passed)]).lines().last(), Some("1 passed, 0 failed in 1.5 s"));
    }

    #[test]
    fn time_is_for_people() {
        assert_eq!(seconds(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(605)), "10:05 min");
    }

    #[test]
    fn what_a_command_says_is_kept() {
        let (outcome, code, out, err) = recorded(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap();
        assert!(matches!(outcome, Outcome::Failed(_)));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(3), "one\n", "two\n"));
    }

    #[test]
    fn a_step_that_cannot_start_has_failed() {
        let ended = run_all(vec![Step::new("x", || command(&mut Command::new("/nonexistent/program")))]);
        assert!(matches!(&ended[0].outcome, Outcome::Failed(why) if why.contains("does not start")));
    }
}
