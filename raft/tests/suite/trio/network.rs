//! Calls instead of sockets. Snapshots go chunk by chunk, as they do between processes.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
};

use convoy_raft::{
    machine::{Applier, SnapshotData},
    types::{Replica, ReplicaId, Types, Vote},
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2, Snapshot,
    alias::SnapshotOf,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};

use super::Engine;

/// Who can be called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    replicas: Arc<Mutex<BTreeMap<ReplicaId, (Engine, Applier)>>>,
}

/// One replica's way out.
#[derive(Debug)]
pub(crate) struct Caller {
    network: Network,
}

/// A way to one replica.
#[derive(Debug)]
pub(crate) struct Link {
    network: Network,
    target: ReplicaId,
}

impl Network {
    pub(crate) fn join(&self, id: ReplicaId, engine: Engine, applier: Applier) {
        self.replicas.lock().unwrap().insert(id, (engine, applier));
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { network: self.clone() }
    }
}

impl Link {
    fn target(&self) -> Result<(Engine, Applier), Unreachable<Types>> {
        let known = self.network.replicas.lock().unwrap().get(&self.target).cloned();
        known.ok_or_else(|| Unreachable::from_string("it has not started"))
    }
}

fn unreachable(fault: impl ToString) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(fault))
}

impl RaftNetworkFactory<Types> for Caller {
    type Network = Link;

    async fn new_client(&mut self, target: ReplicaId, _node: &Replica) -> Link {
        Link { network: self.network.clone(), target }
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let (engine, _) = self.target()?;
        engine.append_entries(request).await.map_err(unreachable)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let (engine, _) = self.target()?;
        engine.vote(request).await.map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let (engine, _) = self.target()?;
        engine.pre_vote(request).await.map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let lost = |fault: String| StreamingError::Unreachable(Unreachable::from_string(fault));
        let (engine, applier) = self.target()?;
        let mut incoming = applier.incoming().map_err(|fault| lost(fault.to_string()))?;
        let mut outgoing = snapshot.snapshot.outgoing();
        while let Some(chunk) = outgoing.next_chunk().map_err(|fault| lost(fault.to_string()))? {
            incoming.push(&chunk).map_err(|fault| lost(fault.to_string()))?;
        }
        let taken = incoming.finish().map_err(|fault| lost(fault.to_string()))?;
        let snapshot = Snapshot { meta: taken.meta(), snapshot: taken };
        let installed = engine.install_full_snapshot(vote, snapshot).await;
        installed.map_err(|fault| lost(fault.to_string()))
    }
}
