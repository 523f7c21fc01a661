//! The real program: servers that end with their test, and commands.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A server or relay; ended with the test.
pub struct Program {
    child: Child,
    /// Where it says that it listens, without scheme.
    pub address: String,
    /// What it said until then and right after.
    pub said: String,
}

/// The program, as somebody with a home of their own.
pub fn greenroom(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command
        .args(args)
        .env("GREENROOM_CONFIG_DIR", home)
        .env("GREENROOM_PASSWORD", "correct horse")
        .env_remove("GREENROOM_TOKEN")
        .env_remove("GREENROOM_SERVER")
        .stdin(Stdio::null());
    command
}

impl Program {
    /// `more`: how many lines follow the one with the address.
    pub fn start(home: &Path, args: &[&str], more: usize) -> Self {
        Self::logging(home, args, more, Stdio::null())
    }

    pub fn logging(home: &Path, args: &[&str], more: usize, log: impl Into<Stdio>) -> Self {
        let mut child = greenroom(home, args).stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut said, mut address) = (String::new(), None);
        let mut left = more + 1;
        while left > 0 {
            let line = lines.next().expect("it starts").expect("text");
            if let Some((_, rest)) = line.split_once("listens on http://") {
                address = Some(rest.to_owned());
            }
            if address.is_some() {
                left -= 1;
            }
            said.push_str(&line);
            said.push('\n');
        }
        Self { child, address: address.expect("it listens"), said }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
