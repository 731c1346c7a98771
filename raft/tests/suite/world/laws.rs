//! What must hold at every moment, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use convoy_raft::{
    ReplicaId,
    forming::{Grant, Offer, Record},
    identity::{ClusterId, DiskId, Generation},
};

/// Remembers the whole run.
#[derive(Debug)]
pub(crate) struct Laws {
    declared: u16,
    /// Who asked the question that is being answered.
    pub(super) asker: Option<usize>,
    pub(super) wiped: bool,
    grants: BTreeMap<(DiskId, u64), Grant>,
    founded: BTreeMap<Generation, BTreeSet<DiskId>>,
    seats: BTreeMap<(Generation, ReplicaId), DiskId>,
    pub(crate) clusters: BTreeSet<ClusterId>,
}

impl Laws {
    pub(super) fn new(declared: u16) -> Self {
        Self {
            declared,
            asker: None,
            wiped: false,
            grants: BTreeMap::new(),
            founded: BTreeMap::new(),
            seats: BTreeMap::new(),
            clusters: BTreeSet::new(),
        }
    }

    /// A disk grants each number to one former, and grants only what is beyond its seat.
    pub(super) fn persisted(&mut self, record: &Record) {
        let Some(grant) = &record.grant else { return };
        let known = self.grants.insert((record.disk, grant.generation.number), grant.clone());
        let former = |grant: &Grant| (grant.generation, grant.former.clone());
        if let Some(known) = known {
            assert_eq!(former(&known), former(grant), "one former for each number");
        }
    }

    /// Nobody forms below its majority, and no two with grants from majorities that overlap.
    pub(super) fn founds<'a>(&mut self, offer: &Offer, disks: impl Iterator<Item = &'a Record>) {
        let generation = offer.grant.generation;
        let granted = |record: &&Record| record.grant.as_ref() == Some(&offer.grant);
        let disks: BTreeSet<_> = disks.filter(granted).map(|record| record.disk).collect();
        let majority = usize::from(self.declared) / 2 + 1;
        let needed = if self.declared == 2 && offer.position.is_some() { 1 } else { majority };
        // A disk that granted may have been wiped, or have promised a higher number since.
        let ever = self.grants.values().filter(|grant| **grant == offer.grant).count();
        assert!(needed <= ever, "{needed} must grant {generation}, and {ever} did");
        for (other, granters) in &self.founded {
            if other.number == generation.number {
                assert!(granters.is_disjoint(&disks), "{other} and {generation} overlap");
                assert!(self.wiped || self.declared == 2, "{other} and {generation}");
            }
        }
        let before = self.founded.insert(generation, disks);
        assert!(before.is_none(), "{generation} is formed once");
        self.clusters.insert(offer.grant.cluster);
    }

    /// An id is one disk's.
    pub(super) fn seated(&mut self, generation: Generation, id: ReplicaId, disk: DiskId) {
        let first = *self.seats.entry((generation, id)).or_insert(disk);
        assert_eq!(first, disk, "id {id} of {generation} is given to one disk");
    }

    pub(crate) fn founded(&self) -> usize {
        self.founded.len()
    }
}
