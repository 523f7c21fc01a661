//! `greenroom.toml`: how this process runs. What changes a decision is an event or a manifest, never a setting here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use greenroom_domain::id::Name;
use serde::Deserialize;

/// Settings with their defaults; each key can be overridden as `GREENROOM_SERVER__LISTEN` and so on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    /// Ports for flagd's providers; without an entry there are none.
    pub flagd: Vec<Flagd>,
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// Threads that handle requests of the control plane and write event streams. Evaluations have their own.
    pub workers: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7800)), workers: 2 }
    }
}

/// flagd's services for one environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flagd {
    pub environment: Name,
    /// Where it is asked; by custom port 8013.
    #[serde(default)]
    pub evaluation: Option<SocketAddr>,
    /// Where definitions are handed out; by custom port 8015.
    #[serde(default)]
    pub sync: Option<SocketAddr>,
    /// Must be said where others than this machine's programs can come.
    #[serde(default)]
    pub admission: Option<Admission>,
}

/// Who may use a port of flagd's. Most of its providers cannot present a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    Anyone,
    Token,
}

impl Flagd {
    /// # Errors
    /// If a port that others can reach does not say for whom it is.
    pub fn admission(&self) -> Result<Admission, ConfigError> {
        let open = self.evaluation.into_iter().chain(self.sync).find(|address| !address.ip().is_loopback());
        match (self.admission, open) {
            (Some(admission), _) => Ok(admission),
            (None, None) => Ok(Admission::Anyone),
            (None, Some(address)) => Err(ConfigError::Admission { environment: self.environment.clone(), address }),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `json`, `text`, or `auto`: text on a terminal, JSON elsewhere.
    pub format: String,
    /// As in `info,greenroom_server=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: "auto".to_owned(), filter: "info".to_owned() }
    }
}

/// Why the configuration does not read; names file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("`{}` cannot be read", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}`: {source}", file.display())]
    Parse {
        file: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("flagd's port {address} for `{environment}` can be reached from elsewhere: say `admission = \"token\"`, or \"anyone\" if only friends can come there")]
    Admission { environment: Name, address: SocketAddr },
    #[error("`{name}` is not a setting with that value: {why}")]
    Variable { name: String, why: String },
}

impl ConfigError {
    /// What the operator can do, where the error does not say it.
    #[must_use]
    pub const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => Some("name a file with --config that this user may read, or leave it out: a server runs without"),
            Self::Parse { .. } | Self::Variable { .. } => Some("docs/running.md has every setting"),
            Self::Admission { .. } => None,
        }
    }
}

impl Config {
    /// Reads `file` (absent: `greenroom.toml` in `data`, if there) and the environment.
    ///
    /// # Errors
    /// With file, line and column.
    pub fn load(file: Option<&Path>, data: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let default = data.join("greenroom.toml");
        let path = file.unwrap_or(&default);
        let mut config = match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|source| ConfigError::Parse { file: path.to_owned(), source: Box::new(source) })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => Self::default(),
            Err(source) => return Err(ConfigError::Read { file: path.to_owned(), source }),
        };
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("GREENROOM_").filter(|k| k.contains("__")) else { continue };
            config.set(key, &value).map_err(|why| ConfigError::Variable { name, why })?;
        }
        for ports in &config.flagd {
            ports.admission()?;
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "SERVER__LISTEN" => self.server.listen = value.parse().map_err(|_| format!("`{value}` is not an address like 127.0.0.1:7800"))?,
            "SERVER__WORKERS" => self.server.workers = value.parse().map_err(|_| format!("`{value}` is not a number"))?,
            "LOG__FORMAT" => value.clone_into(&mut self.log.format),
            "LOG__FILTER" => value.clone_into(&mut self.log.filter),
            _ => return Err("there is no such setting".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_names_its_place() {
        let dir = std::env::temp_dir().join(format!("greenroom-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("greenroom.toml");
        std::fs::write(&file, "[server]\nlisen = \"127.0.0.1:1\"\n").unwrap();
        let error = Config::load(Some(&file), &dir, std::iter::empty()).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("lisen"), "{error}");
        std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let variables = [("GREENROOM_SERVER__LISTEN".to_owned(), "127.0.0.1:2".to_owned())];
        assert_eq!(Config::load(Some(&file), &dir, variables.into_iter()).unwrap().server.listen.port(), 2);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_port_for_everyone_is_opened_knowingly() {
        let ports = |more: &str| toml::from_str::<Config>(&format!("[[flagd]]\nenvironment = \"test\"\n{more}")).unwrap().flagd[0].admission();
        assert_eq!(ports("sync = \"127.0.0.1:8015\"").unwrap(), Admission::Anyone);
        assert_eq!(ports("sync = \"10.0.0.1:8015\"\nadmission = \"anyone\"").unwrap(), Admission::Anyone);
        assert!(ports("sync = \"10.0.0.1:8015\"").unwrap_err().to_string().contains("10.0.0.1:8015"));
    }
}
