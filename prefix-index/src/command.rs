//! What changes an index, and what each change answers.
//!
//! Commands are the entries of a replicated log. Each is total: whatever it says, it is carried
//! out or refused, the same way everywhere.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::hash::{BlockHash, HashParams};

/// One life of an endpoint's engine process. Its cache starts empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// An endpoint in one of its lives. Ordered by address, then incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    address: SocketAddr,
    incarnation: Incarnation,
}

impl Endpoint {
    /// Flow labels and scopes of IPv6 addresses are dropped: they name no other endpoint.
    pub fn new(address: SocketAddr, incarnation: Incarnation) -> Self {
        let address = match address.ip() {
            IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, address.port())),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, address.port(), 0, 0)),
        };
        Self { address, incarnation }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

/// Where a reader finds an endpoint's depth in its buffer. Small and dense.
///
/// Slots belong to one index, not to the log: two replicas may number endpoints differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSlot(pub u32);

/// Logical time, as the log's leader gives it. Larger is younger; the unit is the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// One life of a replica, as the maker of sightings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub replica: u64,
    /// Drawn at random when the replica starts.
    pub start: u64,
}

/// Numbers the commands of one origin. Rises; gaps are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// What all replicas of an index agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// How text becomes names.
    pub hash: HashParams,
    /// The most (block, endpoint) pairs held, over all endpoints.
    pub memberships_max: u64,
}

impl Parameters {
    /// [`Parameters::memberships_max`], as far as an index can be that large.
    pub fn memberships_bound(&self) -> u64 {
        self.memberships_max.min(MEMBERSHIPS_MAX)
    }
}

/// One change of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An endpoint joined the pool, or came back in a new life.
    ///
    /// `replaces` is compared and set: it must be the incarnation known at that address, and
    /// `None` when none is known.
    Joined { endpoint: Endpoint, replaces: Option<Incarnation>, capacity_blocks: u32 },
    /// An endpoint left the pool. All it held is forgotten.
    Left { endpoint: Endpoint },
    /// An endpoint can hold another number of blocks.
    CapacityChanged { endpoint: Endpoint, capacity_blocks: u32 },
    /// An endpoint holds the chain that ends with `base` and, after it, `hashes`.
    Held(Held),
    /// An endpoint was sent the chain that ends with `block`, which it is believed to hold.
    Touched(Touched),
    /// An origin is dead; its sequence is forgotten.
    OriginRetired { origin: Origin },
    /// Parameters changed. Other hash parameters empty the index: its names mean nothing in them.
    ParametersChanged(Parameters),
}

/// An endpoint holds a chain. See [`Command::Held`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub endpoint: Endpoint,
    /// The deepest block that the proposer's index knew of any endpoint; `None` before the first.
    pub base: Option<BlockHash>,
    /// The blocks after `base`, in order. None if the whole chain is known of others.
    pub hashes: Vec<BlockHash>,
    /// When the chain was used. An older stamp never takes the place of a younger one.
    pub stamp: Stamp,
    /// Who says so.
    pub origin: Origin,
    /// Its number there. Not above the origin's highest, the command is refused.
    pub sequence: Sequence,
}

/// An endpoint used a chain again. See [`Command::Touched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    pub endpoint: Endpoint,
    /// The last block of the chain. The endpoint may hold less of it: then the last it holds is
    /// stamped.
    pub block: BlockHash,
    /// When the chain was used. An older stamp never takes the place of a younger one.
    pub stamp: Stamp,
    /// Who says so.
    pub origin: Origin,
    /// Its number there. Not above the origin's highest, the command is refused.
    pub sequence: Sequence,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint is counted at `slot` from now on.
    Joined { slot: EndpointSlot },
    /// The endpoint has no depth any more. Its slot is given out again after [`Index::release`].
    ///
    /// [`Index::release`]: crate::Index::release
    Left,
    /// If it holds more than its new capacity, this command and the next ones evict the rest.
    CapacityChanged,
    /// The chain is held, or as much of it as fits.
    Held {
        /// Blocks of the chain that the endpoint holds now.
        depth_blocks: u32,
        /// Memberships that this command added.
        added: u32,
        /// True when the chain was cut to the capacity.
        cut: bool,
    },
    /// The chain is stamped.
    Touched {
        /// Blocks of the chain that the endpoint holds.
        depth_blocks: u32,
    },
    /// The origin is not known, and its sequences may begin anew.
    OriginRetired,
    /// The parameters are in force.
    ParametersChanged {
        /// True when the index was emptied. Every endpoint has a new slot then.
        emptied: bool,
    },
    /// Nothing is held or known that was not before.
    Refused(Refusal),
}

/// Why a command added and stamped nothing. The origin's sequence is noted all the same, unless
/// that is what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Wait until it has joined; or it has left.
    #[error("no endpoint has this address")]
    UnknownEndpoint,
    /// The command is of another life of the endpoint, or compares with another.
    #[error("the endpoint at this address is of incarnation {}", current.0)]
    OtherIncarnation { current: Incarnation },
    /// This life of the endpoint is in the pool.
    #[error("the endpoint joined before")]
    AlreadyJoined,
    /// There is room when another has left.
    #[error("more than {ENDPOINTS_MAX} endpoints")]
    TooManyEndpoints,
    /// There is room when another is retired.
    #[error("more than {ORIGINS_MAX} origins")]
    TooManyOrigins,
    /// The command was applied before, or one that its origin made later was.
    #[error("the origin's sequence {} was applied before", highest.0)]
    RepeatedSequence { highest: Sequence },
    /// The block to go on from is not known, or was evicted to make room for this very command.
    /// Offer the whole chain, once.
    #[error("no endpoint holds the base")]
    MissingBase,
    /// Others hold the chain that was to be stamped. Say that it is held.
    #[error("the endpoint holds no block of the chain")]
    NotHeld,
    /// Neither a base nor blocks after it.
    #[error("the chain has no block")]
    EmptyChain,
    /// More than [`crate::CHAIN_BLOCKS_MAX`], those before the base included.
    #[error("the chain has more blocks than a chain may have")]
    ChainTooLong,
    /// No hashing gives such names: the command is of other hash parameters, or a lie. `at` counts
    /// from zero.
    #[error("block {at} after the base is known elsewhere, or comes twice")]
    Inconsistent { at: u32 },
    /// Offer it again: each command, refused or not, evicts up to [`CATCH_UP_BLOCKS_MAX`].
    #[error("a bound was lowered, and eviction has not caught up yet")]
    Shrinking,
}

/// The most (block, endpoint) pairs of an index, whatever its parameters say.
pub const MEMBERSHIPS_MAX: u64 = 60_000_000;

/// The most endpoints of an index.
pub const ENDPOINTS_MAX: usize = 4096;

/// The most live origins of an index.
pub const ORIGINS_MAX: usize = 4096;

/// The most blocks that one command evicts after a bound was lowered.
pub const CATCH_UP_BLOCKS_MAX: usize = 4096;
