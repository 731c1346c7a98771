//! How things are, for whoever looks: status pages, metrics, logs.

use crate::{
    identity::{ClusterId, Generation, ReplicaName},
    peers::Address,
    types::ReplicaId,
};

/// A replica's view of its cluster, as of its last round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub role: RoleView,
    pub cluster: Option<ClusterId>,
    pub generation: Option<Generation>,
    pub id: Option<ReplicaId>,
    pub leader: Option<ReplicaName>,
    /// A quorum stands behind that leader.
    pub led: bool,
    pub term: u64,
    pub last: u64,
    pub committed: u64,
    pub declared: u16,
    /// Members of the log, and who else is in sight.
    pub replicas: Vec<ReplicaView>,
    /// What keeps this replica from a log with a leader.
    pub waiting: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleView {
    /// Takes part in no log at the moment.
    #[default]
    Outside,
    Learner,
    Follower,
    Leader,
    /// Leads, and is the only one.
    Alone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    pub name: ReplicaName,
    /// `None` if it is in sight, and no member of this replica's log.
    pub id: Option<ReplicaId>,
    pub address: Option<Address>,
    pub voter: bool,
    pub alive: bool,
}
