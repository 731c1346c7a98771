//! A cluster of one, proposed to by many.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use convoy_raft::store::LogStore;
use convoy_raft::{Replica, ReplicaId, Types};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{
    Config, OptionalSend, Raft, RaftNetworkFactory, RaftNetworkV2, SnapshotPolicy, alias,
};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::machine::Machine;
use crate::{open, payload};

/// The only replica of its cluster.
pub(crate) struct Alone {
    raft: Raft<Types, Machine>,
    store: LogStore,
}

impl Alone {
    pub(crate) async fn begin(directory: &Path) -> Self {
        let store = open(directory).await;
        let config = Config { snapshot_policy: SnapshotPolicy::Never, ..Config::default() };
        let config = Arc::new(config.validate().expect("a legal configuration"));
        let machine = Machine::default();
        let raft = Raft::new(1, config, Nobody, store.clone(), machine).await.expect("a replica");
        raft.initialize(BTreeMap::from([(1, Replica { name: "alone".to_owned() })]))
            .await
            .expect("a fresh log");
        raft.wait(Some(Duration::from_secs(10))).current_leader(1, "elected").await.expect("me");
        Self { raft, store }
    }

    /// Proposes so many entries, each proposer one after the other; how long each took.
    pub(crate) async fn propose(
        &self,
        entries: u64,
        proposers: usize,
        bytes: usize,
    ) -> Vec<Duration> {
        let left = Arc::new(AtomicU64::new(entries));
        let mut tasks = JoinSet::new();
        for _ in 0..proposers {
            let (raft, left) = (self.raft.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                let mut took = Vec::new();
                let one_less = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                    took.push(write(&raft, bytes).await);
                }
                took
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }

    /// Proposes `entries` at `rate` a second.
    pub(crate) async fn propose_at(&self, rate: u32, entries: u32, bytes: usize) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..entries {
            tick.tick().await;
            write(&self.raft, bytes).await;
        }
    }

    pub(crate) async fn end(&self) {
        self.raft.shutdown().await.expect("an end");
        self.store.close().await;
    }
}

async fn write(raft: &Raft<Types, Machine>, bytes: usize) -> Duration {
    let begun = Instant::now();
    raft.client_write(payload(bytes)).await.expect("a leader");
    begun.elapsed()
}

/// Reaches nobody: there is nobody.
struct Nobody;

impl RaftNetworkFactory<Types> for Nobody {
    type Network = Self;

    async fn new_client(&mut self, _target: ReplicaId, _node: &Replica) -> Self {
        Self
    }
}

impl RaftNetworkV2<Types> for Nobody {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(RPCError::Network(NetworkError::from_string("nobody is there")))
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(RPCError::Network(NetworkError::from_string("nobody is there")))
    }

    async fn full_snapshot(
        &mut self,
        _vote: alias::VoteOf<Types>,
        _snapshot: alias::SnapshotOf<Types, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(StreamingError::Network(NetworkError::from_string("nobody is there")))
    }
}
