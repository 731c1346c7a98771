//! How entries change the facts.

use convoy_prefix_index::{Command, Parameters};

use super::{
    Admitted, Cluster, ClusterOutcome, ClusterRefusal, Machine, POOL_BYTES_MAX, REPLICAS_MAX,
    Semantics,
};
use crate::{
    batch::{ClusterChange, Formed},
    identity::{DiskId, Lineage, ReplicaName},
    types::ReplicaId,
};

impl Machine {
    pub(super) fn change_cluster(&mut self, change: &ClusterChange) -> ClusterOutcome {
        let changed = match change {
            ClusterChange::Formed(formed) => self.form(formed),
            ClusterChange::ReplicaAdmitted { name, disk } => self.admit(name, *disk),
            &ClusterChange::ReplicaRemoved { id } => self.remove_replica(id),
            &ClusterChange::SizeDeclared { replicas } => self.cluster_mut().map(|cluster| {
                cluster.declared_size = replicas;
                ClusterOutcome::SizeDeclared
            }),
            &ClusterChange::BoundChanged { memberships_max } => {
                let hash = self.index.parameters().hash.clone();
                let parameters = Parameters { hash, memberships_max };
                self.index.apply(&Command::ParametersChanged(parameters));
                Ok(ClusterOutcome::BoundChanged)
            }
            &ClusterChange::OriginRetired { origin } => {
                self.index.apply(&Command::OriginRetired { origin });
                Ok(ClusterOutcome::OriginRetired { origin })
            }
            &ClusterChange::Activated { semantics } => self.activate(semantics),
        };
        changed.unwrap_or_else(ClusterOutcome::Refused)
    }

    fn cluster_mut(&mut self) -> Result<&mut Cluster, ClusterRefusal> {
        self.facts.cluster.as_mut().ok_or(ClusterRefusal::NotFormed)
    }

    pub(super) fn form(&mut self, formed: &Formed) -> Result<ClusterOutcome, ClusterRefusal> {
        if self.facts.cluster.is_some() {
            return Err(ClusterRefusal::AlreadyFormed);
        }
        let bytes = formed.pool.len();
        if POOL_BYTES_MAX < bytes {
            return Err(ClusterRefusal::PoolLength { bytes });
        }
        let Formed { hash, memberships_max, .. } = formed.clone();
        self.index.apply(&Command::ParametersChanged(Parameters { hash, memberships_max }));
        self.facts.cluster = Some(Cluster {
            id: formed.cluster,
            pool: formed.pool.clone(),
            declared_size: formed.declared_size,
            generation: formed.generation,
            lineage: Lineage::default(),
        });
        self.facts.semantics = formed.semantics.max(self.facts.semantics);
        Ok(ClusterOutcome::Formed)
    }

    fn admit(
        &mut self,
        name: &ReplicaName,
        disk: DiskId,
    ) -> Result<ClusterOutcome, ClusterRefusal> {
        self.cluster_mut()?;
        let name = name.clone();
        let known = self.facts.replicas.iter().find(|(_, known)| known.name == name);
        let replaces = match known.map(|(&id, known)| (id, known.disk)) {
            Some((id, known)) if known == disk => {
                return Ok(ClusterOutcome::ReplicaAdmitted { name, disk, id, replaces: None });
            }
            Some((id, _)) => Some(id),
            None if REPLICAS_MAX <= self.facts.replicas.len() => {
                return Err(ClusterRefusal::TooManyReplicas);
            }
            None => None,
        };
        let id = self.facts.fresh_id(self.applied.map_or(0, |applied| applied.index));
        if id == self.facts.highest_id {
            return Err(ClusterRefusal::NoIdLeft);
        }
        if let Some(old) = replaces {
            self.facts.replicas.remove(&old);
        }
        self.facts.highest_id = id;
        self.facts.replicas.insert(id, Admitted { name: name.clone(), disk });
        Ok(ClusterOutcome::ReplicaAdmitted { name, disk, id, replaces })
    }

    fn remove_replica(&mut self, id: ReplicaId) -> Result<ClusterOutcome, ClusterRefusal> {
        if self.facts.membership.names.contains_key(&id) {
            return Err(ClusterRefusal::StillMember { id });
        }
        let removed = self.facts.replicas.remove(&id);
        removed
            .map(|_| ClusterOutcome::ReplicaRemoved { id })
            .ok_or(ClusterRefusal::UnknownReplica { id })
    }

    fn activate(&mut self, semantics: Semantics) -> Result<ClusterOutcome, ClusterRefusal> {
        let active = self.facts.semantics;
        if semantics <= active {
            return Err(ClusterRefusal::OlderSemantics { active });
        }
        self.facts.semantics = semantics;
        Ok(ClusterOutcome::Activated { semantics })
    }
}
