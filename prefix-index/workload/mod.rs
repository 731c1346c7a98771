//! Workloads: what a pool of model servers is asked, made from a seed.
//!
//! Tests and benches include this file, so that both mean the same by each name.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use convoy_prefix_index::{
    BlockHash, Command, Endpoint, HashParams, HashVersion, Held, Incarnation, Index, IndexReader,
    Origin, Outcome, Parameters, Sequence, Stamp,
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Conversations of this many turns over 2,048 blocks. One in eight turns moves to another
    /// endpoint. The first 128 blocks are one of 16 system prompts.
    Conversations { turns: usize },
    /// Agents that fork: a trunk of 256 blocks, steps of 32 blocks, each from one of the last
    /// eight steps of its tree, up to 2,048 blocks deep; any endpoint may take a step.
    AgentTrees,
    /// Chains of three blocks that share nothing.
    ThreeBlocks,
    /// 128 documents of 2,048 blocks that every endpoint holds to a depth of its own.
    Documents,
}

/// A stream of requests.
#[derive(Debug)]
pub(crate) struct Workload {
    kind: Kind,
    endpoints: usize,
    random: fastrand::Rng,
    /// Conversations or trees under way: where each went on last, and its chain so far.
    open: Vec<(usize, Vec<BlockHash>)>,
    fresh: u64,
}

/// Conversations and trees under way at once.
const OPEN: usize = 512;
pub(crate) const LONG: usize = 2048;

impl Workload {
    pub(crate) fn new(kind: Kind, endpoints: usize, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { kind, endpoints, random, open: Vec::new(), fresh: seed << 40 }
    }

    /// The next request: the endpoint that takes it, and its chain.
    pub(crate) fn request(&mut self) -> (usize, Vec<BlockHash>) {
        let endpoint = self.random.usize(..self.endpoints);
        match self.kind {
            Kind::Conversations { turns } => self.turn(endpoint, turns),
            Kind::AgentTrees => (endpoint, self.step()),
            Kind::ThreeBlocks => {
                self.fresh += 1;
                (endpoint, go_on(&[], self.fresh, 3))
            }
            Kind::Documents => {
                let document = self.random.u64(..128);
                let mut chain = go_on(&[], document, LONG);
                chain.truncate(self.random.usize(1..=LONG));
                (endpoint, chain)
            }
        }
    }

    /// A chain of which nothing is known.
    pub(crate) fn cold(&mut self, blocks: usize) -> Vec<BlockHash> {
        self.fresh += 1;
        go_on(&[], self.fresh | 1 << 62, blocks)
    }

    fn turn(&mut self, endpoint: usize, turns: usize) -> (usize, Vec<BlockHash>) {
        if self.open.len() < OPEN {
            let system = go_on(&[], self.random.u64(..16), 128);
            self.open.push((endpoint, system));
        }
        let at = self.random.usize(..self.open.len());
        let (mut served_by, before) = self.open.swap_remove(at);
        if self.random.u32(..8) == 0 {
            served_by = endpoint;
        }
        self.fresh += 1;
        let chain = go_on(&before, self.fresh, (LONG - 128).div_ceil(turns));
        if chain.len() < LONG {
            self.open.push((served_by, chain.clone()));
        }
        (served_by, chain)
    }

    fn step(&mut self) -> Vec<BlockHash> {
        self.fresh += 1;
        if self.open.len() < OPEN {
            let trunk = go_on(&[], self.fresh, 256);
            self.open.extend((0..8).map(|_| (0, trunk.clone())));
        }
        // The eight steps that a tree can go on from lie side by side.
        let tree = self.random.usize(..self.open.len() / 8) * 8;
        let from = tree + self.random.usize(..8);
        let to = tree + self.random.usize(..8);
        let chain = self.open.get(from).map(|(_, before)| go_on(before, self.fresh, 32));
        let chain = chain.unwrap_or_default();
        if LONG <= chain.len() {
            self.open.drain(tree..tree + 8);
        } else if let Some((_, open)) = self.open.get_mut(to) {
            open.clone_from(&chain);
        }
        chain
    }
}

/// `before`, and `blocks` more that only this `branch` of it has.
pub(crate) fn go_on(before: &[BlockHash], branch: u64, blocks: usize) -> Vec<BlockHash> {
    let mut chain = before.to_vec();
    let mut name = scatter(before.last().map_or(0, |block| block.get()) ^ scatter(branch));
    for _ in 0..blocks {
        name = scatter(name.wrapping_add(0x9e37_79b9_7f4a_7c15));
        chain.extend(BlockHash::new(name));
    }
    chain
}

fn scatter(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

pub(crate) fn parameters(memberships_max: u64) -> Parameters {
    let hash = HashParams::new([7; 16], 256, HashVersion::V1).expect("256 is a block size");
    Parameters { hash, memberships_max }
}

pub(crate) fn endpoint(number: usize) -> Endpoint {
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).expect("few endpoints"));
    Endpoint::new(SocketAddr::V4(SocketAddrV4::new(ip, 8000)), Incarnation(1))
}

/// An index, and what is needed to propose to it.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) index: Index,
    pub(crate) reader: IndexReader,
    sequence: u64,
}

impl Filled {
    pub(crate) fn new(endpoints: usize, capacity_blocks: u32, memberships_max: u64) -> Self {
        let mut index = Index::new(parameters(memberships_max));
        for number in 0..endpoints {
            let endpoint = endpoint(number);
            index.apply(&Command::Joined { endpoint, replaces: None, capacity_blocks });
        }
        let reader = index.reader();
        Self { index, reader, sequence: 0 }
    }

    /// The command that a replica with this index proposes for a request.
    pub(crate) fn propose(&mut self, (number, chain): &(usize, Vec<BlockHash>)) -> Command {
        self.sequence += 1;
        let known = self.reader.known_depth(chain) as usize;
        let (before, after) = chain.split_at(known);
        Command::Held(Held {
            endpoint: endpoint(*number),
            base: before.last().copied(),
            hashes: after.to_vec(),
            stamp: Stamp(self.sequence / 8),
            origin: Origin { replica: 1, start: 1 },
            sequence: Sequence(self.sequence),
        })
    }

    /// Applies requests until this many memberships are held.
    pub(crate) fn fill(&mut self, workload: &mut Workload, memberships: u64) {
        while self.reader.statistics().memberships < memberships {
            let request = workload.request();
            let command = self.propose(&request);
            let outcome = self.index.apply(&command);
            assert!(matches!(outcome, Outcome::Held { .. }), "{outcome:?}");
        }
    }
}
