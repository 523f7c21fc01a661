//! The control plane.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use greenroom_server::config::Config;
use greenroom_server::{BackupError, Doors};

use crate::error::{Exit, Failure};
use crate::logging;

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Directory of the ledger and everything else that is kept
    #[arg(long, value_name = "DIR", env = "GREENROOM_DATA", hide_env_values = true, default_value = "greenroom-data")]
    pub data: PathBuf,
    /// Address to listen on [default: 127.0.0.1:7800]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Configuration [default: greenroom.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Serve {
    pub fn run(self) -> Result<(), Failure> {
        if self.data.exists() && !self.data.is_dir() {
            return Err(Failure::usage(format!("`{}` is not a directory", self.data.display())).hint("name one with --data; it is made if it is not there"));
        }
        let config = Config::load(self.config.as_deref(), &self.data, std::env::vars()).map_err(|error| advised(Exit::Usage, &error, error.remedy()))?;
        logging::start(&config.log.format, &config.log.filter).map_err(|mut failure| {
            let file = self.config.clone().unwrap_or_else(|| self.data.join("greenroom.toml"));
            failure.more.detail = format!("in `{}`, or the variable that goes before it (GREENROOM_LOG__…)", file.display());
            failure
        })?;
        let program = std::env::current_exe().map_err(|e| Failure::new(Exit::Internal, format!("this program's own path is not known: {e}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.server.workers.max(1))
            .enable_all()
            .build()
            .map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        runtime.block_on(async {
            let doors = Doors { http: self.listen.unwrap_or(config.server.listen), flagd: config.flagd };
            let running = greenroom_server::start(&self.data, doors, program).await.map_err(|error| advised(Exit::Failed, &error, error.remedy()))?;
            crate::output::raw(format!("greenroom listens on http://{}\n", running.address).as_bytes());
            for (environment, service, address) in &running.flagd {
                crate::output::raw(format!("flagd's {service} for {environment} listens on {address}\n").as_bytes());
            }
            if let Some(trouble) = &running.trouble {
                crate::output::note(&format!("error: {}; only what was last published is served", chain(trouble)));
                crate::output::note(&format!("  → {}", trouble.remedy().unwrap_or("look at the log")));
            }
            if let Some(token) = &running.first_token {
                crate::output::raw(
                    format!("nobody has joined yet; within one hour, once: greenroom login --server http://{} --name YOU --first-token {token}\n", running.address).as_bytes(),
                );
            }
            stopped().await;
            running.stop().await;
            Ok(())
        })
    }
}

fn advised(exit: Exit, error: &dyn std::error::Error, remedy: Option<&str>) -> Failure {
    let failure = Failure::new(exit, chain(error));
    match remedy {
        Some(remedy) => failure.hint(remedy),
        None => failure,
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, like 127.0.0.1:7800; names are not looked up".to_owned())
}

/// An error with everything below it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = cause.source();
    }
    text
}

/// Copies a data directory: at which event the copy ends, and the chain's hash there.
pub(super) fn copy(data: &Path, to: &Path) -> Result<(u64, String), Failure> {
    let copied = greenroom_server::backup(data, to).map_err(|error| {
        let remedy = match &error {
            BackupError::Invalid(_) => "name the server's data directory with --data, and for the copy a directory that is not there yet",
            other => other.remedy(),
        };
        Failure::new(Exit::Failed, chain(&error)).hint(remedy)
    })?;
    Ok((copied.seq, copied.hash.to_string()))
}

/// TERM or Ctrl-C.
pub(super) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
