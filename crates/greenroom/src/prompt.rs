//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Exit, Failure};
use crate::output;

/// A password: from `GREENROOM_PASSWORD`, else the first line of standard input, typed unseen on a terminal.
pub fn password(prompt: &str) -> Result<String, Failure> {
    if let Ok(password) = std::env::var("GREENROOM_PASSWORD") {
        return Ok(password);
    }
    new_password(prompt)
}

/// A password for someone else: `GREENROOM_PASSWORD` is one's own.
pub fn new_password(prompt: &str) -> Result<String, Failure> {
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        output::ask(prompt);
    }
    let unseen = terminal.then(Unseen::new).flatten();
    let line = line();
    drop(unseen);
    if terminal {
        output::note("");
    }
    let password = line?;
    if password.is_empty() {
        return Err(Failure::usage("no password was given").hint("type it, send it on standard input, or set GREENROOM_PASSWORD"));
    }
    Ok(password)
}

/// Yes or no; `--yes` and scripts are not asked.
pub fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    output::ask(&format!("{question} [y/N] "));
    if matches!(line()?.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::new(Exit::Failed, "nothing was changed")) }
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| Failure::usage(format!("cannot read standard input: {e}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Typing is not shown while this lives.
struct Unseen(Termios);

impl Unseen {
    fn new() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
