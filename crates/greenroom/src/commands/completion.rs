//! Completion scripts.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::error::Failure;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Completion {
    /// Shell to complete in
    shell: Shell,
}

impl Completion {
    #[expect(clippy::unnecessary_wraps, reason = "a command like the others")]
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "greenroom", &mut script);
        output::raw(&script);
        Ok(())
    }
}
