//! Where the command line remembers who is signed in, and to which server: `credentials.toml`, for its owner's eyes only.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Exit, Failure};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Credentials {
    /// The server last signed in to: asked when no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Login>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    pub name: String,
    pub token: String,
}

impl Credentials {
    pub fn load() -> Result<Self, Failure> {
        let path = path()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        toml::from_str(&text).map_err(|error| Failure::usage(format!("`{}` cannot be read: {}", path.display(), error.message())).hint("delete it and sign in again"))
    }

    /// Writes a new file in its place, so that there is never half of one.
    pub fn save(&self) -> Result<PathBuf, Failure> {
        let path = path()?;
        let internal = |error: std::io::Error| Failure::new(Exit::Internal, format!("cannot write `{}`: {error}", path.display()));
        if let Some(dir) = path.parent() {
            let fresh = !dir.exists();
            fs::create_dir_all(dir).map_err(internal)?;
            if fresh {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(internal)?;
            }
        }
        let text = toml::to_string(self).map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        let draft = path.with_extension(format!("toml.{}", std::process::id()));
        let written =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        let placed = written.and_then(|()| fs::rename(&draft, &path));
        if placed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        placed.map_err(internal)?;
        Ok(path)
    }
}

/// `GREENROOM_CONFIG_DIR`, else `greenroom` in the directory for configuration.
fn path() -> Result<PathBuf, Failure> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = var("GREENROOM_CONFIG_DIR").or_else(|| var("XDG_CONFIG_HOME").map(|d| d.join("greenroom"))).or_else(|| var("HOME").map(|d| d.join(".config/greenroom")));
    let dir = dir.ok_or_else(|| Failure::usage("there is no place for credentials: HOME is not set").hint("set GREENROOM_CONFIG_DIR, or give --token"))?;
    Ok(dir.join("credentials.toml"))
}
