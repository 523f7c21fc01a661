//! Addresses of event streams: good for one asker and a limited time, and worth nothing else.
//!
//! `hex(expiry ‖ asker ‖ page ‖ |id| ‖ id ‖ environment) . hex(HMAC-SHA-256, first half)`. Values never travel on a stream, so what
//! a stolen address tells is *that* something changed.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::gate::Scope;

/// What an address says about who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub environment: Arc<str>,
    /// Of the token that it was issued to.
    pub id: Arc<str>,
    pub asker: u64,
    /// Whether the asker is a page.
    pub page: bool,
    /// Seconds since 1970.
    pub expires: u64,
}

impl Ticket {
    pub(super) fn new(scope: &Scope, asker: u64, expires: u64) -> Self {
        Self { environment: Arc::clone(&scope.environment), id: Arc::clone(&scope.id), asker, page: !scope.follows, expires }
    }

    pub(super) fn sign(&self, secret: &[u8; 32]) -> String {
        let mut payload = Vec::with_capacity(64);
        payload.extend_from_slice(&self.expires.to_le_bytes());
        payload.extend_from_slice(&self.asker.to_le_bytes());
        payload.push(u8::from(self.page));
        payload.extend_from_slice(&(self.id.len() as u64).to_le_bytes());
        payload.extend_from_slice(self.id.as_bytes());
        payload.extend_from_slice(self.environment.as_bytes());
        let mut token = String::with_capacity(2 * payload.len() + 33);
        write_hex(&mut token, &payload);
        token.push('.');
        write_hex(&mut token, &mac(secret, &payload));
        token
    }

    /// `None` unless we signed it.
    pub(super) fn verify(token: &str, secret: &[u8; 32]) -> Option<Self> {
        let (payload, given) = token.split_once('.')?;
        let (payload, given) = (read_hex(payload)?, read_hex(given)?);
        let ours = mac(secret, &payload);
        // All bytes are compared, wherever the first difference is.
        let differing = ours.iter().zip(&given).fold(0, |differing, (one, other)| differing | (one ^ other));
        if given.len() != ours.len() || differing != 0 {
            return None;
        }
        let (expires, rest) = payload.split_first_chunk::<8>()?;
        let (asker, rest) = rest.split_first_chunk::<8>()?;
        let (page, rest) = rest.split_first()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (id, environment) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Self {
            environment: str::from_utf8(environment).ok()?.into(),
            id: str::from_utf8(id).ok()?.into(),
            asker: u64::from_le_bytes(*asker),
            page: *page != 0,
            expires: u64::from_le_bytes(*expires),
        })
    }
}

/// HMAC-SHA-256 (RFC 2104), cut to 128 bits.
fn mac(secret: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(secret).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    let outer: [u8; 32] = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into();
    let (first, _) = outer.as_chunks::<16>();
    first.first().copied().unwrap_or_default()
}

pub(super) fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket { environment: "production".into(), id: "tok_1".into(), asker: 7, page: true, expires: 1_000 }
    }

    #[test]
    fn only_what_we_signed_is_believed() {
        let token = ticket().sign(&[1; 32]);
        assert_eq!(Ticket::verify(&token, &[1; 32]), Some(ticket()));
        assert_eq!(Ticket::verify(&token, &[2; 32]), None);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(Ticket::verify(str::from_utf8(&forged).unwrap(), &[1; 32]), None, "byte {at}");
        }
        for cut in 0..token.len() {
            assert_eq!(Ticket::verify(&token[..cut], &[1; 32]), None);
        }
    }

    /// RFC 4231, test case 1, with its key of 20 bytes padded by zeros as HMAC itself does.
    #[test]
    fn the_mac_is_hmac_sha_256() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mut hex = String::new();
        write_hex(&mut hex, &mac(&key, b"Hi There"));
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b");
    }
}
