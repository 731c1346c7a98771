//! The chains of one request's prompts, and how many there may be.

use convoy_prefix_index::{BlockHash, CHAIN_BLOCKS_MAX};

/// Prompts of one request that are looked at, from the first on. Each costs a question to the
/// index, some microseconds in a large pool, and a body of 5 MB has room for 20,000.
pub(super) const PROMPTS_MAX: usize = 128;

/// Blocks of one request that are looked at, all prompts together.
pub(super) const REQUEST_BLOCKS_MAX: usize = CHAIN_BLOCKS_MAX;

/// One chain for each prompt that has a whole block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chains {
    blocks: Vec<BlockHash>,
    /// Where each chain ends in `blocks`.
    ends: Vec<u32>,
}

impl Chains {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[BlockHash]> {
        let ends = self.ends.iter().map(|&end| end as usize);
        let starts = std::iter::once(0).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| self.blocks.get(start..end).unwrap_or_default())
    }

    /// Adds a chain, unless it has no block.
    pub(super) fn push(&mut self, chain: &[BlockHash]) {
        if !chain.is_empty() {
            self.blocks.extend_from_slice(chain);
            self.ends.push(self.blocks());
        }
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.ends.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All blocks, of all chains.
    pub(super) fn blocks(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    /// How many blocks a further chain may have.
    pub(super) fn blocks_left(&self) -> usize {
        if self.ends.len() < PROMPTS_MAX { REQUEST_BLOCKS_MAX - self.blocks.len() } else { 0 }
    }

    /// Memory of a copy.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice()) + size_of_val(self.ends.as_slice())
    }
}

/// How many blocks two chains have in common.
///
/// A block names all before it, so the first difference is searched, not walked to.
pub(super) fn common_blocks(a: &[BlockHash], b: &[BlockHash]) -> u32 {
    if a.first() != b.first() {
        return 0;
    }
    let (mut same, mut most) = (0, a.len().min(b.len()));
    let ends_alike = |blocks: usize| 0 < blocks && a.get(blocks - 1) == b.get(blocks - 1);
    if ends_alike(most) {
        same = most;
    }
    // `same` blocks are alike, and not more than `most`.
    while same < most {
        let middle = (same + most).div_ceil(2);
        if ends_alike(middle) {
            same = middle;
        } else {
            most = middle - 1;
        }
    }
    u32::try_from(same).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(names: &[u64]) -> Vec<BlockHash> {
        names.iter().map(|&name| BlockHash::new(name).unwrap()).collect()
    }

    #[test]
    fn chains_share_their_blocks_up_to_the_first_difference() {
        let chain: Vec<u64> = (1..=9).collect();
        for same in 0..=9 {
            let mut other = chain.clone();
            other.truncate(same);
            other.extend((same as u64..9).map(|at| 100 + at));
            for length in same..=9 {
                let (a, b) = (blocks(&chain), blocks(&other[..length]));
                assert_eq!(common_blocks(&a, &b) as usize, same, "of {length}");
                assert_eq!(common_blocks(&b, &a) as usize, same, "of {length}");
            }
        }
        assert_eq!(common_blocks(&[], &[]), 0);
    }

    #[test]
    fn chains_come_back_as_they_were_put_in_but_for_empty_ones() {
        let mut chains = Chains::default();
        for chain in [&[1, 2][..], &[], &[3]] {
            chains.push(&blocks(chain));
        }
        assert_eq!(chains.iter().collect::<Vec<_>>(), [blocks(&[1, 2]), blocks(&[3])]);
        assert_eq!(chains.blocks(), 3);
    }

    #[test]
    fn a_request_has_room_for_so_many_chains_and_blocks() {
        let mut chains = Chains::default();
        assert_eq!(chains.blocks_left(), REQUEST_BLOCKS_MAX);
        for _ in 0..PROMPTS_MAX {
            assert_ne!(chains.blocks_left(), 0);
            chains.push(&blocks(&[1]));
        }
        assert_eq!(chains.blocks_left(), 0);
        chains.clear();
        chains.push(&vec![BlockHash::new(1).unwrap(); REQUEST_BLOCKS_MAX]);
        assert_eq!(chains.blocks_left(), 0);
    }
}
