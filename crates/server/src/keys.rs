//! The Ed25519 key that signs snapshots, in `keys/` of the data directory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use greenroom_exposure::{Model, Snapshot};

use crate::secret;

/// Signs what leaves the control plane.
pub struct Signer {
    key: SigningKey,
}

impl Signer {
    /// Reads the key, or makes it the first time.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn open(keys: &Path) -> io::Result<Self> {
        Ok(Self { key: SigningKey::from_bytes(&kept(&keys.join("ed25519"))?) })
    }

    /// The public key, base64.
    #[must_use]
    pub fn public(&self) -> String {
        STANDARD.encode(self.key.verifying_key().as_bytes())
    }

    /// `{"snapshot": …, "signature": …}`; the signature covers the bytes of the snapshot as written.
    #[must_use]
    pub fn sign_snapshot(&self, model: &Model) -> Vec<u8> {
        let body = serde_json::to_vec(model).unwrap_or_default();
        let signature = self.signature(&body);
        let mut signed = Vec::with_capacity(body.len() + 140);
        signed.extend_from_slice(b"{\"snapshot\":");
        signed.extend_from_slice(&body);
        signed.extend_from_slice(b",\"signature\":\"");
        signed.extend_from_slice(signature.as_bytes());
        signed.extend_from_slice(b"\"}");
        signed
    }

    fn signature(&self, body: &[u8]) -> String {
        STANDARD.encode(self.key.sign(body).to_bytes())
    }

    /// The snapshot in a file that this key signed.
    #[must_use]
    pub fn open_snapshot(&self, signed: &[u8]) -> Option<Snapshot> {
        #[derive(serde::Deserialize)]
        struct Signed<'a> {
            #[serde(borrow)]
            snapshot: &'a serde_json::value::RawValue,
            signature: String,
        }
        let parsed: Signed<'_> = serde_json::from_slice(signed).ok()?;
        let bytes: [u8; 64] = STANDARD.decode(parsed.signature).ok()?.try_into().ok()?;
        let body = parsed.snapshot.get().as_bytes();
        self.key.verify(body, &ed25519_dalek::Signature::from_bytes(&bytes)).ok()?;
        Snapshot::read(body).ok().map(|(snapshot, _)| snapshot)
    }
}

impl greenroom_delivery::Sign for Signer {
    fn sign(&self, snapshot: &[u8]) -> String {
        self.signature(snapshot)
    }
}

/// 32 secret bytes in a file that only we may read; made the first time.
///
/// # Errors
/// When the file cannot be read or written, or has another length.
pub fn kept(path: &Path) -> io::Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` does not hold 32 bytes", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = secret::random::<32>();
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            Ok(bytes)
        }
        Err(error) => Err(error),
    }
}
