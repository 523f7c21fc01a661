//! The public key that an application pins: what it does not verify is not believed, whoever sent it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

/// An Ed25519 public key, as `GET /api/v1/keys` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(VerifyingKey);

/// A text is no Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes of Ed25519 in base64, as `GET /api/v1/keys` shows it")]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let bytes: [u8; 32] = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NoKey)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| NoKey)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&STANDARD.encode(self.0.as_bytes())).finish()
    }
}

impl Key {
    /// Whether `signature`, base64, is this key's over `bytes`.
    #[must_use]
    pub fn signed(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(bytes, &Signature::from_bytes(&signature)).is_ok())
    }
}
