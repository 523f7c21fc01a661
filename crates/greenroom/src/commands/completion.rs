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
        let whole = Cli::command();
        let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        // what is there for programs only is offered to nobody
        let mut offered = clap::Command::new("greenroom").args(whole.get_arguments().cloned()).subcommands(shown);
        clap_complete::generate(self.shell, &mut offered, "greenroom", &mut script);
        output::raw(&script);
        Ok(())
    }
}
