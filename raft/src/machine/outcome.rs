//! What applying an entry did.

use convoy_prefix_index::{Endpoint, Origin, Outcome, Sequence, Stamp};

use super::{LogPosition, SEMANTICS_KNOWN, Semantics};
use crate::{
    batch::BatchDecodeError,
    identity::{DiskId, ReplicaName},
    types::ReplicaId,
};

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub position: LogPosition,
    /// Logical time after it.
    pub time: Stamp,
    /// For each item of the batch, in order.
    pub outcomes: Vec<ItemOutcome>,
}

/// What one item did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    Sighted { origin: Origin, sequence: Sequence, endpoint: Endpoint, outcome: Outcome },
    Endpoint { endpoint: Endpoint, outcome: Outcome },
    Cluster(ClusterOutcome),
}

/// What a change of the cluster did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterOutcome {
    Formed,
    /// The replica of this name and disk has this id, from here on or since it asked before.
    /// `replaces` had the name with another disk.
    ReplicaAdmitted {
        name: ReplicaName,
        disk: DiskId,
        id: ReplicaId,
        replaces: Option<ReplicaId>,
    },
    ReplicaRemoved {
        id: ReplicaId,
    },
    SizeDeclared,
    BoundChanged,
    OriginRetired {
        origin: Origin,
    },
    Activated {
        semantics: Semantics,
    },
    Refused(ClusterRefusal),
}

/// Why a change of the cluster changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterRefusal {
    #[error("the cluster is formed")]
    AlreadyFormed,
    #[error("the cluster is not formed")]
    NotFormed,
    #[error("a pool's name of {bytes} bytes; at most {} are legal", super::POOL_BYTES_MAX)]
    PoolLength { bytes: usize },
    #[error("more than {} replicas have an id", super::REPLICAS_MAX)]
    TooManyReplicas,
    #[error("all ids were given")]
    NoIdLeft,
    #[error("no replica has the id {id}")]
    UnknownReplica { id: ReplicaId },
    #[error("the replica {id} is a member")]
    StillMember { id: ReplicaId },
    #[error("semantics {} are active", active.0)]
    OlderSemantics { active: Semantics },
}

/// Where a machine stopped applying, and why. It answers what it knows and picks go on.
#[derive(Debug, thiserror::Error)]
#[error("stopped at position {position}: {cause}")]
pub struct Stopped {
    /// The entry that could not be applied.
    pub position: LogPosition,
    #[source]
    pub cause: StopCause,
}

/// Why an entry could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum StopCause {
    #[error("the entry cannot be read")]
    Unreadable {
        #[source]
        source: BatchDecodeError,
    },
    #[error("semantics {} are asked for; this version knows {} at most", asked.0, SEMANTICS_KNOWN.0)]
    UnknownSemantics { asked: Semantics },
    #[error("the entry after index {applied:?} is not the next")]
    NotNext { applied: Option<u64> },
    #[error("applying panicked: {message}")]
    Panicked { message: String },
}

impl StopCause {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { source: BatchDecodeError::Format { .. } }
            | Self::UnknownSemantics { .. } => "start this replica with the newer version",
            Self::Unreadable { .. } | Self::NotNext { .. } | Self::Panicked { .. } => {
                "the replica has to join anew, with an empty data directory"
            }
        }
    }
}
