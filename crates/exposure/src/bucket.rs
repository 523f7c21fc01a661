//! How a value falls into a bucket: the algorithms behind shares and splits.
//!
//! `m3-100k/1` is murmur3_x86_32 with seed 0 over salt ‖ 0x00 ‖ value, and bucket = (hash · 100 000) ≫ 32.
//! `unleash/1` is murmur3 of `salt:value` mod 100 (Unleash counts the same from 1). `unleash-variant/1` is that over the
//! total weight, with Unleash's own seed for variants. Ids are never changed in place: people would move.

use crate::model::{Algorithm, WHOLE};

const UNLEASH_VARIANT_SEED: u32 = 86_028_157;
/// The total weight of an Unleash variant set, unless its author says otherwise.
const UNLEASH_TOTAL: u32 = 1_000;

/// The bucket of `value` under `salt`: below 100,000 for `m3-100k/1`, below 100 for `unleash/1`, and for
/// `unleash-variant/1` below 1,000, the usual total of such a set's weights.
///
/// Someone is inside a share if their bucket is below it, counted in buckets.
#[must_use]
pub fn bucket(algorithm: Algorithm, salt: &str, value: &str) -> u32 {
    Bucketer::new(algorithm, salt, UNLEASH_TOTAL).bucket(value)
}

/// An algorithm and a salt, with the salt hashed beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Bucketer {
    prefix: Prefix,
    /// The hash modulo this; or, where it is 0, scaled down to [`WHOLE`].
    modulo: u32,
}

impl Bucketer {
    /// `total` counts for `unleash-variant/1` alone.
    pub(crate) fn new(algorithm: Algorithm, salt: &str, total: u32) -> Self {
        let (seed, separator, modulo) = match algorithm {
            Algorithm::M3 => (0, 0, 0),
            Algorithm::Unleash => (0, b':', 100),
            Algorithm::UnleashVariant => (UNLEASH_VARIANT_SEED, b':', total.max(1)),
        };
        Self { prefix: Prefix::new(seed, salt.as_bytes(), separator), modulo }
    }

    pub(crate) fn bucket(&self, value: &str) -> u32 {
        let hash = self.prefix.hash(value.as_bytes());
        match hash.checked_rem(self.modulo) {
            Some(bucket) => bucket,
            None => ((u64::from(hash) * u64::from(WHOLE)) >> 32) as u32,
        }
    }
}

/// murmur3_x86_32 stopped after a prefix, ready to go on with a value.
#[derive(Debug, Clone)]
struct Prefix {
    state: u32,
    /// Up to three bytes which do not fill a block yet, and in the highest byte how many bits they are.
    carry: u32,
    len: u32,
}

impl Prefix {
    /// Of `salt` and the byte behind it.
    fn new(seed: u32, salt: &[u8], separator: u8) -> Self {
        let (blocks, rest) = salt.as_chunks::<4>();
        let state = blocks.iter().fold(seed, |state, block| absorb(state, u32::from_le_bytes(*block)));
        let (carry, bits) = (little_endian(rest) | u32::from(separator) << (8 * rest.len()), 8 * (rest.len() as u32 + 1));
        let (state, carry) = if bits == 32 { (absorb(state, carry), 0) } else { (state, carry | bits << 24) };
        Self { state, carry, len: salt.len() as u32 + 1 }
    }

    #[inline]
    fn hash(&self, value: &[u8]) -> u32 {
        let (blocks, rest) = value.as_chunks::<4>();
        let shift = self.carry >> 24;
        let (mut state, mut carry) = (self.state, u64::from(self.carry & 0x00ff_ffff));
        for block in blocks {
            carry |= u64::from(u32::from_le_bytes(*block)) << shift;
            state = absorb(state, carry as u32);
            carry >>= 32;
        }
        carry |= u64::from(little_endian(rest)) << shift;
        let mut left = shift / 8 + rest.len() as u32;
        if left >= 4 {
            state = absorb(state, carry as u32);
            carry >>= 32;
            left -= 4;
        }
        if left > 0 {
            state ^= scramble(carry as u32);
        }
        finish(state ^ self.len.wrapping_add(value.len() as u32))
    }
}

/// Of up to three bytes.
#[inline]
fn little_endian(bytes: &[u8]) -> u32 {
    let of = |byte: u8, at: u32| u32::from(byte) << (8 * at);
    match *bytes {
        [a] => of(a, 0),
        [a, b] => of(a, 0) | of(b, 1),
        [a, b, c] => of(a, 0) | of(b, 1) | of(c, 2),
        _ => 0,
    }
}

const fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

const fn absorb(state: u32, block: u32) -> u32 {
    (state ^ scramble(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

const fn finish(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn murmur3(seed: u32, bytes: &[u8]) -> u32 {
        Prefix { state: seed, carry: 0, len: 0 }.hash(bytes)
    }

    /// Vectors of Appleby's reference implementation, as published with SMHasher and its ports.
    #[test]
    fn murmur3_matches_the_published_vectors() {
        for (seed, text, hash) in [
            (0, "", 0),
            (1, "", 0x514e_28b7),
            (0xffff_ffff, "", 0x81f1_6f39),
            (0, "test", 0xba6b_d213),
            (0x9747_b28c, "test", 0x704b_81dc),
            (0, "Hello, world!", 0xc036_3e43),
            (0x9747_b28c, "Hello, world!", 0x2488_4cba),
            (0, "The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
            (0x9747_b28c, "The quick brown fox jumps over the lazy dog", 0x2fa8_26cd),
        ] {
            assert_eq!(murmur3(seed, text.as_bytes()), hash, "{text:?} seed {seed:#x}");
        }
    }

    /// From the tests of Unleash's SDKs, which count from 1.
    #[test]
    fn unleash_buckets_match_its_sdks() {
        assert_eq!(bucket(Algorithm::Unleash, "gr1", "123") + 1, 73);
        assert_eq!(bucket(Algorithm::Unleash, "groupX", "999") + 1, 25);
        let of_hundred = |salt, value| Bucketer::new(Algorithm::UnleashVariant, salt, 100).bucket(value) + 1;
        assert_eq!(of_hundred("gr1", "123"), 96);
        assert_eq!(of_hundred("groupX", "999"), 60);
    }

    /// The definition, in one line each; a change here is a new algorithm id.
    #[test]
    fn buckets_follow_their_definition() {
        let hash = murmur3(0, b"checkout\0user-1");
        assert_eq!(u64::from(bucket(Algorithm::M3, "checkout", "user-1")), (u64::from(hash) * 100_000) >> 32);
        assert_eq!(bucket(Algorithm::M3, "checkout", "user-1"), 62_160);
        assert_eq!(bucket(Algorithm::M3, "", ""), 31_759);
    }

    proptest! {
        #[test]
        fn a_prefix_hashed_beforehand_changes_nothing(seed: u32, salt: Vec<u8>, separator: u8, value: Vec<u8>) {
            let whole: Vec<u8> = salt.iter().chain([&separator]).chain(&value).copied().collect();
            prop_assert_eq!(Prefix::new(seed, &salt, separator).hash(&value), murmur3(seed, &whole));
        }
    }
}
