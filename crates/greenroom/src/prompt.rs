//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _};

use greenroom_api::requests::PASSWORD_LENGTH;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::context::Global;
use crate::error::{Exit, Failure};
use crate::output;

/// One's own password: from `GREENROOM_PASSWORD`, else the first line of standard input, typed unseen on a terminal.
pub fn password(prompt: &str) -> Result<String, Failure> {
    given("GREENROOM_PASSWORD").map_or_else(|| typed(prompt, "GREENROOM_PASSWORD"), Ok)
}

/// One's own first password, as [`password`]; on a terminal it is typed twice.
pub fn chosen_password(prompt: &str) -> Result<String, Failure> {
    given("GREENROOM_PASSWORD").map_or_else(|| typed_twice(prompt, "GREENROOM_PASSWORD"), Ok)
}

/// A password for someone: never the one in `GREENROOM_PASSWORD`, which is one's own.
pub fn new_password(prompt: &str) -> Result<String, Failure> {
    given("GREENROOM_NEW_PASSWORD").map_or_else(|| typed_twice(prompt, "GREENROOM_NEW_PASSWORD"), Ok)
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn typed_twice(prompt: &str, variable: &str) -> Result<String, Failure> {
    let password = typed(&format!("{prompt} ({PASSWORD_LENGTH} characters at least): "), variable)?;
    if password.chars().count() < PASSWORD_LENGTH {
        return Err(Failure::usage(format!("the password has fewer than {PASSWORD_LENGTH} characters")).hint("choose a longer one; nothing was changed"));
    }
    if std::io::stdin().is_terminal() && typed("once more: ", variable)? != password {
        return Err(Failure::usage("that was not the same twice").hint("type it again; nothing was changed"));
    }
    Ok(password)
}

fn typed(prompt: &str, variable: &str) -> Result<String, Failure> {
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
        return Err(Failure::usage("no password was given").hint(format!("type it, send it on standard input, or set {variable}")));
    }
    Ok(password)
}

/// Whether there is somebody to ask.
pub fn may_ask(global: &Global) -> bool {
    std::io::stdin().is_terminal() && !global.json
}

/// Asks before something is lost; `--yes` is the answer in advance. Where nobody can be asked nothing is done without it,
/// and `loses` says what it would be.
pub fn confirm(loses: &str, question: &str, global: &Global) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if !may_ask(global) {
        return Err(Failure::usage(format!("{loses}, and there is no terminal to ask on")).hint("look at it with --dry-run, then repeat it with --yes"));
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
