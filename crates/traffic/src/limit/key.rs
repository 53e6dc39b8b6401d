//! Who is counted, as 64 bits.

/// Who is counted. Two callers share a key by chance only (one pair in 2^64), and nobody can look for such a pair without
/// the process's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub(super) u64);

impl Key {
    /// The one key of a table that counts everybody together.
    pub const SHARED: Self = Self(0);
}

/// What keys are hashed with. Drawn anew for every process: whoever does not know it can neither aim at another's record
/// nor crowd one stripe of a table. It has no `Debug`.
#[derive(Clone)]
pub struct Secret {
    k0: u64,
    k1: u64,
}

impl Secret {
    /// The secret made of these random bytes.
    #[must_use]
    pub fn new(seed: [u8; 16]) -> Self {
        let seed = u128::from_le_bytes(seed);
        Self { k0: seed as u64, k1: (seed >> 64) as u64 }
    }

    /// The key of whoever these bytes name.
    #[inline]
    #[must_use]
    pub fn key(&self, who: &[u8]) -> Key {
        Key(sip::<1, 3>(self.k0, self.k1, who))
    }
}

/// SipHash (Aumasson and Bernstein, 2012) with `C` rounds a word and `D` at the end. 1-3 is what the standard library's
/// maps use; its own implementation takes no key from outside.
#[inline]
fn sip<const C: usize, const D: usize>(k0: u64, k1: u64, bytes: &[u8]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut take = |word: u64| {
        state[3] ^= word;
        (0..C).for_each(|_| round(&mut state));
        state[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    // The last word: what is left of the bytes, and how many there were in its highest byte.
    let last = rest.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte));
    take(last | (bytes.len() as u64) << 56);
    state[2] ^= 0xff;
    (0..D).for_each(|_| round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        // The standard library keeps SipHash-2-4 with keys, deprecated: good enough to check all but the round counts.
        #[test]
        #[allow(deprecated, reason = "the only keyed SipHash at hand to compare with")]
        fn the_hash_is_siphash(k0: u64, k1: u64, bytes: Vec<u8>) {
            let mut theirs = std::hash::SipHasher::new_with_keys(k0, k1);
            theirs.write(&bytes);
            prop_assert_eq!(sip::<2, 4>(k0, k1, &bytes), theirs.finish());
        }
    }

    #[test]
    fn another_secret_gives_another_key() {
        let [one, other] = [Secret::new([1; 16]), Secret::new([2; 16])];
        assert_eq!(one.key(b"passenger"), Secret::new([1; 16]).key(b"passenger"));
        assert_ne!(one.key(b"passenger"), other.key(b"passenger"));
        assert_ne!(one.key(b""), one.key(b"\0"));
    }
}
