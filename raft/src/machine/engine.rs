//! The machine as openraft sees it.
//!
//! The engine hands over committed entries and is answered when they are applied. What came of
//! their items is told to the listener, not to the engine: a write answers nothing but that it is
//! in the log.
//!
//! When the machine stops, the engine goes on: entries are passed over, so this replica still
//! keeps the log and votes until it is demoted, and what is committed stays so. No snapshot is cut
//! meanwhile, so no entry that was passed over leaves the log; a restart with a version that knows
//! them applies them.

use std::{collections::BTreeMap, io};

use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, Membership as EngineMembership, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotPolicy,
    alias::{CommittedLeaderIdOf, SnapshotOf},
    storage::{EntryResponder, RaftStateMachine},
    vote::RaftLeaderId,
};

use super::{
    Applier, FrozenMachine, LogPosition, Membership,
    files::{Files, Stored},
    owner::{Committed, Content},
    transfer::{Received, SnapshotData},
};
use crate::types::{Entry, LogId, Replica, SnapshotMeta, StoredMembership, Types};

/// Entries handed over at once. Whoever waits for the first of them waits for all.
const HANDED_OVER_MAX: usize = 16;

/// How often the engine asks whether a snapshot is due. Whether it is goes by the log's bytes.
const SNAPSHOT_ASKED_ENTRIES: u64 = 64;

/// The snapshot policy that the engine has to be configured with.
pub fn snapshot_policy() -> SnapshotPolicy {
    SnapshotPolicy::LogsSinceLast(SNAPSHOT_ASKED_ENTRIES)
}

/// openraft's side of an [`Applier`].
#[derive(Debug)]
pub struct StateMachine {
    applier: Applier,
}

/// Writes the snapshot that was frozen for it.
#[derive(Debug)]
pub struct SnapshotBuilder {
    applier: Applier,
    frozen: Option<(FrozenMachine, u64)>,
}

impl StateMachine {
    pub fn new(applier: Applier) -> Self {
        Self { applier }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let published = self.applier.reading().load_full();
        Ok((published.applied.map(Into::into), stored_membership(&published.facts.membership)))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut ended = false;
        while !ended {
            let (mut batch, mut waiting) = (Vec::new(), Vec::new());
            while batch.len() < HANDED_OVER_MAX && !ended {
                match entries.next().await {
                    Some(next) => {
                        let (entry, responder) = next?;
                        batch.push(committed(entry));
                        waiting.extend(responder);
                    }
                    None => ended = true,
                }
            }
            self.applier.apply(batch).await?;
            for responder in waiting {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        let applier = self.applier.clone();
        let stopped = applier.reading().load().stopped.is_some();
        if stopped && !force {
            return None;
        }
        match applier.freeze(force).await {
            Ok(None) if !force => None,
            Ok(frozen) => Some(SnapshotBuilder { applier, frozen }),
            Err(fault) => {
                tracing::error!(%fault, "no snapshot was taken");
                force.then_some(SnapshotBuilder { applier, frozen: None })
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let applier = self.applier.clone();
        let builder = self.try_create_snapshot_builder(true).await;
        builder.unwrap_or(SnapshotBuilder { applier, frozen: None })
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let position = snapshot.position();
        if position.map(LogId::from) != meta.last_log_id {
            let fault = format!("a snapshot up to {position:?} came as one up to {meta}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        let bytes = snapshot.bytes();
        self.applier.install(snapshot).await?;
        let at = position.map(|position| position.index);
        tracing::info!(at, bytes, "a snapshot took the machine's place");
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, SnapshotData>>, io::Error> {
        Ok(self.applier.snapshot().map(with_meta))
    }
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    /// An error here ends the engine. Where there is an older snapshot, that is answered instead,
    /// and the log grows until the next attempt.
    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotData>, io::Error> {
        let fault = match self.frozen.take() {
            Some((frozen, covered)) => match self.applier.store(frozen, covered).await {
                Ok(stored) => {
                    let at = stored.position.map(|position| position.index);
                    tracing::info!(at, bytes = stored.bytes, "a snapshot was written");
                    return Ok(with_meta(SnapshotData::of(stored)));
                }
                Err(fault) => fault,
            },
            None => io::Error::other("there is no machine to take a snapshot of"),
        };
        let older = self.applier.snapshot().map(with_meta).ok_or_else(|| {
            io::Error::new(fault.kind(), format!("cannot write a snapshot: {fault}"))
        })?;
        tracing::error!(%fault, "cannot write a snapshot; the log is kept from the last one on");
        Ok(older)
    }
}

impl SnapshotData {
    /// Lets a received snapshot count, and answers the machine in it.
    pub(super) fn install(self, files: &Files) -> io::Result<Box<super::Machine>> {
        let Self { stored, received } = self;
        match received {
            Some(Received { machine, unfinished, .. }) => {
                files.adopt(unfinished, stored)?;
                Ok(machine)
            }
            None => stored.restore(),
        }
    }
}

/// What the engine wants to know of a snapshot.
pub(super) fn meta(stored: &Stored) -> SnapshotMeta {
    let last_membership = stored_membership(&stored.membership);
    SnapshotMeta { last_log_id: stored.position.map(Into::into), last_membership }
}

fn with_meta(snapshot: SnapshotData) -> SnapshotOf<Types, SnapshotData> {
    Snapshot { meta: snapshot.meta(), snapshot }
}

fn committed(entry: Entry) -> Committed {
    let content = match entry.payload {
        EntryPayload::Blank => Content::Blank,
        EntryPayload::Normal(payload) => Content::Batch(payload),
        EntryPayload::Membership(membership) => Content::Membership(Membership {
            position: None,
            voters: membership.get_joint_config().clone(),
            names: membership.nodes().map(|(&id, node)| (id, node.name.clone())).collect(),
        }),
    };
    Committed { position: entry.log_id.into(), content }
}

fn stored_membership(membership: &Membership) -> StoredMembership {
    let Membership { position, voters, names } = membership;
    let nodes: BTreeMap<_, _> =
        names.iter().map(|(&id, name)| (id, Replica { name: name.clone() })).collect();
    // What is in a machine was a membership of the engine's, or was made for one voter.
    let engines = EngineMembership::new(voters.clone(), nodes).unwrap_or_default();
    StoredMembership::new(position.map(Into::into), engines)
}

impl From<LogId> for LogPosition {
    fn from(id: LogId) -> Self {
        let leader = id.committed_leader_id();
        Self { term: leader.term, leader: leader.node_id, index: id.index }
    }
}

impl From<LogPosition> for LogId {
    fn from(LogPosition { term, leader, index }: LogPosition) -> Self {
        Self::new(CommittedLeaderIdOf::<Types>::new(term, leader), index)
    }
}
