//! What a batch is made of: sightings, changes of the pool, and changes of the cluster.

use std::num::NonZeroU16;

use convoy_prefix_index::{BlockHash, Endpoint, HashParams, Incarnation, Origin, Sequence};

use crate::{
    identity::{ClusterId, DiskId, Generation, ReplicaName},
    machine::Semantics,
    types::ReplicaId,
};

/// One thing that a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An origin sent a request to an endpoint.
    Sighted(Sighted),
    /// The pool changed. The leader says so.
    Endpoint(EndpointChange),
    /// The cluster changed. The leader, or who forms the cluster, says so.
    Cluster(ClusterChange),
}

/// An origin sent a request to an endpoint. Applied once for each origin and sequence, whatever is
/// sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighted {
    pub origin: Origin,
    pub sequence: Sequence,
    pub endpoint: Endpoint,
    /// How long before the batch's stamp the request was sent.
    pub age_ms: u32,
    pub seen: Seen,
}

/// What a sighting says of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It holds the chain that ends with `base` and, after it, `hashes`.
    Held { base: Option<BlockHash>, hashes: Vec<BlockHash> },
    /// It was sent a chain again that ends with `block`.
    Touched { block: BlockHash },
}

/// A change of the pool. Repeating one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointChange {
    /// An endpoint joined, or came back in a new life; `replaces` is compared and set.
    Joined {
        endpoint: Endpoint,
        replaces: Option<Incarnation>,
        capacity_blocks: u32,
    },
    Left {
        endpoint: Endpoint,
    },
    CapacityChanged {
        endpoint: Endpoint,
        capacity_blocks: u32,
    },
}

impl EndpointChange {
    pub fn endpoint(&self) -> Endpoint {
        match *self {
            Self::Joined { endpoint, .. }
            | Self::Left { endpoint }
            | Self::CapacityChanged { endpoint, .. } => endpoint,
        }
    }
}

/// A change of what replicas agree on beside the index. Repeating one changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// The cluster was formed. The first to say so decides.
    Formed(Box<Formed>),
    /// A replica with an empty disk asks the cluster for an id. Asking again for one disk gets the
    /// same.
    ReplicaAdmitted { name: ReplicaName, disk: DiskId },
    /// A replica is gone for good.
    ReplicaRemoved { id: ReplicaId },
    /// So many replicas are declared to make up the cluster.
    SizeDeclared { replicas: NonZeroU16 },
    /// The index may hold so many (block, endpoint) pairs.
    BoundChanged { memberships_max: u64 },
    /// An origin is dead. Say so only when nothing of it can arrive any more.
    OriginRetired { origin: Origin },
    /// From here on, entries mean what they mean in this version.
    Activated { semantics: Semantics },
}

/// What a cluster is founded on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formed {
    pub cluster: ClusterId,
    pub pool: String,
    pub declared_size: NonZeroU16,
    pub generation: Generation,
    /// Key, block size and version of the block hashes.
    pub hash: HashParams,
    pub memberships_max: u64,
    pub semantics: Semantics,
}
