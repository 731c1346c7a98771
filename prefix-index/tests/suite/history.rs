//! Random histories of commands, friendly and hostile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use convoy_prefix_index::{
    BlockHash, Command, Endpoint, HashParams, HashVersion, Held, Incarnation, Origin, Parameters,
    Sequence, Stamp, Touched,
};

use crate::model::Model;

/// How the names of blocks relate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// As hashing gives them.
    Spread,
    /// All for one segment of the table, which has room for some hundred.
    OneSegment,
    /// All for one line of it.
    OneLine,
}

/// What a history is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) names: Names,
    pub(crate) endpoints: u16,
    /// The longest chain.
    pub(crate) blocks_max: usize,
    /// Ways to go on after each block.
    pub(crate) branches: u64,
    pub(crate) capacity_max: u32,
    pub(crate) memberships_max: u64,
    /// True when chains are as long as they may be, and differ in the last block alone.
    pub(crate) alike: bool,
    /// Steps of logical time between commands are less than this.
    pub(crate) stamp_step: u64,
    /// True when some commands name blocks out of order, as no hashing does.
    pub(crate) lies: bool,
}

/// Makes commands that suit what an index holds.
#[derive(Debug)]
pub(crate) struct History {
    shape: Shape,
    random: fastrand::Rng,
    now: u64,
    sequence: u64,
    last: Vec<BlockHash>,
}

impl History {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { shape, random, now: 1000, sequence: 0, last: Vec::new() }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        parameters(0, self.shape.memberships_max)
    }

    pub(crate) fn command(&mut self, model: &Model) -> Command {
        self.now += self.random.u64(..self.shape.stamp_step);
        match self.random.u32(..1000) {
            0..600 => self.held(model),
            600..800 => self.touched(),
            800..900 => Command::Joined {
                endpoint: self.endpoint(),
                replaces: self.random.bool().then(|| Incarnation(self.random.u64(..3))),
                capacity_blocks: self.capacity(),
            },
            900..920 => Command::Left { endpoint: self.endpoint() },
            920..960 => Command::CapacityChanged {
                endpoint: self.endpoint(),
                capacity_blocks: self.capacity(),
            },
            960..990 => {
                let key = u8::from(self.random.u32(..8) == 0);
                let most = self.random.u64(..self.shape.memberships_max * 2);
                Command::ParametersChanged(parameters(key, most))
            }
            _ => Command::OriginRetired { origin: self.origin() },
        }
    }

    /// A chain to ask for: often one that was held, or shares blocks with it.
    pub(crate) fn chain(&mut self) -> Vec<BlockHash> {
        if self.shape.alike {
            return self.chain_alike();
        }
        let length = match self.random.u32(..10) {
            0 => 1,
            1 => self.shape.blocks_max,
            _ => self.random.usize(1..=self.shape.blocks_max),
        };
        // All but the last blocks of the chain before, now and then.
        let shared = match self.random.u32(..4) {
            0 => self.last.len().saturating_sub(1),
            1 => self.random.usize(..=self.last.len()),
            2 => self.last.len(),
            _ => 0,
        };
        let mut chain: Vec<BlockHash> = self.last.iter().copied().take(shared).collect();
        let straight = self.random.u32(..3) != 0;
        while chain.len() < length {
            let branch = if straight { 0 } else { self.random.u64(..self.shape.branches) };
            let parent = chain.last().map_or(0, |block| block.get());
            chain.push(self.name(parent, branch));
        }
        self.last.clone_from(&chain);
        chain
    }

    fn chain_alike(&mut self) -> Vec<BlockHash> {
        let mut chain = Vec::new();
        while chain.len() < self.shape.blocks_max {
            let parent = chain.last().map_or(0, |block: &BlockHash| block.get());
            let is_last = chain.len() + 1 == self.shape.blocks_max;
            let branch = if is_last { self.random.u64(..self.shape.branches) } else { 0 };
            chain.push(self.name(parent, branch));
        }
        chain
    }

    pub(crate) fn held(&mut self, model: &Model) -> Command {
        let chain = self.chain();
        let known = match self.random.u32(..20) {
            // A proposer whose index was older, or newer, or wrong.
            0 => self.random.usize(..=chain.len()),
            _ => model.known_depth(&chain),
        };
        let (before, after) = chain.split_at(known);
        let mut hashes = after.to_vec();
        if self.shape.lies && self.random.u32(..30) == 0 {
            self.random.shuffle(&mut hashes);
        }
        if self.shape.lies && self.random.u32(..30) == 0 {
            hashes.extend(before.first());
        }
        let (origin, sequence) = (self.origin(), self.sequence());
        let (endpoint, stamp) = (self.endpoint(), self.stamp());
        Command::Held(Held {
            endpoint,
            base: before.last().copied(),
            hashes,
            stamp,
            origin,
            sequence,
        })
    }

    fn touched(&mut self) -> Command {
        let chain = self.chain();
        let block = chain[self.random.usize(..chain.len())];
        let (origin, sequence) = (self.origin(), self.sequence());
        let (endpoint, stamp) = (self.endpoint(), self.stamp());
        Command::Touched(Touched { endpoint, block, stamp, origin, sequence })
    }

    /// Every endpoint, in its first life.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = Endpoint> + use<> {
        (0..self.shape.endpoints).map(|number| endpoint(number, Incarnation(0)))
    }

    pub(crate) fn endpoint(&mut self) -> Endpoint {
        let number = self.random.u16(..self.shape.endpoints);
        // Mostly the first life, so that commands mostly meet it.
        endpoint(number, Incarnation(self.random.u64(..8) / 7))
    }

    fn capacity(&mut self) -> u32 {
        match self.random.u32(..10) {
            0 => 0,
            _ => self.random.u32(..=self.shape.capacity_max),
        }
    }

    fn origin(&mut self) -> Origin {
        Origin { replica: self.random.u64(..3), start: 7 }
    }

    fn sequence(&mut self) -> Sequence {
        self.sequence += self.random.u64(..3);
        let back = if self.random.u32(..50) == 0 { 2 } else { 0 };
        Sequence(self.sequence.saturating_sub(back))
    }

    fn stamp(&mut self) -> Stamp {
        Stamp(self.now - self.random.u64(..self.shape.stamp_step * 3))
    }

    fn name(&self, parent: u64, branch: u64) -> BlockHash {
        let spread = scatter(parent.wrapping_mul(31).wrapping_add(branch + 1));
        let value = match self.shape.names {
            Names::Spread => spread,
            // The table finds a home by the bits of `scatter`: 32 for the segment, 6 for the line.
            Names::OneSegment => gather(0x1234_5678 << 32 | (spread & 0xffff_ffff)),
            Names::OneLine => gather(0x1234_5678 << 32 | (spread & 0xffff_ffc0) | 9),
        };
        BlockHash::new(value).unwrap_or(BlockHash::new(1).unwrap())
    }
}

fn endpoint(number: u16, incarnation: Incarnation) -> Endpoint {
    let ip = if number.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    Endpoint::new(SocketAddr::new(ip, 8000 + number), incarnation)
}

pub(crate) fn parameters(key: u8, memberships_max: u64) -> Parameters {
    let hash = HashParams::new([key; 16], 256, HashVersion::V1).unwrap();
    Parameters { hash, memberships_max }
}

/// The bijection that the table spreads names with: the finalizer of `SplitMix64`.
fn scatter(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Its inverse.
fn gather(value: u64) -> u64 {
    let value = (value ^ value >> 31 ^ value >> 62).wrapping_mul(0x3196_42b2_d24d_8ec3);
    let value = (value ^ value >> 27 ^ value >> 54).wrapping_mul(0x96de_1b17_3f11_9089);
    value ^ value >> 30 ^ value >> 60
}

#[test]
fn gather_undoes_scatter() {
    for value in [1, 2, u64::MAX, 0x0123_4567_89ab_cdef] {
        assert_eq!(gather(scatter(value)), value);
    }
}
