//! The index as maps: obviously right, and slow.
//!
//! It says what every command means. The index proper must answer the same, always.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "short and obvious comes first here"
)]

mod digest;
mod evict;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use convoy_prefix_index::{
    BlockHash, CHAIN_BLOCKS_MAX, Command, ENDPOINTS_MAX, Endpoint, EndpointSlot, Held, Incarnation,
    ORIGINS_MAX, Origin, Outcome, Parameters, Refusal, Sequence, Stamp, Touched,
};

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) parameters: Parameters,
    pub(crate) endpoints: BTreeMap<SocketAddr, EndpointState>,
    /// Every block that an endpoint holds.
    pub(crate) blocks: BTreeMap<BlockHash, Block>,
    pub(crate) origins: BTreeMap<Origin, Sequence>,
    slots_used: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) parent: Option<BlockHash>,
    depth: u32,
    holders: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct EndpointState {
    pub(crate) incarnation: Incarnation,
    slot: EndpointSlot,
    pub(crate) capacity_blocks: u32,
    pub(crate) holdings: BTreeMap<BlockHash, Holding>,
    /// Blocks held without a held child, in the order in which they go.
    leaves: BTreeSet<(Stamp, BlockHash)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    pub(crate) children: u32,
    /// A leaf has one. So has an inner block that was used as a chain's end, younger than any
    /// use of what follows it.
    pub(crate) mark: Option<Stamp>,
}

impl EndpointState {
    fn over_capacity(&self) -> bool {
        (self.capacity_blocks as usize) < self.holdings.len()
    }

    /// The next to go, unless it is `pinned`.
    fn victim(&self, pinned: Option<BlockHash>) -> Option<(Stamp, BlockHash)> {
        self.leaves.iter().copied().find(|&(_, block)| Some(block) != pinned)
    }

    /// Stamps the end of a chain of which `path` is what this endpoint holds.
    fn mark(&mut self, path: &[BlockHash], stamp: Stamp) {
        let Some((&end, ancestors)) = path.split_last() else { return };
        for ancestor in ancestors {
            let Some(holding) = self.holdings.get_mut(ancestor) else { continue };
            if holding.mark.is_some_and(|mark| mark <= stamp) {
                holding.mark = None;
            }
        }
        let Some(holding) = self.holdings.get_mut(&end) else { return };
        if holding.children == 0 {
            if let Some(old) = holding.mark {
                self.leaves.remove(&(old, end));
            }
            self.leaves.insert((holding.mark.map_or(stamp, |old| old.max(stamp)), end));
        }
        holding.mark = Some(holding.mark.map_or(stamp, |old| old.max(stamp)));
    }
}

impl Model {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            endpoints: BTreeMap::new(),
            blocks: BTreeMap::new(),
            origins: BTreeMap::new(),
            slots_used: 0,
        }
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        let result = match command {
            Command::Joined { endpoint, replaces, capacity_blocks } => {
                self.join(*endpoint, *replaces, *capacity_blocks)
            }
            Command::Left { endpoint } => self.leave(endpoint),
            Command::CapacityChanged { endpoint, capacity_blocks } => {
                self.find(endpoint).map(|state| {
                    state.capacity_blocks = *capacity_blocks;
                    Outcome::CapacityChanged
                })
            }
            Command::Held(held) => self.hold(held),
            Command::Touched(touched) => self.touch(touched),
            Command::OriginRetired { origin } => {
                self.origins.remove(origin);
                Ok(Outcome::OriginRetired)
            }
            Command::ParametersChanged(parameters) => Ok(self.change_parameters(parameters)),
        };
        self.catch_up();
        result.unwrap_or_else(Outcome::Refused)
    }

    pub(crate) fn slot(&self, endpoint: &Endpoint) -> Option<EndpointSlot> {
        let state = self.endpoints.get(&endpoint.address())?;
        (state.incarnation == endpoint.incarnation()).then_some(state.slot)
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots_used as usize
    }

    /// Blocks of `chain` that each endpoint holds.
    pub(crate) fn depths(&self, chain: &[BlockHash], depths: &mut [u32]) -> usize {
        depths.fill(0);
        for state in self.endpoints.values() {
            let held = chain.iter().take_while(|block| state.holdings.contains_key(block)).count();
            if let Some(depth) = depths.get_mut(state.slot.0 as usize) {
                *depth = u32::try_from(held).unwrap_or(u32::MAX);
            }
        }
        self.known_depth(chain)
    }

    pub(crate) fn known_depth(&self, chain: &[BlockHash]) -> usize {
        chain.iter().take_while(|block| self.blocks.contains_key(block)).count()
    }

    pub(crate) fn memberships(&self) -> u64 {
        self.endpoints.values().map(|state| state.holdings.len() as u64).sum()
    }

    fn find(&mut self, endpoint: &Endpoint) -> Result<&mut EndpointState, Refusal> {
        let state = self.endpoints.get_mut(&endpoint.address()).ok_or(Refusal::UnknownEndpoint)?;
        if state.incarnation != endpoint.incarnation() {
            return Err(Refusal::OtherIncarnation { current: state.incarnation });
        }
        Ok(state)
    }

    fn join(
        &mut self,
        endpoint: Endpoint,
        replaces: Option<Incarnation>,
        capacity_blocks: u32,
    ) -> Result<Outcome, Refusal> {
        match self.endpoints.get(&endpoint.address()).map(|state| state.incarnation) {
            Some(current) if current == endpoint.incarnation() => {
                return Err(Refusal::AlreadyJoined);
            }
            Some(current) if Some(current) != replaces => {
                return Err(Refusal::OtherIncarnation { current });
            }
            Some(_) => self.remove(endpoint.address()),
            None if replaces.is_some() => return Err(Refusal::UnknownEndpoint),
            None if self.endpoints.len() == ENDPOINTS_MAX => {
                return Err(Refusal::TooManyEndpoints);
            }
            None => {}
        }
        let slot = self.next_slot();
        let state = EndpointState {
            incarnation: endpoint.incarnation(),
            slot,
            capacity_blocks,
            holdings: BTreeMap::new(),
            leaves: BTreeSet::new(),
        };
        self.endpoints.insert(endpoint.address(), state);
        Ok(Outcome::Joined { slot })
    }

    fn leave(&mut self, endpoint: &Endpoint) -> Result<Outcome, Refusal> {
        self.find(endpoint)?;
        self.remove(endpoint.address());
        Ok(Outcome::Left)
    }

    fn next_slot(&mut self) -> EndpointSlot {
        self.slots_used += 1;
        EndpointSlot(self.slots_used - 1)
    }

    fn remove(&mut self, address: SocketAddr) {
        let Some(state) = self.endpoints.remove(&address) else { return };
        for block in state.holdings.keys() {
            self.drop_holder(*block);
        }
    }

    fn drop_holder(&mut self, block: BlockHash) {
        if let Some(known) = self.blocks.get_mut(&block) {
            known.holders -= 1;
            if known.holders == 0 {
                self.blocks.remove(&block);
            }
        }
    }

    fn change_parameters(&mut self, parameters: &Parameters) -> Outcome {
        let emptied = self.parameters.hash != parameters.hash;
        self.parameters = parameters.clone();
        if emptied {
            self.blocks.clear();
            for state in self.endpoints.values_mut() {
                state.holdings.clear();
                state.leaves.clear();
                state.slot = EndpointSlot(self.slots_used);
                self.slots_used += 1;
            }
        }
        Outcome::ParametersChanged { emptied }
    }

    fn note_sequence(&mut self, origin: Origin, sequence: Sequence) -> Result<(), Refusal> {
        if self.origins.len() == ORIGINS_MAX && !self.origins.contains_key(&origin) {
            return Err(Refusal::TooManyOrigins);
        }
        match self.origins.get(&origin) {
            Some(&highest) if sequence <= highest => Err(Refusal::RepeatedSequence { highest }),
            Some(_) | None => {
                self.origins.insert(origin, sequence);
                Ok(())
            }
        }
    }

    /// The blocks from the first to `end`; `None` when nobody holds it.
    fn path(&self, end: BlockHash) -> Option<Vec<BlockHash>> {
        let mut path = Vec::with_capacity(self.blocks.get(&end)?.depth as usize);
        let mut next = Some(end);
        while let Some(block) = next {
            path.push(block);
            next = self.blocks.get(&block)?.parent;
        }
        path.reverse();
        Some(path)
    }

    fn touch(&mut self, touched: &Touched) -> Result<Outcome, Refusal> {
        self.note_sequence(touched.origin, touched.sequence)?;
        self.find(&touched.endpoint)?;
        let path = self.path(touched.block).ok_or(Refusal::MissingBase)?;
        let state = self.find(&touched.endpoint)?;
        let depth = path.iter().take_while(|block| state.holdings.contains_key(block)).count();
        if depth == 0 {
            return Err(Refusal::NotHeld);
        }
        state.mark(&path[..depth], touched.stamp);
        Ok(Outcome::Touched { depth_blocks: depth as u32 })
    }

    fn hold(&mut self, held: &Held) -> Result<Outcome, Refusal> {
        self.note_sequence(held.origin, held.sequence)?;
        self.find(&held.endpoint)?;
        if self.shrinking() {
            return Err(Refusal::Shrinking);
        }
        let (mut path, below_base) = match held.base {
            Some(base) => {
                let path = self.path(base).ok_or(Refusal::MissingBase)?;
                let depth = path.len();
                (path, depth)
            }
            None => (Vec::new(), 0),
        };
        if path.is_empty() && held.hashes.is_empty() {
            return Err(Refusal::EmptyChain);
        }
        if CHAIN_BLOCKS_MAX < below_base + held.hashes.len() {
            return Err(Refusal::ChainTooLong);
        }
        self.check_consistent(held)?;
        path.extend(&held.hashes);

        let memberships_max = self.parameters.memberships_bound();
        let state = self.find(&held.endpoint)?;
        let limit = u64::from(state.capacity_blocks).min(memberships_max);
        let cut = limit < path.len() as u64;
        if cut {
            path.truncate(limit as usize);
        }
        let depth = path.iter().take_while(|block| state.holdings.contains_key(block)).count();
        let pinned = depth.checked_sub(1).map(|last| path[last]);
        let added = path.len() - depth;
        self.make_room(held.endpoint.address(), added as u64, pinned);
        if held.base.is_some_and(|base| !self.blocks.contains_key(&base)) {
            return Err(Refusal::MissingBase);
        }
        self.add(held.endpoint.address(), &path, depth);
        self.find(&held.endpoint)?.mark(&path, held.stamp);
        Ok(Outcome::Held { depth_blocks: path.len() as u32, added: added as u32, cut })
    }

    /// Each block after the base is unknown, or known to follow its predecessor.
    fn check_consistent(&self, held: &Held) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        let mut parent = held.base;
        for (at, block) in (0..).zip(&held.hashes) {
            let elsewhere = self.blocks.get(block).is_some_and(|known| known.parent != parent);
            if elsewhere || !seen.insert(*block) {
                return Err(Refusal::Inconsistent { at });
            }
            parent = Some(*block);
        }
        Ok(())
    }

    /// Adds what follows the first `depth` blocks of `path`, the first of them first.
    fn add(&mut self, address: SocketAddr, path: &[BlockHash], depth: usize) {
        let Some(state) = self.endpoints.get_mut(&address) else { return };
        for at in depth..path.len() {
            let parent = at.checked_sub(1).map(|before| path[before]);
            if let Some(holding) = parent.and_then(|parent| state.holdings.get_mut(&parent)) {
                holding.children += 1;
                if holding.children == 1
                    && let (Some(mark), Some(parent)) = (holding.mark, parent)
                {
                    state.leaves.remove(&(mark, parent));
                }
            }
            state.holdings.insert(path[at], Holding::default());
            let fresh = Block { parent, depth: at as u32 + 1, holders: 0 };
            self.blocks.entry(path[at]).or_insert(fresh).holders += 1;
        }
    }
}
