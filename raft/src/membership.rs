//! Who votes: the leader's rule for changing the membership, one step at a time.
//!
//! A pure core. The driver on the leader collects [`Facts`], asks for the [`next`] step, carries it out, and asks
//! again when the log has committed it.
//!
//! In the long run the voters are the largest odd number, at most five, of the replicas that are live and caught
//! up; all others learn. An even number never helps: it tolerates no more losses than one less. It stands only
//! while somebody is expected back:
//! - a voter that leaves is demoted at once, and the rest go on with one less;
//! - a voter that fell silent keeps its vote for a moment ([`Limits::replace`]), since most come back;
//!   then a learner takes its place, or the number shrinks, but not to one;
//! - the step down to one voter waits until the silent replica counts as long gone, because with one voter
//!   the loss of one more replica takes the log with it.
//!
//! A replica that has long been gone is removed. Of two members with one name the later is the replica as it is
//! now; the earlier was on a disk that no longer exists.

mod contacts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::contacts::Contacts;
use crate::{
    identity::{DiskId, ReplicaName},
    types::ReplicaId,
};

/// More voters make every entry wait for more disks, and five survive the loss of any two.
pub const VOTERS_MAX: usize = 5;

/// How long a silent replica counts as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// As live. Several rounds of asking around.
    pub live: Duration,
    /// As about to be back. Longer than a process takes to start again.
    pub replace: Duration,
    /// As expected back. Beyond it, it is removed.
    pub long_gone: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            live: Duration::from_secs(5),
            replace: Duration::from_secs(15),
            long_gone: Duration::from_mins(5),
        }
    }
}

/// What the leader knows at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The leader itself.
    pub me: ReplicaId,
    /// Everybody in the membership of the log, the leader included.
    pub members: BTreeMap<ReplicaId, Member>,
    /// The last change of membership is not committed, or in its middle.
    pub changing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: ReplicaName,
    pub role: Role,
    pub presence: Presence,
    /// Which disk it said that it has. `None` until it was heard.
    pub disk: Option<DiskId>,
    /// Lags by so little that it would not hold up a commit.
    pub caught_up: bool,
    /// Said that it stops soon.
    pub leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Voter,
    Learner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Live,
    /// Silent for so long.
    Silent(Duration),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let these vote, and no others. Who voted before learns from then on.
    Vote(BTreeSet<ReplicaId>),
    /// Forget these learners.
    Remove(BTreeSet<ReplicaId>),
    /// Let this voter lead.
    HandOver(ReplicaId),
}

/// The next step towards the voters that should be, if there is one.
pub fn next(facts: &Facts, limits: &Limits) -> Option<Step> {
    if facts.changing {
        return None;
    }
    let me = facts.members.get(&facts.me)?;
    if me.leaving {
        return facts.hand_over();
    }
    let voters = facts.ids(|_, member| member.role == Role::Voter);
    let target = facts.target(limits, &voters);
    if target != voters {
        return Some(Step::Vote(target));
    }
    let removed = facts.ids(|id, member| {
        member.role == Role::Learner
            && id != facts.me
            && (facts.is_replaced(id, member) || member.is_silent_for(limits.long_gone))
    });
    (!removed.is_empty()).then_some(Step::Remove(removed))
}

impl Facts {
    fn ids(&self, is: impl Fn(ReplicaId, &Member) -> bool) -> BTreeSet<ReplicaId> {
        let found = self.members.iter().filter(|&(&id, member)| is(id, member));
        found.map(|(&id, _)| id).collect()
    }

    /// Whether the replica of this name is on another disk now, so that this one is gone for ever.
    fn is_replaced(&self, id: ReplicaId, member: &Member) -> bool {
        let later = self.members.range(id + 1..);
        later.into_iter().any(|(_, other)| {
            other.name == member.name
                && other.presence == Presence::Live
                && member.presence != Presence::Live
        })
    }

    /// Who may vote: live, staying, and caught up once.
    fn is_eligible(&self, id: ReplicaId, member: &Member) -> bool {
        let live = id == self.me || member.presence == Presence::Live;
        live && !member.leaving && (member.caught_up || member.role == Role::Voter)
    }

    fn target(&self, limits: &Limits, voters: &BTreeSet<ReplicaId>) -> BTreeSet<ReplicaId> {
        let eligible = self.ids(|id, member| self.is_eligible(id, member));
        let count = odd(eligible.len().min(VOTERS_MAX));
        let standing = self.ids(|_, member| member.role == Role::Voter && !member.leaving);
        let grows = standing.len() < count && standing.is_subset(&eligible);
        let patience = if count == 1 { limits.long_gone } else { limits.replace };
        if grows || !self.is_anybody_expected(patience) {
            return self.choose(count, &eligible, voters);
        }
        if standing.is_empty() { voters.clone() } else { standing }
    }

    /// Whether some member is away that may well come back.
    fn is_anybody_expected(&self, patience: Duration) -> bool {
        self.members.iter().any(|(&id, member)| {
            let expected = match member.presence {
                // One that still catches up will vote soon.
                Presence::Live => {
                    member.leaving || (member.role == Role::Learner && !member.caught_up)
                }
                Presence::Silent(silent) => silent < patience,
            };
            id != self.me && expected && !self.is_replaced(id, member)
        })
    }

    /// The leader, then who votes already, then who came first.
    fn choose(
        &self,
        count: usize,
        eligible: &BTreeSet<ReplicaId>,
        voters: &BTreeSet<ReplicaId>,
    ) -> BTreeSet<ReplicaId> {
        let mut order: Vec<_> = eligible.iter().copied().collect();
        order.sort_by_key(|id| (*id != self.me, !voters.contains(id), *id));
        order.into_iter().take(count).collect()
    }

    /// The way out of a leader that stops: somebody else votes, then leads, and then demotes it.
    fn hand_over(&self) -> Option<Step> {
        let others = self.ids(|id, member| id != self.me && self.is_eligible(id, member));
        let role = |id: &&ReplicaId| self.members.get(id).map(|member| member.role);
        if let Some(&voter) = others.iter().find(|id| role(id) == Some(Role::Voter)) {
            return Some(Step::HandOver(voter));
        }
        let successor = *others.first()?;
        let mut voters = self.ids(|_, member| member.role == Role::Voter);
        voters.insert(successor);
        Some(Step::Vote(voters))
    }
}

impl Member {
    fn is_silent_for(&self, limit: Duration) -> bool {
        match self.presence {
            Presence::Live => false,
            Presence::Silent(silent) => limit <= silent,
        }
    }
}

/// The largest odd number up to `count`, and at least one.
const fn odd(count: usize) -> usize {
    if count == 0 { 1 } else { count - 1 + count % 2 }
}

/// A replica's wish to take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub name: ReplicaName,
    pub disk: DiskId,
    /// Its seat in this generation's log, if its disk holds that log.
    pub id: Option<ReplicaId>,
}

/// What the leader makes of an [`Application`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is a member under this id.
    Member(ReplicaId),
    /// Its log is good, and its id was removed. It learns again under that id.
    Again(ReplicaId),
    /// It needs an id that no disk ever had: [`fresh_id`].
    Fresh,
}

/// Why a replica gets no seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NotAdmitted {
    #[error(
        "a live replica is named {0} already; give each its own --replica-name, or wait until that one is silent"
    )]
    NameTaken(ReplicaName),
    #[error("id {id} is none that this log gave; the highest is {highest}")]
    UnknownId { id: ReplicaId, highest: ReplicaId },
    #[error("id {id} is that of {owner}")]
    OtherName { id: ReplicaId, owner: ReplicaName },
}

/// Judges `application` when the log has committed up to `committed`.
pub fn admit(
    facts: &Facts,
    application: &Application,
    committed: u64,
) -> Result<Admission, NotAdmitted> {
    let taken = facts.members.iter().any(|(&id, member)| {
        member.name == application.name
            && Some(id) != application.id
            && member.presence == Presence::Live
            && member.disk != Some(application.disk)
    });
    if taken {
        return Err(NotAdmitted::NameTaken(application.name.clone()));
    }
    let Some(id) = application.id else { return Ok(Admission::Fresh) };
    match facts.members.get(&id) {
        Some(member) if member.name == application.name => Ok(Admission::Member(id)),
        Some(member) => Err(NotAdmitted::OtherName { id, owner: member.name.clone() }),
        None if fresh_id(committed) < id => {
            Err(NotAdmitted::UnknownId { id, highest: fresh_id(committed) })
        }
        None => Ok(Admission::Again(id)),
    }
}

/// The id that the entry committed at `index` stands for. No other entry gives it.
///
/// The former's is that of the first entry of its log: a log's first entry seats nobody else.
pub const fn fresh_id(index: u64) -> ReplicaId {
    index + 1
}

#[cfg(test)]
mod tests;
