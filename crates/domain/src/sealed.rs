//! Sealed text: the chain holds a hash, the text lives in a side table and can be erased.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::Digest;

/// `sha256(nonce ‖ content)`. Once nonce and content are erased, the hash says nothing and the chain still verifies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub Digest);

/// What the side table keeps for one [`Sealed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    pub sealed: Sealed,
    pub nonce: [u8; 16],
    pub content: String,
}

impl Seal {
    #[must_use]
    pub fn new(nonce: [u8; 16], content: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(nonce);
        hash.update(content.as_bytes());
        Self { sealed: Sealed(crate::id::digest_of(hash)), nonce, content: content.to_owned() }
    }

    /// Whether `content` is what was sealed.
    #[must_use]
    pub fn verifies(&self) -> bool {
        Self::new(self.nonce, &self.content).sealed == self.sealed
    }
}
