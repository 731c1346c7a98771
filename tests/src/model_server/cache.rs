//! The KV cache of one engine: blocks, who references them, and what is forgotten first.
//!
//! Behaves as vLLM's block pool does (`vllm/v1/core/block_pool.py`). A full block is known by its
//! hash, which names all text before it. A block that nobody references keeps its content and
//! waits in the free queue; the queue's head is what the next allocation takes and forgets. A
//! request gives its blocks back last one first, so a prompt's tail is forgotten before its head,
//! and requests that ended earlier before those that ended later. Blocks never used come before
//! all others. Equal blocks computed side by side are kept side by side; lookups find the first.
//!
//! vLLM keeps one block for padding: of `num_gpu_blocks`, one less can hold tokens.

use std::collections::HashMap;

use super::tokens::BlockHash;

/// One block of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(u32);

#[derive(Debug, Default)]
struct Block {
    hash: Option<BlockHash>,
    references: u32,
    /// Neighbours in the free queue, while nobody references this block.
    earlier: Option<BlockId>,
    later: Option<BlockId>,
    /// The next block with the same hash.
    twin: Option<BlockId>,
}

/// The cache. Memory grows with the blocks that were ever used, up to the capacity.
#[derive(Debug)]
pub struct KvCache {
    capacity: usize,
    /// Whether full blocks are found again.
    prefix_caching: bool,
    /// Blocks that were used at least once; block `n` stands at position `n`.
    blocks: Vec<Block>,
    /// The first block of each hash.
    known: HashMap<BlockHash, BlockId>,
    free_first: Option<BlockId>,
    free_last: Option<BlockId>,
    free_count: usize,
}

impl KvCache {
    /// An empty cache that holds `capacity` blocks.
    pub fn new(capacity: u32, prefix_caching: bool) -> Self {
        Self {
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            prefix_caching,
            blocks: Vec::new(),
            known: HashMap::new(),
            free_first: None,
            free_last: None,
            free_count: 0,
        }
    }

    /// How many blocks fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many blocks requests reference.
    pub fn used(&self) -> usize {
        self.blocks.len() - self.free_count
    }

    /// How many different full blocks a prompt could find.
    pub fn cached(&self) -> usize {
        self.known.len()
    }

    /// How many of `hashes`, from the first on, the cache holds.
    pub fn matched(&self, hashes: &[BlockHash]) -> usize {
        hashes.iter().take_while(|hash| self.known.contains_key(hash)).count()
    }

    /// Grows `held` to `total` blocks: first those that hold `hits`, then blocks to be filled.
    ///
    /// `hits` must be held by the cache, and is empty unless `held` is. False, and nothing
    /// changed, if there are not enough free blocks.
    #[must_use]
    pub fn grow(&mut self, held: &mut Vec<BlockId>, hits: &[BlockHash], total: usize) -> bool {
        debug_assert!(hits.is_empty() || held.is_empty(), "hits stand before all other blocks");
        let found: Vec<BlockId> =
            hits.iter().filter_map(|hash| self.known.get(hash).copied()).collect();
        debug_assert_eq!(found.len(), hits.len(), "hits are looked up in the same step");
        let idle = found.iter().filter(|&&id| self.block(id).references == 0).count();
        let fresh = total.saturating_sub(held.len() + found.len());
        if self.free() < idle + fresh {
            return false;
        }
        // Hits are claimed before anything is taken, so that nothing taken is a hit.
        for id in found {
            self.reference(id);
            held.push(id);
        }
        for _ in 0..fresh {
            held.push(self.take());
        }
        true
    }

    /// Notes that `id`, which its caller references, is full and holds what `hash` names.
    pub fn fill(&mut self, id: BlockId, hash: BlockHash) {
        if !self.prefix_caching {
            return;
        }
        debug_assert!(self.block(id).hash.is_none(), "a block is filled once");
        self.block_mut(id).hash = Some(hash);
        let Some(&first) = self.known.get(&hash) else {
            self.known.insert(hash, id);
            return;
        };
        let mut last = first;
        while let Some(twin) = self.block(last).twin {
            last = twin;
        }
        self.block_mut(last).twin = Some(id);
    }

    /// Gives back what one request held, in the order in which it grew.
    pub fn release(&mut self, held: &[BlockId]) {
        for &id in held.iter().rev() {
            let block = self.block_mut(id);
            block.references = block.references.saturating_sub(1);
            if block.references == 0 {
                self.enqueue(id);
            }
        }
    }

    fn free(&self) -> usize {
        self.capacity - self.used()
    }

    fn reference(&mut self, id: BlockId) {
        if self.block(id).references == 0 {
            self.dequeue(id);
        }
        self.block_mut(id).references += 1;
    }

    /// Takes the block that is the first to be forgotten.
    fn take(&mut self) -> BlockId {
        if self.blocks.len() < self.capacity {
            let id = BlockId(u32::try_from(self.blocks.len()).expect("capacity is a u32"));
            self.blocks.push(Block { references: 1, ..Block::default() });
            return id;
        }
        let id = self.free_first.expect("the caller counted the free blocks");
        self.forget(id);
        self.reference(id);
        id
    }

    fn forget(&mut self, id: BlockId) {
        let Some(hash) = self.block_mut(id).hash.take() else {
            return;
        };
        let heir = self.block_mut(id).twin.take();
        let first = *self.known.get(&hash).expect("a hashed block is known");
        if first == id {
            match heir {
                Some(twin) => self.known.insert(hash, twin),
                None => self.known.remove(&hash),
            };
            return;
        }
        let mut before = first;
        while let Some(twin) = self.block(before).twin.filter(|&twin| twin != id) {
            before = twin;
        }
        self.block_mut(before).twin = heir;
    }

    fn enqueue(&mut self, id: BlockId) {
        let earlier = self.free_last.replace(id);
        let block = self.block_mut(id);
        block.earlier = earlier;
        block.later = None;
        match earlier {
            Some(earlier) => self.block_mut(earlier).later = Some(id),
            None => self.free_first = Some(id),
        }
        self.free_count += 1;
    }

    fn dequeue(&mut self, id: BlockId) {
        let block = self.block_mut(id);
        let (earlier, later) = (block.earlier.take(), block.later.take());
        match earlier {
            Some(earlier) => self.block_mut(earlier).later = later,
            None => self.free_first = later,
        }
        match later {
            Some(later) => self.block_mut(later).earlier = earlier,
            None => self.free_last = earlier,
        }
        self.free_count -= 1;
    }

    fn block(&self, id: BlockId) -> &Block {
        self.blocks.get(id.0 as usize).expect("ids come from this cache")
    }

    fn block_mut(&mut self, id: BlockId) -> &mut Block {
        self.blocks.get_mut(id.0 as usize).expect("ids come from this cache")
    }
}

#[cfg(test)]
mod tests;
