//! The relay, and what its operator may do when nobody who decides can be reached.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::time::Span;
use greenroom_relay::{Admission, Key, OffError, Options, Port, Service, unix_now};
use serde_json::json;

use super::serve::{address, chain, stopped};
use crate::context::Global;
use crate::error::{Exit, Failure};
use crate::logging;

const DIR: &str = "greenroom-relay";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Relay {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The control plane to follow, or another relay
    #[arg(long, value_name = "URL", required = true)]
    upstream: Option<String>,
    /// Authorities that an https:// upstream is checked against, in PEM form [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// A relay token of the control plane; once for each environment
    #[arg(long = "upstream-token", value_name = "TOKEN", env = "GREENROOM_RELAY_TOKENS", hide_env_values = true, value_delimiter = ',', required = true)]
    tokens: Vec<String>,
    /// The public key of the control plane: what it has not signed is not served
    #[arg(long, value_name = "KEY", required = true)]
    public_key: Option<Key>,
    /// Directory of everything that is kept
    #[arg(long, value_name = "DIR", default_value = DIR)]
    data: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7801", value_parser = address)]
    listen: SocketAddr,
    /// Port for flagd's providers that ask, by environment; by custom 8013
    #[arg(long, value_name = "ENV=ADDR", value_parser = port)]
    flagd_evaluation: Vec<(Name, SocketAddr)>,
    /// Port for flagd's providers that evaluate in their own process; by custom 8015
    #[arg(long, value_name = "ENV=ADDR", value_parser = port)]
    flagd_sync: Vec<(Name, SocketAddr)>,
    /// Let whoever reaches them use flagd's ports, also those that do not listen on this machine alone
    #[arg(long)]
    flagd_open: bool,
    /// What it is called where relays are listed [default: as before, or by chance]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Force a feature off for whoever asks through this relay; needs --reason
    Off {
        /// Its key
        feature: FeatureKey,
        /// For how long: 24h at most
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        lasting: Span,
        /// Directory of the relay
        #[arg(long, value_name = "DIR", default_value = DIR)]
        data: PathBuf,
    },
    /// Take back what was forced off
    Lift {
        /// Its key
        feature: FeatureKey,
        /// Directory of the relay
        #[arg(long, value_name = "DIR", default_value = DIR)]
        data: PathBuf,
    },
}

impl Relay {
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        match self.verb {
            Some(verb) => verb.run(global),
            None => self.serve(),
        }
    }

    /// Whoever is on this machine may use them; others need a token, unless it was said otherwise.
    fn ports(&self) -> Vec<Port> {
        let of = |service, ports: &[(Name, SocketAddr)]| -> Vec<Port> {
            let admission = |address: &SocketAddr| if self.flagd_open || address.ip().is_loopback() { Admission::Anyone } else { Admission::ByToken };
            ports.iter().map(|(environment, address)| Port { environment: environment.to_string(), service, address: *address, admission: admission(address) }).collect()
        };
        of(Service::Evaluation, &self.flagd_evaluation).into_iter().chain(of(Service::Sync, &self.flagd_sync)).collect()
    }

    fn serve(self) -> Result<(), Failure> {
        let flagd = self.ports();
        let Self { upstream: Some(upstream), upstream_ca: authorities, tokens, public_key: Some(key), data, listen, name, .. } = self else {
            return Err(Failure::usage("say whom to follow, with --upstream and --public-key"));
        };
        logging::start("auto", "info")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        runtime.block_on(async {
            let options = Options { name, flagd, authorities, ..Options::new(upstream, tokens, key, data, listen) };
            let running = greenroom_relay::start(options).await.map_err(|e| Failure::new(Exit::Failed, chain(&e)))?;
            crate::output::raw(format!("greenroom relay `{}` listens on http://{}\n", running.name, running.address).as_bytes());
            for port in &running.flagd {
                crate::output::raw(format!("flagd's {} for {} listens on {}\n", port.service, port.environment, port.address).as_bytes());
            }
            stopped().await;
            running.stop().await;
            Ok(())
        })
    }
}

/// `production=127.0.0.1:8013`.
fn port(text: &str) -> Result<(Name, SocketAddr), String> {
    let (environment, address) = text.split_once('=').ok_or_else(|| "write an environment and an address, as in test=127.0.0.1:8013".to_owned())?;
    Ok((environment.parse().map_err(|error| format!("{error}"))?, address.parse().map_err(|_| format!("`{address}` is not an address like 127.0.0.1:8013"))?))
}

impl Verb {
    fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Off { feature, lasting, data } => {
                let reason = global.reason.as_deref().ok_or_else(|| Failure::usage("say why, with --reason").hint("the control plane shows it to those who decide"))?;
                // what is negative lasts no time
                let lasting = Duration::from_micros(u64::try_from(lasting.0).unwrap_or_default());
                let forced = greenroom_relay::off(&data, feature.as_str(), lasting, reason, unix_now()).map_err(|error| refused(&error))?;
                match global.json {
                    true => crate::output::json(&forced),
                    false => crate::output::raw(format!("{feature} is off for all who ask through {}, for {} s\n", forced.relay, lasting.as_secs()).as_bytes()),
                }
            }
            Self::Lift { feature, data } => {
                let lifted = greenroom_relay::lift(&data, feature.as_str(), unix_now()).map_err(|error| refused(&error))?;
                match global.json {
                    true => crate::output::json(&json!({"feature": feature.as_str(), "lifted": lifted})),
                    false if lifted => crate::output::raw(format!("{feature} is as the control plane has it\n").as_bytes()),
                    false => return Err(Failure::new(Exit::NotFound, format!("{feature} was not forced off"))),
                }
            }
        }
        Ok(())
    }
}

fn refused(error: &OffError) -> Failure {
    let failure = |exit| Failure::new(exit, chain(error));
    match error {
        OffError::NoRelay(_) => failure(Exit::NotFound).hint("name its directory with --data"),
        OffError::NoFeature(_) => failure(Exit::NotFound),
        OffError::TooLong => failure(Exit::Usage),
        OffError::File { .. } => failure(Exit::Failed),
    }
}
