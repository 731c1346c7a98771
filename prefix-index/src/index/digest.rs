//! Whether two indexes hold the same, in eight bytes.
//!
//! An endpoint's holdings are all that lies before its marked blocks, so marks (block, stamp)
//! say everything. Each mark's hash is added to a sum as it comes and taken off as it goes; the
//! rest is little, and hashed when asked.

use std::net::SocketAddr;

use super::{Index, SlotState};
use crate::{BlockHash, Endpoint, Parameters, Stamp, hash::prf};

/// Tells whether two indexes hold the same: holdings, stamps, sequences and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

/// What a mark adds to its endpoint's sum.
pub(super) fn mark(block: BlockHash, stamp: Stamp) -> u64 {
    fold(&[block.get(), stamp.0])
}

impl Index {
    /// The digest of everything replicas agree on.
    pub fn digest(&self) -> Digest {
        self.digest_with(|_, state| state.marks)
    }

    /// The same from scratch, reading every mark: for audits.
    pub fn audit_digest(&self) -> Digest {
        self.digest_with(|slot, state| {
            let leaves = state.heap.leaves().map(|(stamp, run)| mark(self.leaf(slot, run), stamp));
            let pending = state.pending.iter().map(|(&block, &stamp)| mark(block, stamp));
            leaves.chain(pending).fold(0, u64::wrapping_add)
        })
    }

    /// The digest of what one endpoint holds, its incarnation and its capacity.
    pub fn endpoint_digest(&self, endpoint: &Endpoint) -> Option<Digest> {
        let state = self.slot_state(self.slot(endpoint)?.0);
        Some(Digest(state.digest(state.marks)))
    }

    fn digest_with(&self, marks: impl Fn(u32, &SlotState) -> u64) -> Digest {
        let Parameters { hash, memberships_max } = &self.parameters;
        let mut digest = fold(&[
            u64::from(hash.version().number()) << 32 | u64::from(hash.block_bytes()),
            hash.key_id(),
            *memberships_max,
            self.live.len() as u64,
        ]);
        for &slot in self.live.values() {
            let state = self.slot_state(slot);
            digest = extend(digest, &[state.digest(marks(slot, state))]);
        }
        digest = extend(digest, &[self.origins.len() as u64]);
        for (origin, sequence) in &self.origins {
            digest = extend(digest, &[origin.replica, origin.start, sequence.0]);
        }
        Digest(digest)
    }

    /// The name of the leaf that ends a slot's share of a run.
    pub(super) fn leaf(&self, slot: u32, run: super::RunId) -> BlockHash {
        let index = self.store.find_holder(run, slot).expect("a leaf has a holder");
        self.store.name(run, self.store.holder(run, index).0.len)
    }
}

impl SlotState {
    fn digest(&self, marks: u64) -> u64 {
        let [family, high, low] = address_words(self.endpoint.address());
        let incarnation = self.endpoint.incarnation().0;
        let capacity = self.capacity_blocks.into();
        fold(&[family, high, low, incarnation, capacity, self.memberships, marks])
    }
}

fn address_words(address: SocketAddr) -> [u64; 3] {
    match address {
        SocketAddr::V4(v4) => [4 << 16 | u64::from(v4.port()), v4.ip().to_bits().into(), 0],
        SocketAddr::V6(v6) => {
            let bits = v6.ip().to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "takes the low half on purpose")]
            let (high, low) = ((bits >> 64) as u64, bits as u64);
            [6 << 16 | u64::from(v6.port()), high, low]
        }
    }
}

fn fold(words: &[u64]) -> u64 {
    extend(0, words)
}

fn extend(digest: u64, words: &[u64]) -> u64 {
    words.iter().fold(digest, |digest, &word| prf([0, 0], digest, word))
}
