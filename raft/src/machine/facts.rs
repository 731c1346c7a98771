//! What replicas agree on beside the index.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU16,
};

use crate::{
    identity::{ClusterId, DiskId, Generation, Lineage, ReplicaName},
    types::ReplicaId,
};

/// A place in the log. Ordered as the log's engine does: by term and leader, then index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub term: u64,
    /// The leader who proposed the entry.
    pub leader: ReplicaId,
    pub index: u64,
}

/// What entries mean. A new one is activated by an entry, when every replica knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Semantics(pub u16);

/// The newest semantics that this version applies.
pub const SEMANTICS_KNOWN: Semantics = Semantics(1);

/// What the oldest entries of a log mean.
pub const SEMANTICS_FIRST: Semantics = Semantics(1);

/// The cluster that a log is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub id: ClusterId,
    pub pool: String,
    pub declared_size: NonZeroU16,
    pub generation: Generation,
    /// The generations that this one took over.
    pub lineage: Lineage,
}

/// A replica that was given an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub name: ReplicaName,
    pub disk: DiskId,
}

/// Who votes and who follows, as the log's engine has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Where it stands in the log.
    pub position: Option<LogPosition>,
    /// One set of voters; two while one hands over to the other.
    pub voters: Vec<BTreeSet<ReplicaId>>,
    /// All of them, learners too, with their names.
    pub names: BTreeMap<ReplicaId, String>,
}

/// What replicas agree on that seldom changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `None` until the entry that forms it is applied.
    pub cluster: Option<Cluster>,
    /// Who has an id, voting or not.
    pub replicas: BTreeMap<ReplicaId, Admitted>,
    /// The highest id ever given. None is given twice.
    pub highest_id: ReplicaId,
    pub semantics: Semantics,
    pub membership: Membership,
}

/// Replicas with an id. Far more than vote and learn; names that come and go are removed.
pub const REPLICAS_MAX: usize = 256;

/// Bytes of a pool's name: that of its namespace, and its own.
pub const POOL_BYTES_MAX: usize = 512;

impl Facts {
    /// Before the first entry.
    pub(super) fn new() -> Self {
        Self {
            cluster: None,
            replicas: BTreeMap::new(),
            highest_id: 0,
            semantics: SEMANTICS_FIRST,
            membership: Membership::default(),
        }
    }

    /// The id that an admission at this index of the log gets: one that nobody had.
    pub(super) fn fresh_id(&self, index: u64) -> ReplicaId {
        index.max(self.highest_id.saturating_add(1))
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (term {} of {})", self.index, self.term, self.leader)
    }
}
