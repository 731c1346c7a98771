//! How a log begins: with a snapshot, of a machine whose one voter is who founds it.
//!
//! So every generation begins alike, the first with an empty index and a later one with what the
//! founder held, and whoever joins is given the snapshot first.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    Admitted, ClusterRefusal, LogPosition, Machine, Membership,
    files::{Files, SnapshotOpenError},
};
use crate::{
    batch::Formed,
    identity::{DiskId, Generation, ReplicaName},
    types::ReplicaId,
};

/// Who founds a generation, and where its log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// One that nobody had: see [`Machine::fresh_id`].
    pub id: ReplicaId,
    pub name: ReplicaName,
    pub disk: DiskId,
    /// The log's first entry comes after it, in a later term.
    pub position: LogPosition,
}

/// Why a log was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    #[error(transparent)]
    Directory(#[from] SnapshotOpenError),
    #[error("{} has a snapshot already", directory.display())]
    Taken { directory: PathBuf },
    #[error("cannot write the first snapshot to {}", directory.display())]
    Write { directory: PathBuf, source: io::Error },
}

/// Makes `machine` the first snapshot in `directory`, durably. Start an [`super::Applier`] there.
/// Blocks.
pub fn found(directory: &Path, machine: &Machine) -> Result<(), FoundError> {
    let (files, before) = Files::open(directory)?;
    let directory = || directory.to_owned();
    if before.is_some() {
        return Err(FoundError::Taken { directory: directory() });
    }
    let written = files.write(machine.freeze());
    written.map(drop).map_err(|source| FoundError::Write { directory: directory(), source })
}

impl Machine {
    /// What a cluster begins with.
    pub fn formed(formed: &Formed, founder: Founder) -> Result<Self, ClusterRefusal> {
        let mut machine = Self::new();
        machine.form(formed)?;
        machine.begin(founder);
        Ok(machine)
    }

    /// Turns the state of a lost log into the first of a new one, of `generation`. What endpoints
    /// hold, and what was applied of each origin, stays.
    pub fn reform(
        &mut self,
        generation: Generation,
        founder: Founder,
    ) -> Result<(), ClusterRefusal> {
        let cluster = self.facts.cluster.as_mut().ok_or(ClusterRefusal::NotFormed)?;
        let last = self.applied.map_or(0, |applied| applied.index);
        cluster.lineage = cluster.lineage.followed_by(cluster.generation, last);
        cluster.generation = generation;
        self.begin(founder);
        Ok(())
    }

    /// An id that no replica of this log had.
    pub fn fresh_id(&self) -> ReplicaId {
        self.facts.fresh_id(self.applied.map_or(0, |applied| applied.index))
    }

    fn begin(&mut self, founder: Founder) {
        let Founder { id, name, disk, position } = founder;
        self.facts.highest_id = self.facts.highest_id.max(id);
        self.facts.membership = Membership {
            position: Some(position),
            voters: vec![BTreeSet::from([id])],
            names: BTreeMap::from([(id, name.to_string())]),
        };
        self.facts.replicas = BTreeMap::from([(id, Admitted { name, disk })]);
        self.applied = Some(position);
    }
}
