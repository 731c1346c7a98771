//! A model of each generation's log: who can lead it, how far it goes, and who votes.

use std::collections::{BTreeMap, BTreeSet};

use convoy_raft::{
    ReplicaId,
    forming::{Event, Offer, Told},
    identity::{ClusterId, Generation, Lineage, Position, ReplicaName, Seat},
    membership::{Contacts, Facts, Member, Presence, Role, Step, next},
};

use super::{MEMBERSHIP, Process, World};

/// Beats without a leader until somebody is elected.
const ELECTION_BEATS: u32 = 6;

#[derive(Debug)]
pub(crate) struct Log {
    cluster: ClusterId,
    declared: u16,
    lineage: Lineage,
    pub(crate) voters: BTreeSet<ReplicaId>,
    pub(crate) members: BTreeMap<ReplicaId, ReplicaName>,
    pub(crate) leader: Option<ReplicaId>,
    pub(crate) term: u64,
    pub(crate) last: u64,
    beats_unled: u32,
}

impl Log {
    pub(super) fn founded(
        id: ReplicaId,
        name: ReplicaName,
        offer: &Offer,
        start: u64,
        lineage: Lineage,
    ) -> Self {
        Self {
            cluster: offer.grant.cluster,
            declared: offer.declared,
            lineage,
            voters: BTreeSet::from([id]),
            members: BTreeMap::from([(id, name)]),
            leader: None,
            term: 0,
            last: start,
            beats_unled: 0,
        }
    }

    pub(super) fn seat(&self, generation: Generation, id: ReplicaId) -> Seat {
        let (cluster, declared) = (self.cluster, self.declared);
        Seat { cluster, generation, id, declared, lineage: self.lineage.clone() }
    }

    fn is_majority(&self, of: &BTreeSet<ReplicaId>) -> bool {
        self.voters.len() / 2 < self.voters.intersection(of).count()
    }
}

impl World {
    pub(super) fn process_mut(&mut self, of: usize) -> &mut Process {
        self.replicas[of].process.as_mut().expect("it is up")
    }

    /// The id under which a replica takes part in `generation` at this moment.
    pub(super) fn seat_of(&self, of: usize, generation: Generation) -> Option<ReplicaId> {
        let seat = self.replicas[of].process.as_ref()?.running.as_ref()?;
        (seat.generation == generation).then_some(seat.id)
    }

    fn takes_part(&self, generation: Generation) -> BTreeMap<ReplicaId, usize> {
        let seated = (0..self.replicas.len())
            .filter_map(|of| self.seat_of(of, generation).map(|id| (id, of)));
        seated.collect()
    }

    fn reached_from(
        &self,
        id: ReplicaId,
        part: &BTreeMap<ReplicaId, usize>,
    ) -> BTreeSet<ReplicaId> {
        let Some(&from) = part.get(&id) else { return BTreeSet::new() };
        part.iter().filter(|&(_, &of)| self.reaches(from, of)).map(|(&id, _)| id).collect()
    }

    pub(super) fn beat(&mut self) {
        let generations: Vec<_> = self.logs.keys().copied().collect();
        for generation in generations {
            let part = self.takes_part(generation);
            self.elect(generation, &part);
            self.replicate(generation, &part);
        }
    }

    fn elect(&mut self, generation: Generation, part: &BTreeMap<ReplicaId, usize>) {
        let log = &self.logs[&generation];
        let quorum = |id: ReplicaId| log.is_majority(&self.reached_from(id, part));
        let mut leader = log.leader.filter(|&id| quorum(id) && log.voters.contains(&id));
        let mut elected = false;
        if leader.is_none() && ELECTION_BEATS <= log.beats_unled {
            let held = |id: &ReplicaId| self.replicas[part[id]].disk.held;
            let able = log.voters.iter().copied().filter(|id| part.contains_key(id));
            // Its log goes at least as far as those of a majority that it reaches.
            let wins = |&id: &ReplicaId| {
                let mut grants = self.reached_from(id, part);
                grants.retain(|other| held(other) <= held(&id));
                log.is_majority(&grants)
            };
            leader = able.filter(wins).max_by_key(|id| (held(id), *id));
            elected = leader.is_some();
        }
        let log = self.logs.get_mut(&generation).unwrap();
        log.leader = leader;
        log.beats_unled = if leader.is_some() { 0 } else { log.beats_unled + 1 };
        log.term += u64::from(elected);
    }

    fn replicate(&mut self, generation: Generation, part: &BTreeMap<ReplicaId, usize>) {
        let Some(leader) = self.logs[&generation].leader else { return };
        let grows = self.random.bool();
        let reached = self.reached_from(leader, part);
        let log = self.logs.get_mut(&generation).unwrap();
        log.last += u64::from(grows);
        let position = (log.term, log.last);
        for id in reached.iter().filter(|id| log.members.contains_key(id)) {
            self.replicas[part[id]].disk.held = position;
        }
    }

    /// How the log fares that a replica holds.
    pub(super) fn log_facts(&self, of: usize) -> Option<Event> {
        let replica = &self.replicas[of];
        let generation = replica.disk.record.seat()?.generation;
        let (term, index) = replica.disk.held;
        let led = self.seat_of(of, generation).and_then(|id| {
            let log = &self.logs[&generation];
            let leader = log.members.get(&log.leader?)?;
            let member = log.members.contains_key(&id);
            (member && self.reaches(of, self.of_name(leader))).then(|| leader.clone())
        });
        Some(Event::Log { position: Position { generation, term, index }, led })
    }

    /// What the leader's office knows, if `of` leads.
    pub(super) fn facts(&self, of: usize) -> Option<Facts> {
        let process = self.replicas[of].process.as_ref()?;
        let seat = process.running.as_ref()?;
        let log = &self.logs[&seat.generation];
        let (term, contacts) = process.office.as_ref()?;
        if log.leader != Some(seat.id) || log.term != *term {
            return None;
        }
        let now = process.age(self.now);
        let members = log.members.iter().map(|(&id, name)| {
            let told = process.heard.iter().find(|status| is_at(&status.told, seat, id));
            let voter = log.voters.contains(&id);
            let member = Member {
                name: name.clone(),
                role: if voter { Role::Voter } else { Role::Learner },
                presence: if id == seat.id {
                    Presence::Live
                } else {
                    contacts.presence(now, id, &MEMBERSHIP)
                },
                disk: told.map(|status| status.disk),
                caught_up: told.is_some(),
                leaving: told.is_some_and(|status| status.leaving),
            };
            (id, member)
        });
        Some(Facts { me: seat.id, members: members.collect(), changing: false })
    }

    /// Acts as the leader, if `of` is one.
    pub(super) fn lead(&mut self, of: usize) {
        let now = self.now;
        let Some(process) = &mut self.replicas[of].process else { return };
        let Some(seat) = process.running.clone() else { return };
        let log = &self.logs[&seat.generation];
        if log.leader != Some(seat.id) {
            process.office = None;
            return;
        }
        let now = process.age(now);
        if process.office.as_ref().map(|office| office.0) != Some(log.term) {
            process.office = Some((log.term, Contacts::elected(now)));
        }
        let ids: Vec<_> = log.members.keys().copied().collect();
        if let Some((_, contacts)) = &mut process.office {
            for status in &process.heard {
                ids.iter().filter(|&&id| is_at(&status.told, &seat, id)).for_each(|&id| {
                    contacts.heard(now, id);
                });
            }
        }
        let step = self.facts(of).and_then(|facts| next(&facts, &MEMBERSHIP));
        if let Some(step) = step {
            self.change(&seat, step);
        }
    }

    fn change(&mut self, seat: &Seat, step: Step) {
        let part = self.takes_part(seat.generation);
        let reached = self.reached_from(seat.id, &part);
        let log = self.logs.get_mut(&seat.generation).unwrap();
        if !log.is_majority(&reached) {
            return;
        }
        match step {
            Step::Vote(voters) => {
                assert!(voters.iter().all(|id| log.members.contains_key(id)), "members vote");
                if voters.len() / 2 < voters.intersection(&reached).count() {
                    log.last += 1;
                    log.voters = voters;
                }
            }
            Step::Remove(gone) => {
                assert!(gone.is_disjoint(&log.voters), "learners are removed");
                log.last += 1;
                log.members.retain(|id, _| !gone.contains(id));
            }
            Step::HandOver(to) => {
                if reached.contains(&to) {
                    log.leader = Some(to);
                    log.term += 1;
                }
            }
        }
    }
}

fn is_at(told: &Told, seat: &Seat, at: ReplicaId) -> bool {
    match told {
        Told::Inside { id, position, .. } => *id == at && position.generation == seat.generation,
        Told::Empty | Told::Left { .. } => false,
    }
}
