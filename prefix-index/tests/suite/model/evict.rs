//! What the model forgets, and in which order.

use std::net::SocketAddr;

use convoy_prefix_index::{BlockHash, CATCH_UP_BLOCKS_MAX};

use super::{EndpointState, Model};

impl Model {
    /// Evicts until `added` blocks fit, at `address` and in all. `pinned` stays: it is the end of
    /// what the endpoint holds of the chain that needs the room.
    pub(super) fn make_room(&mut self, address: SocketAddr, added: u64, pinned: Option<BlockHash>) {
        while let Some(state) = self.endpoints.get(&address)
            && u64::from(state.capacity_blocks) < state.holdings.len() as u64 + added
            && let Some((_, victim)) = state.victim(pinned)
        {
            self.evict(address, victim);
        }
        while self.parameters.memberships_bound() < self.memberships() + added
            && let Some((owner, victim)) = self.victim_of_all(Some(address), pinned)
        {
            self.evict(owner, victim);
        }
    }

    pub(super) fn shrinking(&self) -> bool {
        self.parameters.memberships_bound() < self.memberships()
            || self.endpoints.values().any(EndpointState::over_capacity)
    }

    /// Evicts a bounded number of blocks where a bound was lowered.
    pub(super) fn catch_up(&mut self) {
        for _ in 0..CATCH_UP_BLOCKS_MAX {
            let over = self.endpoints.iter().find(|(_, state)| state.over_capacity());
            let victim = match over {
                Some((address, state)) => state.victim(None).map(|(_, block)| (*address, block)),
                None if self.parameters.memberships_bound() < self.memberships() => {
                    self.victim_of_all(None, None)
                }
                None => return,
            };
            let Some((address, block)) = victim else { return };
            self.evict(address, block);
        }
    }

    fn victim_of_all(
        &self,
        pinned_at: Option<SocketAddr>,
        pinned: Option<BlockHash>,
    ) -> Option<(SocketAddr, BlockHash)> {
        let victims = self.endpoints.iter().filter_map(|(address, state)| {
            let pinned = pinned.filter(|_| pinned_at == Some(*address));
            let (stamp, block) = state.victim(pinned)?;
            Some((stamp, *address, block))
        });
        victims.min().map(|(_, address, block)| (address, block))
    }

    /// Forgets a leaf. The block that becomes a leaf by it inherits the stamp, if younger.
    fn evict(&mut self, address: SocketAddr, leaf: BlockHash) {
        let parent = self.blocks.get(&leaf).and_then(|block| block.parent);
        let Some(state) = self.endpoints.get_mut(&address) else { return };
        let stamp = state.holdings.remove(&leaf).and_then(|holding| holding.mark);
        let stamp = stamp.unwrap_or_default();
        state.leaves.remove(&(stamp, leaf));
        if let Some(parent) = parent
            && let Some(holding) = state.holdings.get_mut(&parent)
        {
            holding.children -= 1;
            if holding.children == 0 {
                let inherited = holding.mark.map_or(stamp, |own| own.max(stamp));
                holding.mark = Some(inherited);
                state.leaves.insert((inherited, parent));
            }
        }
        self.drop_holder(leaf);
    }
}
