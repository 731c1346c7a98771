//! How the log fares, and what follows from it for everybody else.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
};

use openraft::{
    Instant as _, RaftMetrics, ServerState, async_runtime::WatchReceiver as _,
    storage::RaftLogStorage,
};

use super::{Driver, DriverError, ReplicaView, RoleView, Shared, Storage, View};
use crate::{
    forming::{Event, Told},
    identity::{Position, ReplicaName},
    machine::Facts,
    peers::Book,
    transport::wire::Hello,
    types::{ReplicaId, Types},
};

pub(super) type Metrics = RaftMetrics<Types>;

impl<S: Storage> Driver<S> {
    pub(super) fn metrics(&self) -> Option<Metrics> {
        let raft = self.held.as_ref()?.raft.as_ref()?;
        Some(raft.metrics().borrow_watched().clone())
    }

    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        let held = self.held.as_ref()?;
        Some(Arc::clone(&held.applier.reading().load().facts))
    }

    /// Tells the core how the log fares.
    pub(super) async fn look(&mut self) -> Result<(), DriverError> {
        let metrics = self.metrics();
        if let Some(Err(fatal)) = metrics.as_ref().map(|metrics| &metrics.running_state) {
            let seat = self.held.as_ref().map_or_else(String::new, |held| {
                format!("generation {} id {}", held.seat.generation, held.seat.id)
            });
            return Err(DriverError::Engine { seat, why: fatal.to_string() });
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let generation = held.seat.generation;
        let state = held.log.get_log_state().await.map_err(|source| DriverError::Log {
            seat: format!("generation {generation} id {}", held.seat.id),
            source,
        })?;
        let applied = held.applier.reading().load().applied;
        let applied = applied.map_or((0, 0), |applied| (applied.term, applied.index));
        let last = state.last_log_id.map_or((0, 0), |id| (id.committed_leader_id().term, id.index));
        let (term, index) = applied.max(last);
        let led = metrics.as_ref().and_then(|metrics| self.led(metrics));
        self.step(Event::Log { position: Position { generation, term, index }, led }).await?;
        let facts = self.facts();
        if let Some(cluster) = facts.as_ref().and_then(|facts| facts.cluster.as_ref()) {
            self.step(Event::Declared(cluster.declared_size.get())).await?;
        }
        Ok(())
    }

    /// The leader of this replica's log, if a quorum stands behind it and counts this replica in.
    fn led(&self, metrics: &Metrics) -> Option<ReplicaName> {
        let leader = metrics.current_leader?;
        if leader == metrics.id {
            return self.has_quorum(metrics).then(|| self.config.name.clone());
        }
        let heard = self.heard.values().find(|heard| {
            heard.hello.members.contains(&metrics.id) && self.is_at(&heard.hello, leader)
        })?;
        let fresh = self.now().saturating_sub(heard.at) < self.config.membership.live;
        let name = &heard.hello.status.name;
        let led = heard.hello.status.led().is_some_and(|led| led.leader == name);
        (fresh && led).then(|| name.clone())
    }

    pub(super) fn has_quorum(&self, metrics: &Metrics) -> bool {
        if metrics.state != ServerState::Leader {
            return false;
        }
        let voters = metrics.membership_config.membership().voter_ids().count();
        let acked = metrics.last_quorum_acked.map(|at| at.elapsed());
        voters == 1 || acked.is_some_and(|acked| acked < self.config.timing.election_max)
    }

    /// Whether a replica has seat `id` in this replica's log.
    pub(super) fn is_at(&self, hello: &Hello, id: ReplicaId) -> bool {
        let Some(held) = &self.held else { return false };
        match &hello.status.told {
            Told::Inside { id: at, position, .. } => {
                *at == id && position.generation == held.seat.generation
            }
            Told::Empty | Told::Left { .. } => false,
        }
    }

    /// Renews all that the handle tells and serves.
    pub(super) async fn publish(&mut self) {
        self.switch_machine().await;
        self.tell();
        let metrics = self.metrics();
        self.renew_ready(metrics.as_ref());
        let view = self.view(metrics.as_ref());
        if view.role != self.shared.view.load().role {
            tracing::info!(role = ?view.role, term = view.term, leader = ?view.leader, "role");
        }
        self.shared.view.store(Arc::new(view));
        // Who is there to take over is known once everybody was asked.
        let asked = self.leaving_since.is_some_and(|since| since <= self.round_since);
        let left = asked && self.is_free(metrics.as_ref());
        self.shared.left.send_if_modified(|told| !std::mem::replace(told, left) && left);
    }

    /// Renews what others are told.
    pub(super) fn tell(&self) {
        let metrics = self.metrics();
        let metrics = metrics.as_ref();
        let leads = metrics.filter(|metrics| metrics.state == ServerState::Leader);
        let members = leads.map(|metrics| {
            metrics.membership_config.membership().nodes().map(|(&id, _)| id).collect()
        });
        let published = self.held.as_ref().map(|held| held.applier.reading().load_full());
        let stopped = published.as_ref().is_some_and(|published| published.stopped.is_some());
        let digests = published.iter().flat_map(|published| published.checkpoints.iter());
        let hello = Hello {
            status: self.forming.status(self.now()),
            advertised: self.config.advertised.clone(),
            configured: self.config.declared,
            committed: committed(metrics),
            members: members.unwrap_or_default(),
            digests: digests.map(|told| (told.position.index, told.digest.0)).collect(),
            applies: !stopped && !self.odd,
        };
        self.shared.hello.store(Arc::new(hello));
    }

    /// Ready is who has applied what the leader had committed when it was first seen.
    fn renew_ready(&mut self, metrics: Option<&Metrics>) {
        if *self.shared.ready.borrow() {
            return;
        }
        let leader = metrics.and_then(|metrics| self.led(metrics));
        let Some(leader) = leader else { return };
        let upto = match self.heard.get(&leader) {
            Some(heard) => heard.hello.committed,
            None => committed(metrics),
        };
        let upto = *self.ready_at.get_or_insert(upto);
        let applied = self.held.as_ref().and_then(|held| held.applier.reading().load().applied);
        let formed = self.facts().is_some_and(|facts| facts.cluster.is_some());
        if formed && applied.is_some_and(|applied| upto <= applied.index) {
            tracing::info!(upto, "has caught up");
            self.shared.ready.send_replace(true);
        }
    }

    /// Whether nobody needs this replica's vote, or nobody is there to need it.
    fn is_free(&self, metrics: Option<&Metrics>) -> bool {
        let Some(metrics) = metrics else { return true };
        let config = metrics.committed_membership_config.membership();
        let others = |id: &ReplicaId| *id != metrics.id;
        let there = |id: ReplicaId| {
            self.heard
                .values()
                .any(|heard| self.is_at(&heard.hello, id) && !heard.hello.status.leaving)
        };
        let alone = !config.nodes().map(|(&id, _)| id).filter(|id| others(id)).any(there);
        let votes = config.voter_ids().any(|id| id == metrics.id);
        alone || (!votes && metrics.state != ServerState::Leader)
    }

    fn view(&self, metrics: Option<&Metrics>) -> View {
        let waiting = self.forming.waiting().map(ToString::to_string);
        let declared = self.forming.declared();
        let (Some(held), Some(metrics)) = (&self.held, metrics) else {
            let replicas = self.in_sight(&BTreeMap::new());
            return View { declared, replicas, waiting, ..View::default() };
        };
        let members = metrics.membership_config.membership();
        let voters: Vec<_> = members.voter_ids().collect();
        let names: BTreeMap<_, _> = members
            .nodes()
            .filter_map(|(&id, node)| Some((id, ReplicaName::new(node.name.clone()).ok()?)))
            .collect();
        let role = match metrics.state {
            ServerState::Leader if names.len() == 1 => RoleView::Alone,
            ServerState::Leader => RoleView::Leader,
            ServerState::Follower | ServerState::Candidate => RoleView::Follower,
            ServerState::Learner => RoleView::Learner,
            ServerState::Shutdown => RoleView::Outside,
        };
        let mut replicas: Vec<_> = names
            .iter()
            .map(|(&id, name)| ReplicaView {
                name: name.clone(),
                id: Some(id),
                address: self.address_of(name),
                voter: voters.contains(&id),
                alive: id == metrics.id
                    || self.heard.values().any(|heard| self.is_at(&heard.hello, id)),
            })
            .collect();
        replicas.extend(self.in_sight(&names));
        View {
            role,
            cluster: Some(held.seat.cluster),
            generation: Some(held.seat.generation),
            id: Some(held.seat.id),
            leader: metrics.current_leader.and_then(|id| names.get(&id).cloned()),
            led: self.led(metrics).is_some(),
            term: metrics.current_term,
            last: metrics.last_log_index.unwrap_or(0),
            committed: committed(Some(metrics)),
            declared,
            replicas,
            waiting,
        }
    }

    /// Who answered and is none of `members`.
    fn in_sight(&self, members: &BTreeMap<ReplicaId, ReplicaName>) -> Vec<ReplicaView> {
        let strangers = self.heard.keys().filter(|name| !members.values().any(|m| m == *name));
        let seen = strangers.map(|name| ReplicaView {
            name: name.clone(),
            id: None,
            address: self.address_of(name),
            voter: false,
            alive: true,
        });
        seen.collect()
    }

    fn address_of(&self, name: &ReplicaName) -> Option<crate::peers::Address> {
        if *name == self.config.name {
            return Some(self.config.advertised.clone());
        }
        self.shared.book().address_of(name).cloned()
    }
}

pub(super) fn committed(metrics: Option<&Metrics>) -> u64 {
    let known = metrics.and_then(|metrics| metrics.cluster_committed.max(metrics.local_committed));
    known.map_or(0, |id| id.index)
}

impl Shared {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.links.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
