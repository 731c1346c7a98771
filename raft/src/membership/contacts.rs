//! When the leader last heard whom.

use std::{collections::BTreeMap, time::Duration};

use super::{Limits, Presence};
use crate::types::ReplicaId;

/// When each replica was last heard, as far as one leader knows.
///
/// A leader that has just been elected has heard nobody, and counts silence from its election on: it
/// would otherwise remove whom its predecessor heard a moment ago.
#[derive(Clone, Debug)]
pub struct Contacts {
    since: Duration,
    last: BTreeMap<ReplicaId, Duration>,
}

impl Contacts {
    /// Those of a leader elected at `now`.
    pub fn elected(now: Duration) -> Self {
        Self { since: now, last: BTreeMap::new() }
    }

    pub fn heard(&mut self, now: Duration, id: ReplicaId) {
        self.last.insert(id, now);
    }

    /// Forgets all but the members, whose number is bounded.
    pub fn keep(&mut self, is_member: impl Fn(ReplicaId) -> bool) {
        self.last.retain(|&id, _| is_member(id));
    }

    pub fn presence(&self, now: Duration, id: ReplicaId, limits: &Limits) -> Presence {
        let silent = now.saturating_sub(self.last.get(&id).copied().unwrap_or(self.since));
        if self.last.contains_key(&id) && silent < limits.live {
            Presence::Live
        } else {
            Presence::Silent(silent)
        }
    }
}
