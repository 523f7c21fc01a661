//! The one binary: the server (`serve`), everything people do with it, and the proxy that holds stable addresses.

mod commands;
mod context;
mod credentials;
mod demo;
mod error;
mod output;
mod prompt;
mod show;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let json = cli.global.json;
    let color = cli.global.color;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, json, color);
            ExitCode::from(failure.exit as u8)
        }
    }
}
