//! One round of asking around: who answered, and what follows from that alone.

use std::collections::{BTreeMap, BTreeSet};

use super::status::{Led, Refused, Status};
use crate::identity::{ClusterId, DiskId, Position, ReplicaName};

/// The replicas that answered in the last round, less those whose word does not count.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight(BTreeMap<ReplicaName, Status>);

/// By what a replica judges whose word counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) name: &'a ReplicaName,
    pub(super) disk: DiskId,
    pub(super) pool: &'a str,
    pub(super) cluster: Option<ClusterId>,
}

impl Sight {
    /// Keeps those of the judge's own pool and cluster. The judge's own answer is none.
    pub(super) fn new(judge: Judge<'_>, heard: Vec<Status>, refused: &mut Vec<Refused>) -> Self {
        let mut kept = BTreeMap::<ReplicaName, Status>::new();
        let mut twice = BTreeSet::new();
        for status in heard.into_iter().filter(|status| status.disk != judge.disk) {
            if let Some(why) = judge.refuses(&status) {
                refused.push(why);
                continue;
            }
            let disk = status.disk;
            if let Some(other) = kept.insert(status.name.clone(), status)
                && other.disk != disk
            {
                twice.insert(other.name);
            }
        }
        for name in twice {
            kept.remove(&name);
            refused.push(Refused::SameName { name });
        }
        Self(kept)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Status> {
        self.0.values()
    }

    pub(super) fn get(&self, name: &ReplicaName) -> Option<&Status> {
        self.0.get(name)
    }

    /// The highest generation that has a leader.
    pub(super) fn led(&self) -> Option<Led<'_>> {
        self.iter().filter_map(Status::led).max_by_key(|led| led.generation)
    }

    /// The clusters that have a leader. More than one can only be in sight of an empty disk.
    pub(super) fn led_clusters(&self) -> BTreeSet<ClusterId> {
        self.iter().filter_map(Status::led).map(|led| led.cluster).collect()
    }

    pub(super) fn holds_state(&self) -> bool {
        self.iter().any(|status| status.cluster().is_some())
    }

    /// The highest number of a generation that anybody knows of.
    pub(super) fn number_max(&self) -> u64 {
        self.iter().map(|status| status.number_max).max().unwrap_or(0)
    }

    /// Somebody willing who is better placed to form than `name` at `position`.
    pub(super) fn better_placed(
        &self,
        name: &ReplicaName,
        position: Option<Position>,
    ) -> Option<&Status> {
        let better = |status: &&Status| {
            status.willing && better_placed((&status.name, status.position()), (name, position))
        };
        self.iter().find(better)
    }
}

/// Whether the first is better placed to form than the second: the state that goes further,
/// then the first name.
pub(super) fn better_placed(
    a: (&ReplicaName, Option<Position>),
    b: (&ReplicaName, Option<Position>),
) -> bool {
    (a.1, b.0) > (b.1, a.0)
}

impl Judge<'_> {
    fn refuses(&self, status: &Status) -> Option<Refused> {
        let name = status.name.clone();
        if status.pool != self.pool {
            let (theirs, ours) = (status.pool.clone(), self.pool.to_owned());
            return Some(Refused::OtherPool { name, theirs, ours });
        }
        if status.name == *self.name {
            return Some(Refused::SameName { name });
        }
        match (status.cluster(), self.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                Some(Refused::OtherCluster { name, theirs, ours })
            }
            (_, _) => None,
        }
    }
}
