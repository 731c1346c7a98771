//! What replicas tell each other of themselves, round after round, and the words of asking for grants.

use serde::{Deserialize, Serialize};

use super::record::{Confirmed, Grant};
use crate::{
    identity::{ClusterId, DiskId, Generation, Position, ReplicaName},
    types::ReplicaId,
};

/// What one replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: ReplicaName,
    pub disk: DiskId,
    /// Which pool its cluster serves.
    pub pool: String,
    /// How many replicas it believes the cluster to have.
    pub declared: u16,
    pub told: Told,
    /// Would let a better placed replica form, or form itself.
    pub willing: bool,
    /// The highest number of a generation that it took part in or granted.
    pub number_max: u64,
    /// The number that it is writing the store of.
    pub founding: Option<u64>,
    /// Saw somebody who holds a cluster's state, in its last round.
    pub sees_cluster: bool,
    /// Stops soon, and wants no part in decisions.
    pub leaving: bool,
}

/// How a replica stands to logs, as it tells others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// "No cluster here."
    Empty,
    /// Takes part in a generation's log.
    Inside {
        cluster: ClusterId,
        /// Its seat in that log.
        id: ReplicaId,
        position: Position,
        /// The leader it follows, or itself, if a quorum stands behind that leader.
        led: Option<ReplicaName>,
    },
    /// Holds state of a generation in which it takes no part any more.
    Left { cluster: ClusterId, position: Position },
}

impl Status {
    /// The cluster whose state it holds.
    pub fn cluster(&self) -> Option<ClusterId> {
        match self.told {
            Told::Empty => None,
            Told::Inside { cluster, .. } | Told::Left { cluster, .. } => Some(cluster),
        }
    }

    /// How far its state goes.
    pub fn position(&self) -> Option<Position> {
        match self.told {
            Told::Empty => None,
            Told::Inside { position, .. } | Told::Left { position, .. } => Some(position),
        }
    }

    /// The log that it follows with a leader who has a quorum.
    pub fn led(&self) -> Option<Led<'_>> {
        match &self.told {
            Told::Inside { cluster, position, led: Some(leader), .. } => {
                Some(Led { cluster: *cluster, generation: position.generation, leader })
            }
            Told::Inside { led: None, .. } | Told::Empty | Told::Left { .. } => None,
        }
    }
}

/// A log that has a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led<'a> {
    pub cluster: ClusterId,
    pub generation: Generation,
    pub leader: &'a ReplicaName,
}

/// What a replica that would form asks others to grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub grant: Grant,
    pub round: Round,
    pub pool: String,
    pub declared: u16,
    /// How far the state goes from which it would form; `None` for a first forming.
    pub position: Option<Position>,
}

/// What an [`Offer`] asks for.
///
/// A cluster that forms again has its name, and is formed with the first round's grants. A first forming asks
/// twice, since two that were begun one after the other must give the cluster one name: the first round brings out
/// what was confirmed before, and the second confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Round {
    Grant,
    /// Only of those who granted, and now the cluster's name counts.
    Confirm,
}

/// The answer to an [`Offer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub generation: Generation,
    pub round: Round,
    pub verdict: Verdict,
    pub confirmed: Option<Confirmed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Durable when it is sent. This replica takes no part in older generations any more.
    Granted,
    Denied(Denied),
}

/// Why a grant was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denied {
    #[error("it follows {0}, who leads")]
    Led(ReplicaName),
    #[error("it waits for its own leader to come back")]
    NotYet,
    #[error("its state goes further")]
    MoreAdvanced,
    #[error("it sees a replica that holds a cluster's state")]
    ClusterInSight,
    #[error("it lets {0} form")]
    Promised(ReplicaName),
    #[error("it knows generation {0} already")]
    Stale(u64),
    #[error("it belongs to another cluster or pool")]
    Other,
    #[error("it is busy with forming or joining, or stops")]
    Busy,
}

/// Why a replica's word is not heeded. Told once for each, to the operator of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    #[error(
        "replica {name} serves pool {theirs:?}, this one {ours:?}; let --cluster-peers name the replicas of one pool"
    )]
    OtherPool { name: ReplicaName, theirs: String, ours: String },
    #[error(
        "replica {name} belongs to cluster {theirs}, this one to {ours}; if they should be one, empty the data \
         directory of the smaller"
    )]
    OtherCluster { name: ReplicaName, theirs: ClusterId, ours: ClusterId },
    #[error("two replicas are named {name}; give each its own --replica-name")]
    SameName { name: ReplicaName },
    #[error(
        "replica {name} declares {theirs} replicas, this one {ours}; let --cluster-size be the same for the first forming"
    )]
    OtherSize { name: ReplicaName, theirs: u16, ours: u16 },
}

impl Refused {
    pub fn name(&self) -> &ReplicaName {
        match self {
            Self::OtherPool { name, .. }
            | Self::OtherCluster { name, .. }
            | Self::SameName { name }
            | Self::OtherSize { name, .. } => name,
        }
    }
}
