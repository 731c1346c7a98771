//! The obvious designs, for comparison. They neither evict nor let a reader in while they change.

use std::collections::HashMap;

use convoy_prefix_index::BlockHash;

pub(crate) trait Rival {
    fn hold(&mut self, endpoint: u32, chain: &[BlockHash]);
    fn depths(&self, chain: &[BlockHash], depths: &mut [u32]);
    fn memberships(&self) -> u64;
    /// By capacities, with 16 bytes of the allocator's own for each allocation.
    fn bytes(&self) -> usize;
}

/// For each block the endpoints that hold it; a lookup walks the chain block by block.
#[derive(Default)]
pub(crate) struct MapOfSets {
    holders: HashMap<BlockHash, Vec<u32>>,
    memberships: u64,
}

impl Rival for MapOfSets {
    fn hold(&mut self, endpoint: u32, chain: &[BlockHash]) {
        for block in chain {
            let holders = self.holders.entry(*block).or_default();
            if let Err(at) = holders.binary_search(&endpoint) {
                holders.insert(at, endpoint);
                self.memberships += 1;
            }
        }
    }

    fn depths(&self, chain: &[BlockHash], depths: &mut [u32]) {
        depths.fill(0);
        for (before, block) in (0..).zip(chain) {
            let Some(holders) = self.holders.get(block) else { return };
            for &holder in holders {
                if depths[holder as usize] == before {
                    depths[holder as usize] = before + 1;
                }
            }
        }
    }

    fn memberships(&self) -> u64 {
        self.memberships
    }

    fn bytes(&self) -> usize {
        let lists = self.holders.values().map(|holders| 16 + holders.capacity() * 4);
        map_bytes::<Vec<u32>>(self.holders.capacity()) + lists.sum::<usize>()
    }
}

/// Stretches without a branch, each with its holders and a map of what follows; a lookup walks
/// down from the root and compares block by block.
pub(crate) struct RadixTree {
    nodes: Vec<Node>,
    memberships: u64,
}

#[derive(Default)]
struct Node {
    blocks: Vec<BlockHash>,
    /// Who holds how many of the blocks.
    holders: Vec<(u32, u32)>,
    children: HashMap<BlockHash, usize>,
}

impl Default for RadixTree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], memberships: 0 }
    }
}

impl RadixTree {
    fn common(&self, node: usize, chain: &[BlockHash]) -> usize {
        self.nodes[node]
            .blocks
            .iter()
            .zip(chain)
            .take_while(|(block, other)| block == other)
            .count()
    }

    fn enter(&mut self, node: usize, endpoint: u32, len: usize) {
        let holders = &mut self.nodes[node].holders;
        if let Some((_, held)) = holders.iter_mut().find(|(holder, _)| *holder == endpoint) {
            self.memberships += (len as u64).saturating_sub((*held).into());
            *held = (*held).max(len as u32);
        } else {
            self.memberships += len as u64;
            holders.push((endpoint, len as u32));
        }
    }

    fn split(&mut self, node: usize, at: usize) {
        let lower = self.nodes.len();
        let upper = &mut self.nodes[node];
        let blocks = upper.blocks.split_off(at);
        let below = upper.holders.iter().filter(|&&(_, len)| at < len as usize);
        let holders = below.map(|&(endpoint, len)| (endpoint, len - at as u32)).collect();
        for (_, len) in &mut upper.holders {
            *len = (*len).min(at as u32);
        }
        let children = std::mem::take(&mut upper.children);
        upper.children.insert(blocks[0], lower);
        self.nodes.push(Node { blocks, holders, children });
    }
}

impl Rival for RadixTree {
    fn hold(&mut self, endpoint: u32, chain: &[BlockHash]) {
        let (mut node, mut rest) = (0, chain);
        while let Some(first) = rest.first() {
            if let Some(&child) = self.nodes[node].children.get(first) {
                let common = self.common(child, rest);
                if common < self.nodes[child].blocks.len() && common < rest.len() {
                    self.split(child, common);
                }
                self.enter(child, endpoint, common);
                (node, rest) = (child, &rest[common..]);
            } else {
                let child = self.nodes.len();
                self.nodes[node].children.insert(*first, child);
                self.nodes.push(Node { blocks: rest.to_vec(), ..Node::default() });
                self.enter(child, endpoint, rest.len());
                return;
            }
        }
    }

    fn depths(&self, chain: &[BlockHash], depths: &mut [u32]) {
        depths.fill(0);
        let (mut node, mut rest) = (0, chain);
        while let Some(child) = rest.first().and_then(|first| self.nodes[node].children.get(first))
        {
            let common = self.common(*child, rest);
            let before = (chain.len() - rest.len()) as u32;
            for &(endpoint, len) in &self.nodes[*child].holders {
                depths[endpoint as usize] = before + len.min(common as u32);
            }
            if common < self.nodes[*child].blocks.len() {
                return;
            }
            (node, rest) = (*child, &rest[common..]);
        }
    }

    fn memberships(&self) -> u64 {
        self.memberships
    }

    fn bytes(&self) -> usize {
        let nodes = self.nodes.iter().map(|node| {
            let lists = 32 + node.blocks.capacity() * 8 + node.holders.capacity() * 8;
            lists + map_bytes::<usize>(node.children.capacity())
        });
        self.nodes.capacity() * size_of::<Node>() + nodes.sum::<usize>()
    }
}

/// A map of the standard library: one byte more for each slot, seven of eight slots usable.
fn map_bytes<Value>(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { capacity * 8 / 7 * (size_of::<(BlockHash, Value)>() + 1) + 32 }
}
