//! `SipHash`-1-3 of two words: a keyed function that only the key's owner can compute.
//!
//! Source: Aumasson and Bernstein, "`SipHash`: a fast short-input PRF", 2012; one compression and
//! three finalization rounds. The input's length is fixed, so the loop over it is unrolled.

/// The hash of `first` then `second`, as 16 little-endian bytes, under `key`.
#[inline]
pub(crate) fn prf(key: [u64; 2], first: u64, second: u64) -> u64 {
    let [k0, k1] = key;
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    state.absorb(first);
    state.absorb(second);
    // The last word holds the length, 16, in its top byte.
    state.absorb(16 << 56);
    state.v2 ^= 0xff;
    state.round();
    state.round();
    state.round();
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::prf;

    /// The standard library's default hasher is `SipHash`-1-3 under the zero key.
    #[test]
    fn agrees_with_the_standard_library_under_the_zero_key() {
        for (first, second) in [(0, 0), (1, 2), (u64::MAX, 7), (0x0123_4567_89ab_cdef, u64::MAX)] {
            let mut reference = DefaultHasher::new();
            reference.write(&first.to_le_bytes());
            reference.write(&second.to_le_bytes());
            assert_eq!(prf([0, 0], first, second), reference.finish());
        }
    }
}
