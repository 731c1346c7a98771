//! What the leader does beside leading: who votes, who gets a seat, and what the log says of the cluster.

use std::{collections::BTreeSet, num::NonZeroU16, sync::Arc, time::Duration};

use futures_util::FutureExt;
use openraft::{ChangeMembers, Raft, ServerState};

use super::{
    Driver, NotSeated, ProposeError, Shared, Storage,
    driver::Applicant,
    look::{Metrics, committed},
};
use crate::{
    batch::{Batch, ClusterChange, Item},
    identity::{ReplicaName, Seat},
    machine::{Applier, StateMachine},
    membership::{
        Admission, Application, Contacts, Facts, Member, Presence, Role, Step, admit, next,
    },
    types::{Replica, ReplicaId, Types},
};

/// A member is caught up when it lacks no more entries than this. At 25 entries a second, a few
/// seconds' worth.
const LAG_ENTRIES_MAX: u64 = 128;

/// What a leader knows beside the log, while it leads in one term.
#[derive(Debug)]
pub(super) struct Office {
    term: u64,
    contacts: Contacts,
}

impl<S: Storage> Driver<S> {
    /// Does what the leader has to do next, if this replica leads.
    pub(super) fn lead(&mut self) {
        let now = self.now();
        let metrics = self.metrics().filter(|metrics| metrics.state == ServerState::Leader);
        let Some(metrics) = metrics else {
            self.office = None;
            return;
        };
        let term = metrics.current_term;
        if self.office.as_ref().map(|office| office.term) != Some(term) {
            self.office = Some(Office { term, contacts: Contacts::elected(now) });
        }
        self.note_contacts(&metrics, now);
        if self.change.is_some() || !self.has_quorum(&metrics) {
            return;
        }
        if let Some(said) = self.to_say() {
            self.say(said);
            return;
        }
        if !self.tail.is_empty() {
            self.say_tail();
            return;
        }
        let step = next(&self.membership(&metrics), &self.config.membership);
        if let Some(step) = step {
            self.change_membership(step);
        }
    }

    fn note_contacts(&mut self, metrics: &Metrics, now: Duration) {
        let members: BTreeSet<_> =
            metrics.membership_config.membership().nodes().map(|(&id, _)| id).collect();
        let heard: Vec<_> = members
            .iter()
            .filter_map(|&id| {
                let heard = self.heard.values().find(|heard| self.is_at(&heard.hello, id))?;
                Some((id, heard.at))
            })
            .collect();
        if let Some(Office { contacts, .. }) = &mut self.office {
            contacts.keep(|id| members.contains(&id));
            for (id, at) in heard {
                contacts.heard(at.min(now), id);
            }
        }
    }

    /// What the log should say of the cluster and does not say.
    fn to_say(&self) -> Option<ClusterChange> {
        let facts = self.facts()?;
        let cluster = facts.cluster.as_ref()?;
        // In the middle of a roll-out replicas declare different numbers; then the old one stands.
        let ours = self.config.declared;
        let members = facts.membership.names.values();
        let all_agree = members.filter(|name| **name != *self.config.name.as_str()).all(|name| {
            let heard = self.heard.values().find(|heard| heard.hello.status.name.as_str() == name);
            heard.is_some_and(|heard| heard.hello.configured == ours)
        });
        let replicas = NonZeroU16::new(ours)?;
        let differs = cluster.declared_size != replicas;
        (differs && all_agree).then_some(ClusterChange::SizeDeclared { replicas })
    }

    fn say(&mut self, change: ClusterChange) {
        let shared = Arc::clone(&self.shared);
        self.change = Some(
            async move {
                if let Err(fault) = write(&shared, change).await {
                    tracing::warn!(%fault, "cannot write what the log should say of the cluster");
                }
            }
            .boxed(),
        );
    }

    /// Puts into the new log what this replica had not applied of the old one.
    fn say_tail(&mut self) {
        let (shared, tail) = (Arc::clone(&self.shared), std::mem::take(&mut self.tail));
        self.change = Some(
            async move {
                for batch in super::travel::aged(tail) {
                    let Ok(bytes) = batch.encode() else { continue };
                    if let Err(fault) = shared.propose(bytes).await {
                        tracing::warn!(%fault, "what the old log ended with is lost");
                        return;
                    }
                }
            }
            .boxed(),
        );
    }

    /// What the membership's core wants to know.
    fn membership(&self, metrics: &Metrics) -> Facts {
        let config = &metrics.membership_config;
        let voters: BTreeSet<_> = config.membership().voter_ids().collect();
        let joint = 1 < config.membership().get_joint_config().len();
        let committed = metrics.committed_membership_config.log_id() == config.log_id();
        let members = config.membership().nodes().filter_map(|(&id, node)| {
            let role = if voters.contains(&id) { Role::Voter } else { Role::Learner };
            Some((id, self.member(id, node, role, metrics)?))
        });
        Facts {
            me: metrics.id,
            members: members.collect(),
            changing: joint || !committed || self.change.is_some(),
        }
    }

    fn member(
        &self,
        id: ReplicaId,
        node: &Replica,
        role: Role,
        metrics: &Metrics,
    ) -> Option<Member> {
        let name = ReplicaName::new(node.name.clone()).ok()?;
        if id == metrics.id {
            let leaving =
                self.forming.status(self.now()).leaving || !self.shared.hello.load().applies;
            let (presence, disk) = (Presence::Live, Some(self.disk()));
            return Some(Member { name, role, presence, disk, caught_up: true, leaving });
        }
        let hello = self.heard.values().map(|heard| &heard.hello);
        let hello = hello.into_iter().find(|hello| self.is_at(hello, id));
        let office = self.office.as_ref()?;
        let presence = office.contacts.presence(self.now(), id, &self.config.membership);
        let matched = metrics.replication.as_ref().and_then(|progress| *progress.get(&id)?);
        let lag = metrics.last_log_index.unwrap_or(0).checked_sub(matched.map_or(0, |id| id.index));
        let caught_up = matched.is_some() && lag.unwrap_or(0) <= LAG_ENTRIES_MAX;
        let leaving = hello.is_some_and(|hello| hello.status.leaving || !hello.applies);
        let disk = hello.map(|hello| hello.status.disk);
        Some(Member { name, role, presence, disk, caught_up, leaving })
    }

    fn change_membership(&mut self, step: Step) {
        let Some(seated) = self.shared.seated.load_full() else { return };
        let (shared, patience) = (Arc::clone(&self.shared), self.config.timing.election_max * 2);
        tracing::info!(?step, "changes the membership");
        let changing = async move {
            let changed = tokio::time::timeout(patience, carry_out(&shared, &seated.raft, &step));
            match changed.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::warn!(?step, why, "cannot change the membership"),
                Err(_) => tracing::warn!(?step, "the membership has not changed in time"),
            }
        };
        self.change = Some(changing.boxed());
    }

    /// Gives a replica a seat in this replica's log.
    pub(super) fn admit(&mut self, application: Application, answer: Applicant) {
        let metrics = self.metrics().filter(|metrics| self.has_quorum(metrics));
        let facts = metrics.as_ref().map(|metrics| self.membership(metrics));
        let (Some(metrics), Some(facts)) = (metrics, facts) else {
            let _gone = answer.send(Err(NotSeated::NotLeader));
            return;
        };
        let admission = admit(&facts, &application, committed(Some(&metrics)));
        tracing::info!(name = %application.name, ?admission, "a replica applies for a seat");
        let (Some(seated), Some(held)) = (self.shared.seated.load_full(), &self.held) else {
            let _gone = answer.send(Err(NotSeated::NotLeader));
            return;
        };
        let (shared, applier) = (Arc::clone(&self.shared), held.applier.clone());
        let patience = self.config.timing.work;
        let admitting = async move {
            let seating = seat(&shared, &seated, &applier, &application, admission);
            let given = tokio::time::timeout(patience, seating).await;
            let late = |_| Err(NotSeated::Failed("the log took too long".into()));
            let _gone = answer.send(given.unwrap_or_else(late));
        };
        self.admissions.push(admitting.boxed());
    }
}

async fn seat(
    shared: &Shared,
    seated: &super::Seated,
    applier: &Applier,
    application: &Application,
    admission: Result<Admission, crate::membership::NotAdmitted>,
) -> Result<Seat, NotSeated> {
    let failed = |why: String| NotSeated::Failed(why);
    let (id, learns) = match admission? {
        Admission::Member(id) => (id, false),
        Admission::Again(id) => (id, true),
        Admission::Fresh => {
            let (name, disk) = (application.name.clone(), application.disk);
            let change = ClusterChange::ReplicaAdmitted { name, disk };
            let index = write(shared, change).await.map_err(|why| failed(why.to_string()))?;
            applier.reading().reached(index).await;
            let facts = Arc::clone(&applier.reading().load().facts);
            let given = facts.replicas.iter().find(|(_, admitted)| {
                admitted.name == application.name && admitted.disk == application.disk
            });
            let given = given.map(|(&id, _)| id);
            (
                given.ok_or_else(|| {
                    failed("the log gave no id; too many replicas have one".into())
                })?,
                true,
            )
        }
    };
    if learns {
        let node = Replica { name: application.name.to_string() };
        let added = seated.raft.add_learner(id, node, false).await;
        added.map_err(|why| failed(why.to_string()))?;
    }
    let facts = Arc::clone(&applier.reading().load().facts);
    let cluster = facts.cluster.as_ref().ok_or_else(|| failed("no cluster is formed".into()))?;
    Ok(Seat {
        cluster: cluster.id,
        generation: cluster.generation,
        id,
        declared: cluster.declared_size.get(),
        lineage: cluster.lineage.clone(),
    })
}

async fn carry_out(
    shared: &Shared,
    raft: &Raft<Types, StateMachine>,
    step: &Step,
) -> Result<(), String> {
    match step {
        Step::Vote(voters) => {
            let change = ChangeMembers::ReplaceAllVoters(voters.clone());
            raft.change_membership(change, true).await.map_err(|why| why.to_string())?;
        }
        Step::Remove(gone) => {
            let change = ChangeMembers::RemoveNodes(gone.clone());
            raft.change_membership(change, true).await.map_err(|why| why.to_string())?;
            for &id in gone {
                let removed = write(shared, ClusterChange::ReplicaRemoved { id }).await;
                removed.map_err(|why| why.to_string())?;
            }
        }
        Step::HandOver(to) => {
            raft.trigger().transfer_leader(*to).await.map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

/// Writes one change of the cluster into this replica's log.
async fn write(shared: &Shared, change: ClusterChange) -> Result<u64, ProposeError> {
    let batch = Batch { items: vec![Item::Cluster(change)], ..Batch::default() };
    let bytes = batch.encode().map_err(|_| ProposeError::NotLeader)?;
    shared.write(bytes).await?.await
}
