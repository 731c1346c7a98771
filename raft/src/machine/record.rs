//! The records that bincode writes for all of a machine but its index: for digests and snapshots.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU16,
};

use bincode::Options;
use convoy_prefix_index::Stamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Admitted, Cluster, Facts, LogPosition, Machine, MachineDigest, Membership, Semantics};
use crate::{
    identity::{ClusterId, DiskId, Generation, Lineage, ReplicaName},
    types::ReplicaId,
};

/// Bytes of a record: 4,096 endpoints and 256 replicas take a third of it.
pub(super) const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// All of a machine but its index. Equal machines give equal bytes: everything is in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MachineRecord {
    applied: Option<PositionRecord>,
    time: u64,
    joined: BTreeMap<SocketAddr, u64>,
    cluster: Option<ClusterRecord>,
    replicas: BTreeMap<ReplicaId, (String, u128)>,
    highest_id: ReplicaId,
    semantics: u16,
    membership: MembershipRecord,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct PositionRecord {
    term: u64,
    leader: ReplicaId,
    index: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClusterRecord {
    id: u128,
    pool: String,
    declared_size: NonZeroU16,
    generation: (u64, u64),
    lineage: Lineage,
}

#[derive(Debug, Serialize, Deserialize)]
struct MembershipRecord {
    position: Option<PositionRecord>,
    voters: Vec<BTreeSet<ReplicaId>>,
    names: BTreeMap<ReplicaId, String>,
}

/// What [`MachineRecord`] has to say of a machine, apart from the index.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) applied: Option<LogPosition>,
    pub(super) time: Stamp,
    pub(super) joined: BTreeMap<SocketAddr, Stamp>,
    pub(super) facts: Facts,
}

/// The digest of a machine: of its record, seeded with that of its index.
pub(super) fn digest(machine: &Machine) -> MachineDigest {
    digest_of(&encode(machine), machine)
}

/// The same, of a record that is encoded already.
pub(super) fn digest_of(record: &[u8], machine: &Machine) -> MachineDigest {
    MachineDigest(xxh3_64_with_seed(record, machine.index.digest().0))
}

/// The record of a machine as bytes.
pub(super) fn encode(machine: &Machine) -> Vec<u8> {
    let record = MachineRecord::of(machine);
    options().serialize(&record).expect("what a machine holds is bounded, and has an encoding")
}

/// The record that `bytes` are, or what is wrong with them.
pub(super) fn decode(bytes: &[u8]) -> Result<Rest, String> {
    let record: MachineRecord = options().deserialize(bytes).map_err(|fault| fault.to_string())?;
    record.into_rest().map_err(ToOwned::to_owned)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(RECORD_BYTES_MAX as u64)
        .reject_trailing_bytes()
}

impl MachineRecord {
    fn of(machine: &Machine) -> Self {
        let Facts { cluster, replicas, highest_id, semantics, membership } = &machine.facts;
        let replicas = replicas.iter().map(|(&id, admitted)| {
            let Admitted { name, disk } = admitted;
            (id, (name.to_string(), disk.0))
        });
        Self {
            applied: machine.applied.map(Into::into),
            time: machine.time.0,
            joined: machine.joined.iter().map(|(&address, stamp)| (address, stamp.0)).collect(),
            cluster: cluster.as_ref().map(Into::into),
            replicas: replicas.collect(),
            highest_id: *highest_id,
            semantics: semantics.0,
            membership: MembershipRecord {
                position: membership.position.map(Into::into),
                voters: membership.voters.clone(),
                names: membership.names.clone(),
            },
        }
    }

    fn into_rest(self) -> Result<Rest, &'static str> {
        let replicas = self.replicas.into_iter().map(|(id, (name, disk))| {
            let name = ReplicaName::new(name).map_err(|_| "a name that no replica has")?;
            Ok((id, Admitted { name, disk: DiskId(disk) }))
        });
        let facts = Facts {
            cluster: self.cluster.map(TryInto::try_into).transpose()?,
            replicas: replicas.collect::<Result<_, &'static str>>()?,
            highest_id: self.highest_id,
            semantics: Semantics(self.semantics),
            membership: Membership {
                position: self.membership.position.map(Into::into),
                voters: self.membership.voters,
                names: self.membership.names,
            },
        };
        Ok(Rest {
            applied: self.applied.map(Into::into),
            time: Stamp(self.time),
            joined: self.joined.into_iter().map(|(at, stamp)| (at, Stamp(stamp))).collect(),
            facts,
        })
    }
}

impl From<LogPosition> for PositionRecord {
    fn from(LogPosition { term, leader, index }: LogPosition) -> Self {
        Self { term, leader, index }
    }
}

impl From<PositionRecord> for LogPosition {
    fn from(PositionRecord { term, leader, index }: PositionRecord) -> Self {
        Self { term, leader, index }
    }
}

impl From<&Cluster> for ClusterRecord {
    fn from(cluster: &Cluster) -> Self {
        let Generation { number, random } = cluster.generation;
        Self {
            id: cluster.id.0,
            pool: cluster.pool.clone(),
            declared_size: cluster.declared_size,
            generation: (number, random),
            lineage: cluster.lineage.clone(),
        }
    }
}

impl TryFrom<ClusterRecord> for Cluster {
    type Error = &'static str;

    fn try_from(record: ClusterRecord) -> Result<Self, &'static str> {
        let (number, random) = record.generation;
        if !record.lineage.is_bounded() {
            return Err("a lineage longer than any is kept");
        }
        Ok(Self {
            id: ClusterId(record.id),
            pool: record.pool,
            declared_size: record.declared_size,
            generation: Generation { number, random },
            lineage: record.lineage,
        })
    }
}
