//! Artifacts: copied next to the processes under their digest, and only if they are what the build says they are.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use greenroom_domain::deployment::build::Artifact;
use greenroom_domain::id::{Digest, Name};
use sha2::{Digest as _, Sha256};

use crate::disk::{beside, create_dir, sync_parent};
use crate::sha256_digest;

/// Why a component's artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("component `{component}`: wanted {wanted}, got {got} from `{uri}`")]
    Digest { component: Name, wanted: String, got: Digest, uri: String },
    #[error("component `{component}`: `{uri}` cannot be fetched here; use a path or a file:// address on this machine")]
    Scheme { component: Name, uri: String },
    #[error("component `{component}`: `{uri}` is a directory; pack it into one file")]
    Directory { component: Name, uri: String },
    #[error("component `{component}`: cannot copy `{uri}`: no such file")]
    Missing { component: Name, uri: String },
    #[error("component `{component}`: cannot copy `{uri}`")]
    Copy {
        component: Name,
        uri: String,
        #[source]
        source: io::Error,
    },
}

impl ArtifactError {
    /// A disk may yet have room; what is missing, or there and wrong, stays so for as long as a deployment waits.
    pub(crate) const fn is_final(&self) -> bool {
        !matches!(self, Self::Copy { .. })
    }
}

/// Path of the artifact under `dir`, copied and verified unless it is there already. Blocks the thread.
pub(crate) fn place(dir: &Path, component: &Name, artifact: &Artifact) -> Result<PathBuf, ArtifactError> {
    let uri = || artifact.uri.clone();
    if let Some(there) = artifact.digests.iter().map(|d| path_of(dir, d)).find(|p| p.is_file()) {
        return Ok(there);
    }
    let source = match artifact.uri.strip_prefix("file://") {
        Some(path) => PathBuf::from(path.strip_prefix("localhost").unwrap_or(path)),
        None if artifact.uri.contains("://") => return Err(ArtifactError::Scheme { component: component.clone(), uri: uri() }),
        None => PathBuf::from(&artifact.uri),
    };
    let copy = |e| ArtifactError::Copy { component: component.clone(), uri: uri(), source: e };
    let mut from = File::open(&source).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ArtifactError::Missing { component: component.clone(), uri: uri() },
        _ => copy(e),
    })?;
    if from.metadata().map_err(copy)?.is_dir() {
        return Err(ArtifactError::Directory { component: component.clone(), uri: uri() });
    }
    create_dir(dir).map_err(|e| copy(e.source))?;
    let new = beside(&dir.join("artifact"));
    let got = copy_hashing(&mut from, &new).map_err(copy);
    let placed = got.and_then(|got| {
        if !artifact.digests.contains(&got) {
            let wanted = artifact.digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(" or ");
            return Err(ArtifactError::Digest { component: component.clone(), wanted, got, uri: uri() });
        }
        let path = path_of(dir, &got);
        fs::rename(&new, &path).and_then(|()| sync_parent(&path)).map_err(copy)?;
        Ok(path)
    });
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed
}

fn path_of(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join(digest.to_string().trim_start_matches("sha256:"))
}

fn copy_hashing(from: &mut File, to: &Path) -> io::Result<Digest> {
    let mut out = File::create(to)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..n).filter(|p| !p.is_empty()) else { break };
        hash.update(piece);
        out.write_all(piece)?;
    }
    out.set_permissions(fs::Permissions::from_mode(0o755))?;
    out.sync_all()?;
    Ok(sha256_digest(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_what_matches_and_refuses_the_rest_by_name() {
        let dir = std::env::temp_dir().join(format!("greenroom-artifact-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let source = dir.join("web");
        fs::write(&source, "abc").unwrap();
        let abc = Digest::new("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let other = Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap();
        let web = Name::new("web").unwrap();
        let artifact = |uri: String, digests: &[&Digest]| Artifact { uri, digests: digests.iter().map(|d| (*d).clone()).collect() };
        let store = dir.join("artifacts");

        let wrong = place(&store, &web, &artifact(source.display().to_string(), &[&other])).unwrap_err();
        assert!(wrong.is_final());
        assert_eq!(wrong.to_string(), format!("component `web`: wanted {other}, got {abc} from `{}`", source.display()));
        assert_eq!(fs::read_dir(&store).unwrap().count(), 0, "nothing is left of it");

        for uri in [source.display().to_string(), format!("file://{}", source.display())] {
            let path = place(&store, &web, &artifact(uri, &[&abc, &other])).unwrap();
            assert_eq!(path, store.join(abc.to_string().trim_start_matches("sha256:")));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
        }
        fs::remove_file(&source).unwrap();
        assert!(place(&store, &web, &artifact("gone".into(), &[&abc])).is_ok(), "what is there needs no source");
        let missing = place(&store, &web, &artifact("gone".into(), &[&other])).unwrap_err();
        assert!(matches!(missing, ArtifactError::Missing { .. }) && missing.is_final(), "{missing}");
        assert!(matches!(place(&store, &web, &artifact("https://x/y".into(), &[&other])), Err(ArtifactError::Scheme { .. })));
        assert!(matches!(place(&store, &web, &artifact(dir.display().to_string(), &[&other])), Err(ArtifactError::Directory { .. })));
        fs::remove_dir_all(&dir).unwrap();
    }
}
