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
    /// The blocks after `base`, in order.
    pub hashes: Vec<BlockHash>,
    pub stamp: Stamp,
    pub origin: Origin,
    pub sequence: Sequence,
}

/// An endpoint used a chain again. See [`Command::Touched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    pub endpoint: Endpoint,
    /// The last block of the chain. The endpoint may hold less of it: then the last it holds is
    /// stamped.
    pub block: BlockHash,
    pub stamp: Stamp,
    pub origin: Origin,
    pub sequence: Sequence,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint is counted at `slot` from now on.
    Joined {
        slot: EndpointSlot,
    },
    Left,
    CapacityChanged,
    Held {
        /// Blocks of the chain that the endpoint holds now.
        depth_blocks: u32,
        /// Memberships that this command added.
        added: u32,
        /// True when the chain was cut to the capacity.
        cut: bool,
    },
    Touched {
        /// Blocks of the chain that the endpoint holds.
        depth_blocks: u32,
    },
    OriginRetired,
    ParametersChanged {
        /// True when the index was emptied. Every endpoint has a new slot then.
        emptied: bool,
    },
    Refused(Refusal),
}

/// Why a command changed nothing (but for the origin's sequence, which is noted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no endpoint has this address")]
    UnknownEndpoint,
    #[error("the endpoint at this address is of incarnation {}", current.0)]
    OtherIncarnation { current: Incarnation },
    #[error("the endpoint joined before")]
    AlreadyJoined,
    #[error("more than {ENDPOINTS_MAX} endpoints")]
    TooManyEndpoints,
    #[error("more than {ORIGINS_MAX} origins")]
    TooManyOrigins,
    #[error("the origin's sequence {} was applied before", highest.0)]
    RepeatedSequence { highest: Sequence },
    #[error("no endpoint holds the base")]
    MissingBase,
    #[error("the endpoint holds no block of the chain")]
    NotHeld,
    #[error("the chain has no block")]
    EmptyChain,
    #[error("the chain has more blocks than a chain may have")]
    ChainTooLong,
    #[error("block {at} after the base is known elsewhere, or comes twice")]
    Inconsistent { at: u32 },
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
