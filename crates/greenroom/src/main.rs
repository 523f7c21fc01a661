//! The one binary: the server (`serve`), everything people do with it, and the proxy that holds stable addresses.

mod commands;
mod context;
mod credentials;
mod demo;
mod error;
mod logging;
mod output;
mod prompt;
mod show;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

use error::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--json") => {
            output::failure(&error::Failure::misused(&error.to_string()), true, output::When::Never);
            return ExitCode::from(Exit::Usage as u8);
        }
        Err(error) => error.exit(),
    };
    let json = cli.global.json;
    let color = cli.global.color;
    match commands::run(cli).and_then(|()| output::shown()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, json, color);
            ExitCode::from(failure.exit as u8)
        }
    }
}
