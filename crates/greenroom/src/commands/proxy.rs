//! The proxy that holds stable addresses. Started by the process driver, and outlives the server.

use std::path::PathBuf;

use crate::error::{Exit, Failure};

/// Serve the addresses of a routes file
#[derive(Debug, clap::Args)]
pub struct Proxy {
    /// File of routes, read again whenever it changes
    #[arg(long, value_name = "FILE")]
    routes: PathBuf,
}

impl Proxy {
    pub fn run(self) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(deeper) = cause {
                message = format!("{message}: {deeper}");
                cause = deeper.source();
            }
            Failure::new(Exit::Internal, message)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
        runtime.block_on(greenroom_drivers::proxy::run(self.routes)).map_err(|e| failed(&e))
    }
}
