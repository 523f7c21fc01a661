//! A build and a release, all the way.

use std::path::PathBuf;

use crate::context::Global;
use crate::demo;
use crate::error::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "It plays with the example shop, so it runs inside a checkout of Greenroom, and builds the shop's programs there with cargo unless --prebuilt.
Ctrl-C, or the end of its process by SIGTERM or SIGHUP, stops everything it started.")]
pub struct Demo {
    /// Shorten soak and dwell, and do not pause between steps
    #[arg(long)]
    pub fast: bool,
    /// End after the story, with exit code 0 if all of it went as told
    #[arg(long)]
    pub once: bool,
    /// Directory for everything the demo makes; emptied first
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub dir: PathBuf,
    /// First of the ports it listens on: the server here, services up to 99 above
    #[arg(long, value_name = "PORT", default_value = "7800", value_parser = port)]
    pub port: u16,
    /// Use the shop's programs beside this one instead of building them
    #[arg(long)]
    pub prebuilt: bool,
    /// Play the kill matrix instead: the server dies at every point, again and again
    #[arg(long, hide = true)]
    pub kill_matrix: bool,
    /// Deployments under which the matrix kills at a moment that it draws, twice each
    #[arg(long, hide = true, value_name = "N", default_value = "3")]
    pub kills: usize,
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a port, 1 to 65535".to_owned())
}

impl Demo {
    pub fn run(self, _global: &Global) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        runtime.block_on(demo::run(&self)).map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))
    }
}
