//! Who is odd: digests of replicas compared at fixed positions.
//!
//! Every replica notes its digest at each position whose index is a multiple of
//! [`DIGEST_EVERY_ENTRIES`], tells the others, and judges alike. What most live replicas hold is
//! right. Where most hold nothing in common, as with two, the leader is right: someone has to be,
//! and its log goes on. An odd leader hands over first. An odd replica writes its snapshot aside
//! for diagnosis, discards what it has, and joins under a new id.
//!
//! A pure core: reports in, verdicts out. It is emptied when the generation changes, since
//! positions of two logs have nothing to do with each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{LogPosition, MachineDigest};
use crate::types::ReplicaId;

/// Between two positions at which digests are compared. At 25 entries a second this is ten
/// seconds; a digest costs some microseconds, and a millisecond with 4,096 endpoints.
pub const DIGEST_EVERY_ENTRIES: u64 = 256;

/// Digests that are kept of each replica: one that lags by as many is caught up with by then.
pub const CHECKPOINTS_KEPT: usize = 16;

/// A digest at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub position: LogPosition,
    pub digest: MachineDigest,
}

/// What replicas reported, this one too.
#[derive(Debug, Default)]
pub struct Audit {
    reports: BTreeMap<ReplicaId, VecDeque<Checkpoint>>,
}

/// What the reports say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Where they can be compared, they are equal.
    Sound,
    /// They differ at `index`, and it takes another report, or a leader, to say who is odd.
    Undecided { index: u64 },
    /// These replicas differ at `index` from what is right.
    Odd { index: u64, right: MachineDigest, odd: BTreeSet<ReplicaId> },
}

/// What a replica has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    Nothing,
    /// It leads and is odd: another has to lead before it may discard what it has.
    HandOver,
    /// Write a snapshot aside, discard everything, join under a new id.
    Rejoin,
}

impl Audit {
    /// Notes what a replica says of itself. What it said of an index before is kept.
    pub fn report(&mut self, replica: ReplicaId, checkpoint: Checkpoint) {
        let reports = self.reports.entry(replica).or_default();
        let index = checkpoint.position.index;
        if !index.is_multiple_of(DIGEST_EVERY_ENTRIES) {
            return;
        }
        let Err(at) = reports.binary_search_by_key(&index, |known| known.position.index) else {
            return;
        };
        reports.insert(at, checkpoint);
        while CHECKPOINTS_KEPT < reports.len() {
            reports.pop_front();
        }
    }

    /// Drops all that is known of a replica: it was removed, or began anew.
    pub fn forget(&mut self, replica: ReplicaId) {
        self.reports.remove(&replica);
    }

    /// Drops all but these replicas.
    pub fn retain(&mut self, replicas: &BTreeSet<ReplicaId>) {
        self.reports.retain(|replica, _| replicas.contains(replica));
    }

    /// Judges the first position at which replicas of `live` differ. `live` are those who are
    /// there and apply: a replica that stopped applying reports nothing further, and nobody waits.
    pub fn verdict(&self, live: &BTreeSet<ReplicaId>, leader: Option<ReplicaId>) -> Verdict {
        let mut by_index: BTreeMap<u64, BTreeMap<ReplicaId, MachineDigest>> = BTreeMap::new();
        for (&replica, reports) in self.reports.iter().filter(|(id, _)| live.contains(id)) {
            for Checkpoint { position, digest } in reports {
                by_index.entry(position.index).or_default().insert(replica, *digest);
            }
        }
        let differing = by_index
            .into_iter()
            .find(|(_, digests)| 1 < digests.values().collect::<BTreeSet<_>>().len());
        let Some((index, digests)) = differing else { return Verdict::Sound };
        let awaited =
            live.iter().filter(|id| !digests.contains_key(id) && self.may_report(**id, index));
        let Some(right) = right(&digests, awaited.count(), leader) else {
            return Verdict::Undecided { index };
        };
        let odd = digests.into_iter().filter(|&(_, digest)| digest != right).map(|(id, _)| id);
        Verdict::Odd { index, right, odd: odd.collect() }
    }

    /// False for a replica that is past this index and will not speak of it: it began from a
    /// snapshot behind it.
    fn may_report(&self, replica: ReplicaId, index: u64) -> bool {
        let last = self.reports.get(&replica).and_then(VecDeque::back);
        last.is_none_or(|last| last.position.index < index)
    }
}

impl Verdict {
    /// What `own` has to do about it.
    pub fn duty(&self, own: ReplicaId, leader: Option<ReplicaId>) -> Duty {
        match self {
            Self::Odd { odd, .. } if odd.contains(&own) => {
                if leader == Some(own) {
                    Duty::HandOver
                } else {
                    Duty::Rejoin
                }
            }
            Self::Odd { .. } | Self::Sound | Self::Undecided { .. } => Duty::Nothing,
        }
    }
}

/// The digest that is right: that of most, or the leader's when nobody's can become that of most.
fn right(
    digests: &BTreeMap<ReplicaId, MachineDigest>,
    awaited: usize,
    leader: Option<ReplicaId>,
) -> Option<MachineDigest> {
    let mut counts: BTreeMap<MachineDigest, usize> = BTreeMap::new();
    for &digest in digests.values() {
        *counts.entry(digest).or_default() += 1;
    }
    let all = digests.len() + awaited;
    let (&most, &count) = counts.iter().max_by_key(|&(_, &count)| count)?;
    if all < 2 * count {
        return Some(most);
    }
    let can_win = all < 2 * (count + awaited);
    if can_win { None } else { digests.get(&leader?).copied() }
}
