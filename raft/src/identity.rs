//! Who a replica is: names, the cluster, its generations, and a place in a log.
//!
//! A *name* is what the operator sees and certificates carry; it outlives disks. A *disk* is one life of a
//! data directory: it begins empty, and a wiped one is another disk. A *seat* is a numbered place in one
//! generation's log; a disk without a seat has never voted, so nothing it forgot can be missed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::ReplicaId;

/// Longest name: that of a host, which is what pods have.
const NAME_LENGTH_MAX: usize = 253;

/// What a replica is called by operators, certificates and its peers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplicaName(String);

/// Why a text is no replica's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("a replica's name is empty; give it one, such as the pod's")]
    Empty,
    #[error("a replica's name of {length} bytes is longer than {NAME_LENGTH_MAX}; take the pod's")]
    TooLong { length: usize },
    #[error(
        "replica name {name:?} has {found:?} in it; letters, digits, '-', '.' and '_' are right"
    )]
    Character { name: String, found: char },
}

impl ReplicaName {
    pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
        let name = name.into();
        if name.is_empty() {
            return Err(BadName::Empty);
        }
        if NAME_LENGTH_MAX < name.len() {
            return Err(BadName::TooLong { length: name.len() });
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        match name.chars().find(|&c| !legal(c)) {
            Some(found) => Err(BadName::Character { name, found }),
            None => Ok(Self(name)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ReplicaName {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        Self::new(name)
    }
}

impl From<ReplicaName> for String {
    fn from(name: ReplicaName) -> Self {
        name.0
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cluster, from its first forming on, through all its generations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

/// One life of a data directory. Drawn at random when the directory is first used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskId(pub u128);

macro_rules! shown_as_hex {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}", self.0 >> 96)
            }
        }
    };
}
shown_as_hex!(ClusterId);
shown_as_hex!(DiskId);

/// One forming of a cluster, and the log that began with it.
///
/// Ordered by number, and among siblings that a partition let form with one number by their random
/// part, so that any two replicas agree which of two generations is the higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation {
    pub number: u64,
    pub random: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.number, self.random)
    }
}

/// The last entry that a log holds. The greater one is the more advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub generation: Generation,
    pub term: u64,
    pub index: u64,
}

/// Generations remembered in a [`Lineage`]. A replica that slept through more is offered nothing
/// from before, which costs cache misses.
const ANCESTORS_MAX: usize = 16;

/// From which generations a generation came, and how much of each it took over. Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(Vec<Ancestor>);

/// What a generation took over from one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    pub generation: Generation,
    /// The last index of its log that was taken over.
    pub last: u64,
}

impl Lineage {
    /// The lineage of a generation that takes over `parent`, whose own lineage this is, up to `last`.
    #[must_use]
    pub fn followed_by(&self, parent: Generation, last: u64) -> Self {
        let mut ancestors = self.0.clone();
        ancestors.push(Ancestor { generation: parent, last });
        let forgotten = ancestors.len().saturating_sub(ANCESTORS_MAX);
        ancestors.drain(..forgotten);
        Self(ancestors)
    }

    /// Up to which index of `generation`'s log this lineage holds everything; `None` if it holds
    /// none of it.
    pub fn holds(&self, generation: Generation) -> Option<u64> {
        let found = self.0.iter().find(|ancestor| ancestor.generation == generation);
        found.map(|ancestor| ancestor.last)
    }

    pub fn is_bounded(&self) -> bool {
        self.0.len() <= ANCESTORS_MAX
    }
}

/// A place in one generation's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub cluster: ClusterId,
    pub generation: Generation,
    /// Given once in this generation, to one disk.
    pub id: ReplicaId,
    /// How many replicas the cluster is declared to have.
    pub declared: u16,
    pub lineage: Lineage,
}
