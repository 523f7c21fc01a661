//! Where the command line remembers who is signed in, and to which server: `credentials.toml`, for its owner's eyes only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Self::default()),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        toml::from_str(&text).map_err(|error| Failure::usage(format!("`{}` cannot be read: {}", path.display(), error.message())).hint("delete it and sign in again"))
    }

    /// What could not be kept is better not asked for: fails where [`Credentials::save`] would.
    pub fn ready() -> Result<(), Failure> {
        let path = path()?;
        draft(&path, "").and_then(fs::remove_file).map_err(|error| unwritable(&path, &error))
    }

    /// Writes a new file in its place, so that there is never half of one.
    pub fn save(&self) -> Result<PathBuf, Failure> {
        let path = path()?;
        let text = toml::to_string(self).map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        let placed = draft(&path, &text).and_then(|draft| fs::rename(&draft, &path).inspect_err(|_| drop(fs::remove_file(&draft))));
        placed.map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }
}

/// Writes `text` beside `path`, in a directory that is made if need be.
fn draft(path: &Path, text: &str) -> io::Result<PathBuf> {
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    let draft = path.with_extension(format!("toml.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(&draft)))?;
    Ok(draft)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let dir = path.parent().unwrap_or(path);
    Failure::usage(format!("sign-ins cannot be kept in `{}`: {error}", dir.display()))
        .hint("make that a directory which you may write to, or name another with GREENROOM_CONFIG_DIR")
}

/// `GREENROOM_CONFIG_DIR`, else `greenroom` in the directory for configuration.
fn path() -> Result<PathBuf, Failure> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = var("GREENROOM_CONFIG_DIR").or_else(|| var("XDG_CONFIG_HOME").map(|d| d.join("greenroom"))).or_else(|| var("HOME").map(|d| d.join(".config/greenroom")));
    let dir = dir.ok_or_else(|| Failure::usage("there is no place for credentials: HOME is not set").hint("set GREENROOM_CONFIG_DIR, or give --token"))?;
    Ok(dir.join("credentials.toml"))
}
