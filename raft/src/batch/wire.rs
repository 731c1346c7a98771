//! The records that bincode writes for a batch.
//!
//! They are the log's own, apart from the types that the program works with: changing one of those
//! never changes the log. A record is only ever added to, at the end of its enum, under a new
//! [`super::BATCH_FORMAT`].

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU64},
};

use convoy_prefix_index::{
    BlockHash, Endpoint, HashParams, HashVersion, Incarnation, Origin, Sequence,
};
use serde::{Deserialize, Serialize};

use super::{Batch, ClusterChange, EndpointChange, Formed, Item, Seen, Sighted};
use crate::{
    identity::{ClusterId, DiskId, Generation, ReplicaName},
    machine::Semantics,
};

/// What the envelope holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) stamp: u64,
    pub(super) items: Vec<ItemRecord>,
}

/// One item.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ItemRecord {
    Held(SightedRecord, Option<NonZeroU64>, Vec<NonZeroU64>),
    Touched(SightedRecord, NonZeroU64),
    Joined(EndpointRecord, Option<u64>, u32),
    Left(EndpointRecord),
    CapacityChanged(EndpointRecord, u32),
    Formed(Box<FormedRecord>),
    ReplicaAdmitted { name: String, disk: u128 },
    ReplicaRemoved { id: u64 },
    SizeDeclared { replicas: NonZeroU16 },
    BoundChanged { memberships_max: u64 },
    OriginRetired { replica: u64, start: u64 },
    Activated { semantics: u16 },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SightedRecord {
    replica: u64,
    start: u64,
    sequence: u64,
    endpoint: EndpointRecord,
    age_ms: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct EndpointRecord {
    address: SocketAddr,
    incarnation: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FormedRecord {
    cluster: u128,
    pool: String,
    declared_size: NonZeroU16,
    generation: (u64, u64),
    hash_key: [u8; 16],
    hash_block_bytes: u32,
    hash_version: u16,
    memberships_max: u64,
    semantics: u16,
}

impl Body {
    pub(super) fn of(batch: &Batch) -> Self {
        Self { stamp: batch.stamp.0, items: batch.items.iter().map(ItemRecord::of).collect() }
    }
}

impl ItemRecord {
    pub(super) fn of(item: &Item) -> Self {
        match item {
            Item::Sighted(sighted) => Self::of_sighted(sighted),
            Item::Endpoint(change) => Self::of_endpoint(change),
            Item::Cluster(change) => Self::of_cluster(change),
        }
    }

    fn of_sighted(sighted: &Sighted) -> Self {
        let Sighted { origin, sequence, endpoint, age_ms, seen } = sighted;
        let record = SightedRecord {
            replica: origin.replica,
            start: origin.start,
            sequence: sequence.0,
            endpoint: endpoint.into(),
            age_ms: *age_ms,
        };
        match seen {
            Seen::Held { base, hashes } => {
                Self::Held(record, base.map(name), hashes.iter().copied().map(name).collect())
            }
            Seen::Touched { block } => Self::Touched(record, name(*block)),
        }
    }

    fn of_endpoint(change: &EndpointChange) -> Self {
        match change {
            EndpointChange::Joined { endpoint, replaces, capacity_blocks } => {
                Self::Joined(endpoint.into(), replaces.map(|old| old.0), *capacity_blocks)
            }
            EndpointChange::Left { endpoint } => Self::Left(endpoint.into()),
            EndpointChange::CapacityChanged { endpoint, capacity_blocks } => {
                Self::CapacityChanged(endpoint.into(), *capacity_blocks)
            }
        }
    }

    fn of_cluster(change: &ClusterChange) -> Self {
        match change {
            ClusterChange::Formed(formed) => Self::Formed(Box::new(formed.as_ref().into())),
            ClusterChange::ReplicaAdmitted { name, disk } => {
                Self::ReplicaAdmitted { name: name.to_string(), disk: disk.0 }
            }
            &ClusterChange::ReplicaRemoved { id } => Self::ReplicaRemoved { id },
            &ClusterChange::SizeDeclared { replicas } => Self::SizeDeclared { replicas },
            &ClusterChange::BoundChanged { memberships_max } => {
                Self::BoundChanged { memberships_max }
            }
            ClusterChange::OriginRetired { origin } => {
                Self::OriginRetired { replica: origin.replica, start: origin.start }
            }
            ClusterChange::Activated { semantics } => Self::Activated { semantics: semantics.0 },
        }
    }

    /// The item, unless a value in it is none that an item has.
    pub(super) fn into_item(self) -> Result<Item, &'static str> {
        let cluster = |change| Ok(Item::Cluster(change));
        let endpoint = |change| Ok(Item::Endpoint(change));
        match self {
            Self::Held(record, base, hashes) => {
                let hashes = hashes.into_iter().map(block).collect();
                Ok(record.into_item(Seen::Held { base: base.map(block), hashes }))
            }
            Self::Touched(record, name) => {
                Ok(record.into_item(Seen::Touched { block: block(name) }))
            }
            Self::Joined(record, replaces, capacity_blocks) => endpoint(EndpointChange::Joined {
                endpoint: record.into(),
                replaces: replaces.map(Incarnation),
                capacity_blocks,
            }),
            Self::Left(record) => endpoint(EndpointChange::Left { endpoint: record.into() }),
            Self::CapacityChanged(record, capacity_blocks) => {
                let named = record.into();
                endpoint(EndpointChange::CapacityChanged { endpoint: named, capacity_blocks })
            }
            Self::Formed(record) => cluster(ClusterChange::Formed(Box::new((*record).try_into()?))),
            Self::ReplicaAdmitted { name, disk } => {
                let (name, disk) = (replica_name(name)?, DiskId(disk));
                cluster(ClusterChange::ReplicaAdmitted { name, disk })
            }
            Self::ReplicaRemoved { id } => cluster(ClusterChange::ReplicaRemoved { id }),
            Self::SizeDeclared { replicas } => cluster(ClusterChange::SizeDeclared { replicas }),
            Self::BoundChanged { memberships_max } => {
                cluster(ClusterChange::BoundChanged { memberships_max })
            }
            Self::OriginRetired { replica, start } => {
                cluster(ClusterChange::OriginRetired { origin: Origin { replica, start } })
            }
            Self::Activated { semantics } => {
                cluster(ClusterChange::Activated { semantics: Semantics(semantics) })
            }
        }
    }
}

impl SightedRecord {
    fn into_item(self, seen: Seen) -> Item {
        let Self { replica, start, sequence, endpoint, age_ms } = self;
        Item::Sighted(Sighted {
            origin: Origin { replica, start },
            sequence: Sequence(sequence),
            endpoint: endpoint.into(),
            age_ms,
            seen,
        })
    }
}

impl From<&Endpoint> for EndpointRecord {
    fn from(endpoint: &Endpoint) -> Self {
        Self { address: endpoint.address(), incarnation: endpoint.incarnation().0 }
    }
}

impl From<EndpointRecord> for Endpoint {
    fn from(record: EndpointRecord) -> Self {
        Self::new(record.address, Incarnation(record.incarnation))
    }
}

impl From<&Formed> for FormedRecord {
    fn from(formed: &Formed) -> Self {
        Self {
            cluster: formed.cluster.0,
            pool: formed.pool.clone(),
            declared_size: formed.declared_size,
            generation: (formed.generation.number, formed.generation.random),
            hash_key: formed.hash.key(),
            hash_block_bytes: formed.hash.block_bytes(),
            hash_version: formed.hash.version().number(),
            memberships_max: formed.memberships_max,
            semantics: formed.semantics.0,
        }
    }
}

impl TryFrom<FormedRecord> for Formed {
    type Error = &'static str;

    fn try_from(record: FormedRecord) -> Result<Self, &'static str> {
        let version = HashVersion::from_number(record.hash_version)
            .ok_or("a version of the block hashes that this version does not know")?;
        let hash = HashParams::new(record.hash_key, record.hash_block_bytes, version)
            .map_err(|_| "a size of blocks that no index has")?;
        let (number, random) = record.generation;
        Ok(Self {
            cluster: ClusterId(record.cluster),
            pool: record.pool,
            declared_size: record.declared_size,
            generation: Generation { number, random },
            hash,
            memberships_max: record.memberships_max,
            semantics: Semantics(record.semantics),
        })
    }
}

fn replica_name(name: String) -> Result<ReplicaName, &'static str> {
    ReplicaName::new(name).map_err(|_| "a name that no replica has")
}

fn name(block: BlockHash) -> NonZeroU64 {
    NonZeroU64::new(block.get()).unwrap_or(NonZeroU64::MIN)
}

fn block(name: NonZeroU64) -> BlockHash {
    BlockHash::new(name.get()).expect("it is not zero")
}
