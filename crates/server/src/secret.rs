//! API tokens: `gr_<kind>_<32 random bytes in base 62><crc>`. The ledger knows only their SHA-256.

use greenroom_domain::event::TokenKind;
use greenroom_domain::id::Digest;
use sha2::{Digest as _, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub const fn kind_text(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Pat => "pat",
        TokenKind::Ci => "ci",
        TokenKind::Sdk => "sdk",
        TokenKind::Agent => "agent",
        TokenKind::Relay => "relay",
        TokenKind::Web => "web",
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has none, without which nothing here is safe.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    #[expect(clippy::expect_used, reason = "a system without randomness must not issue secrets")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn base62(bytes: &[u8]) -> String {
    // 43 digits hold 32 bytes; each step divides the big number by 62
    let mut number = bytes.to_vec();
    let mut digits = Vec::new();
    while number.iter().any(|b| *b != 0) {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            rest = value % 62;
        }
        digits.push(ALPHABET.get(rest as usize).copied().unwrap_or(b'0'));
    }
    while digits.len() * 6 < bytes.len() * 8 {
        digits.push(b'0');
    }
    digits.reverse();
    String::from_utf8(digits).unwrap_or_default()
}

/// A new secret for a token of `kind`.
#[must_use]
pub fn mint(kind: TokenKind) -> String {
    labelled(kind_text(kind))
}

/// A new secret for the very first sign-in.
#[must_use]
pub fn mint_first() -> String {
    labelled("first")
}

fn labelled(kind: &str) -> String {
    let body = format!("gr_{kind}_{}", base62(&random::<32>()));
    let crc = base62(&crc32fast::hash(body.as_bytes()).to_be_bytes());
    format!("{body}{crc}")
}

/// What the ledger keeps of a secret.
#[must_use]
pub fn hash(secret: &str) -> Digest {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(secret.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    #[expect(clippy::expect_used, reason = "64 hex digits by construction")]
    Digest::new(text).expect("a SHA-256 is a digest")
}

/// Unleash SDKs send the same secret as `*:ENV.gr_sdk_…`.
#[must_use]
pub fn bare(presented: &str) -> &str {
    presented.rfind(".gr_").and_then(|dot| presented.get(dot + 1..)).unwrap_or(presented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_different_and_prefixed() {
        let (a, b) = (mint(TokenKind::Sdk), mint(TokenKind::Sdk));
        assert_ne!(a, b);
        assert!(a.starts_with("gr_sdk_") && a.len() >= 7 + 43 + 5, "{a}");
        assert_eq!(bare(&format!("*:production.{a}")), a);
        assert_eq!(bare(&a), a);
    }
}
