//! The directory of a relay: its name and secret, what it holds, whom it lets ask, and what is forced off. Nobody else may read it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use greenroom_exposure::wire::follow::{Canonical, Signed};
use greenroom_follow::{instance, replace};
use sha2::{Digest as _, Sha256};

/// What is kept, and where.
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

impl Dir {
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        for made in [path.to_owned(), path.join("snapshots"), path.join("tokens")] {
            DirBuilder::new().recursive(true).mode(0o700).create(made)?;
        }
        Ok(Self(path.to_owned()))
    }

    /// The name that was given, else the one of before, else a new one.
    pub(crate) fn name(&self, given: Option<String>) -> io::Result<String> {
        let known = name(&self.0)?;
        let name = given.or_else(|| known.clone()).unwrap_or_else(|| instance("relay"));
        if known.as_ref() != Some(&name) {
            replace(&self.0.join(NAME), name.as_bytes())?;
        }
        Ok(name)
    }

    /// Signs the addresses of event streams, which a restart shall not make worthless.
    pub(crate) fn secret(&self) -> io::Result<[u8; 32]> {
        let path = self.0.join("secret");
        match std::fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "`secret` does not hold 32 bytes")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
                replace(&path, &bytes)?;
                Ok(bytes)
            }
            Err(error) => Err(error),
        }
    }

    /// The copy of what is followed with a token. Files are named by what it hashes to, since nobody knows its environment yet.
    pub(crate) fn snapshot(&self, token: &str) -> PathBuf {
        self.0.join("snapshots").join(named(token))
    }

    /// Whom to let ask for what is followed with a token.
    pub(crate) fn tickets(&self, token: &str) -> PathBuf {
        self.0.join("tokens").join(named(token))
    }
}

const NAME: &str = "name";

/// What the relay of a directory is called, if there is one.
pub(crate) fn name(data: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(data.join(NAME)) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether some snapshot that is kept has a feature. Its signature does not matter: what is forced off can only take away.
pub(crate) fn has(data: &Path, feature: &str) -> io::Result<bool> {
    for file in std::fs::read_dir(data.join("snapshots"))? {
        let path = file?.path();
        // one that is being written is on its way to another name
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(path)?;
        let signed: Option<Signed<'_>> = serde_json::from_str(&text).ok();
        if signed.and_then(|signed| Canonical::read(signed.snapshot.get()).ok()).is_some_and(|canonical| canonical.has(feature)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn named(token: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>() + ".json"
}
