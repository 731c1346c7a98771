//! What openraft is configured with: who the replicas are, and what an entry carries.

use std::fmt;

use bytes::Bytes;
use openraft::alias;
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The types of the replicated log.
    ///
    /// A write answers nothing: the origin of a batch learns from its own applier what came of it.
    pub Types:
        D = Payload,
        R = (),
        NodeId = ReplicaId,
        Node = Replica,
);

/// One life of a replica's disk, as a voter or learner.
///
/// Drawn afresh for every empty disk, so that a replica that forgot its votes never votes again
/// under the id that gave them.
pub type ReplicaId = u64;

/// What the log says of a replica: its name, and never an address, since a restart of its pod
/// changes that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// Unique in the cluster.
    pub name: String,
}

/// What an entry carries: a batch of commands, already encoded.
///
/// It is encoded once, where it is proposed. Log store and network pass the bytes on.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(pub Bytes);

/// Length only: the bytes of thousands of entries would drown a log.
impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// One entry of the log.
pub type Entry = alias::EntryOf<Types>;

/// Where an entry stands: its leader's term and id, and its index.
pub type LogId = alias::LogIdOf<Types>;

/// Whom a replica votes for, or follows.
pub type Vote = alias::VoteOf<Types>;

/// Who votes and who learns, and the entry that says so.
pub type StoredMembership = alias::StoredMembershipOf<Types>;

/// What a snapshot covers. What it consists of is the state machine's to say.
pub type SnapshotMeta = alias::SnapshotMetaOf<Types>;
