//! Real replicas in one process: openraft over a log in memory, and machines that snapshot to disk.

mod log;

mod network;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use convoy_prefix_index::Stamp;
use convoy_raft::{
    batch::{Batch, Item},
    identity::DiskId,
    machine::{
        Applier, Founder, LogPosition, Machine, StateMachine, Threads, found, snapshot_policy,
    },
    types::{Payload, Replica, ReplicaId, Types},
};
use log::MemoryLog;
use network::Network;
use openraft::{Config, Raft};
use tempfile::TempDir;

use crate::history::{History, formed, name};

pub(crate) type Engine = Raft<Types, StateMachine>;

/// Replicas that reach each other, and their folders.
struct Cluster {
    network: Network,
    replicas: Vec<One>,
}

struct One {
    id: ReplicaId,
    folder: TempDir,
    log: MemoryLog,
    applier: Applier,
    engine: Engine,
}

impl Cluster {
    /// A cluster of one, whose log begins with a snapshot.
    async fn founded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let position = LogPosition { term: 0, leader: 1, index: 0 };
        let founder = Founder { id: 1, name: name(1), disk: DiskId(1), position };
        found(folder.path(), &Machine::formed(&formed(1), founder).unwrap()).unwrap();
        let network = Network::default();
        let first = One::start(1, folder, MemoryLog::default(), &network).await;
        first.engine.wait(PATIENCE).current_leader(1, "elects itself").await.unwrap();
        Self { network, replicas: vec![first] }
    }

    /// Another replica, empty, that votes once it has caught up.
    async fn join(&mut self) -> &One {
        let id = self.replicas.len() as u64 + 1;
        let folder = tempfile::tempdir().unwrap();
        let one = One::start(id, folder, MemoryLog::default(), &self.network).await;
        self.replicas.push(one);
        let first = &self.replicas[0].engine;
        first.add_learner(id, Replica { name: name(id).to_string() }, true).await.unwrap();
        let voters: BTreeSet<ReplicaId> = (1..=id).collect();
        let changed = first.change_membership(voters, true).await.unwrap();
        let one = self.replicas.last().unwrap();
        assert!(one.applier.reading().reached(changed.log_id.index).await);
        one
    }

    async fn propose(&self, bytes: Bytes) -> u64 {
        let leader = &self.replicas[0].engine;
        leader.client_write(Payload(bytes)).await.unwrap().log_id.index
    }

    async fn propose_all(&self, history: &mut History, batches: usize) -> u64 {
        let mut last = 0;
        for _ in 0..batches {
            last = self.propose(history.batch().encode().unwrap()).await;
        }
        last
    }

    /// All have applied the entry at `index`, and hold the same.
    async fn agree_at(&self, index: u64) {
        let mut digests = BTreeSet::new();
        for one in &self.replicas {
            assert!(one.applier.reading().reached(index).await);
            let (at, digest) = one.applier.digest().await.unwrap();
            assert_eq!(at.unwrap().index, index);
            digests.insert(digest);
        }
        assert_eq!(digests.len(), 1);
    }
}

/// For what takes milliseconds, on a machine that others use too.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

impl One {
    async fn start(id: ReplicaId, folder: TempDir, log: MemoryLog, network: &Network) -> Self {
        let applier = Applier::start(folder.path(), Threads::Own, Box::new(|_| ())).unwrap();
        let config = Config {
            heartbeat_interval: 100,
            election_timeout_min: 1000,
            election_timeout_max: 2000,
            install_snapshot_timeout: 20_000,
            max_in_snapshot_log_to_keep: 0,
            enable_pre_vote: Some(true),
            snapshot_policy: snapshot_policy(),
            ..Config::default()
        };
        let config = Arc::new(config.validate().unwrap());
        let machine = StateMachine::new(applier.clone());
        let engine = Raft::new(id, config, network.caller(), log.clone(), machine).await.unwrap();
        network.join(id, engine.clone(), applier.clone());
        Self { id, folder, log, applier, engine }
    }

    async fn restart(self, network: &Network) -> Self {
        let Self { id, folder, log, applier, engine } = self;
        engine.shutdown().await.unwrap();
        drop((applier, engine));
        Self::start(id, folder, log, network).await
    }

    /// Cuts a snapshot, and the log before it.
    async fn compact(&self, index: u64) {
        assert!(self.applier.reading().reached(index).await);
        let there = |metrics: &openraft::RaftMetrics<Types>| {
            metrics.snapshot.is_some_and(|at| index <= at.index)
                && metrics.purged.is_some_and(|at| index <= at.index)
        };
        // The engine drops the wish while it asks by itself whether a snapshot is due.
        for _ in 0..30 {
            self.applier.want_snapshot();
            self.engine.trigger().snapshot().await.unwrap();
            let cut = self.engine.wait(Some(Duration::from_secs(1)));
            if cut.metrics(there, "a snapshot, and a short log").await.is_ok() {
                return;
            }
        }
        panic!("no snapshot up to {index} was cut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_begins_with_a_snapshot_and_whoever_joins_gets_it() {
    let mut cluster = Cluster::founded().await;
    let second = cluster.join().await;
    let facts = Arc::clone(&second.applier.reading().load().facts);
    assert_eq!(facts.cluster.as_ref().unwrap().id, formed(1).cluster);
    cluster.join().await;
    let last = cluster.propose_all(&mut History::new(1), 60).await;
    cluster.agree_at(last).await;
    let published = cluster.replicas[2].applier.reading().load_full();
    assert_eq!(published.facts.membership.voters, [[1, 2, 3].into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_late_is_given_a_snapshot_and_goes_on_from_there() {
    let mut cluster = Cluster::founded().await;
    cluster.join().await;
    let mut history = History::new(2);
    let last = cluster.propose_all(&mut history, 60).await;
    cluster.replicas[0].compact(last).await;
    let third = cluster.join().await;
    let snapshot = third.applier.snapshot().unwrap();
    assert!(last <= snapshot.position().unwrap().index);
    let last = cluster.propose_all(&mut history, 40).await;
    cluster.agree_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_replica_goes_on_from_its_snapshot_and_its_log() {
    let mut cluster = Cluster::founded().await;
    cluster.join().await;
    cluster.join().await;
    let mut history = History::new(3);
    let last = cluster.propose_all(&mut history, 60).await;
    cluster.replicas[2].compact(last).await;
    let last = cluster.propose_all(&mut history, 30).await;
    cluster.agree_at(last).await;
    let third = cluster.replicas.pop().unwrap();
    let third = third.restart(&cluster.network).await;
    cluster.replicas.push(third);
    let last = cluster.propose_all(&mut history, 30).await;
    cluster.agree_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_nobody_can_read_stops_machines_and_not_the_log() {
    let mut cluster = Cluster::founded().await;
    cluster.join().await;
    cluster.join().await;
    let last = cluster.propose_all(&mut History::new(4), 10).await;
    cluster.agree_at(last).await;
    let bad = cluster.propose(Bytes::from_static(b"from a version to come")).await;
    let batch = Batch { stamp: Stamp(1), items: Vec::<Item>::new() };
    let after = cluster.propose(batch.encode().unwrap()).await;
    assert_eq!(after, bad + 1);
    for one in &cluster.replicas {
        let engine = one.engine.wait(PATIENCE);
        engine.applied_index_at_least(Some(after), "the log goes on").await.unwrap();
        let published = one.applier.reading().load_full();
        assert_eq!(published.stopped.as_ref().unwrap().position.index, bad);
        assert_eq!(published.applied.unwrap().index, last);
    }
    cluster.agree_at(last).await;
}
