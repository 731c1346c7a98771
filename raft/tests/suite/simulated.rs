//! Whole replicas on a simulated network: real cores, openraft and machines, logs in memory, paused time.
//!
//! One thread runs everything. Time passes only when all wait, so minutes take seconds.

mod memory;
mod net;

use std::{
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use convoy_prefix_index::{HashParams, HashVersion};
use convoy_raft::{
    cluster::{Cluster, Config, Founding, NoNames, RoleView, Timing, start},
    forming,
    identity::ReplicaName,
    machine::{MachineDigest, Threads},
    membership,
    peers::{Address, Peers},
};
use tokio::task::JoinHandle;

use self::memory::Memory;
pub(crate) use self::net::Net;

/// Several replicas, some of them running.
pub(crate) struct Simulation {
    pub(crate) net: Net,
    pub(crate) replicas: Vec<Replica>,
    memory: Memory,
    random: fastrand::Rng,
    _directory: tempfile::TempDir,
}

pub(crate) struct Replica {
    name: ReplicaName,
    pub(crate) address: Address,
    directory: PathBuf,
    running: Option<(Cluster, JoinHandle<()>)>,
}

/// Runs `test` with so many replicas on empty disks, none of them started.
pub(crate) fn simulate<F: Future<Output = ()>>(
    seed: u64,
    count: u16,
    test: impl FnOnce(Simulation) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let replicas = (0..count).map(|i| Replica {
            name: ReplicaName::new(format!("epp-{i}")).unwrap(),
            address: format!("10.0.0.{}:9010", i + 1).parse().unwrap(),
            directory: directory.path().join(format!("epp-{i}")),
            running: None,
        });
        let simulation = Simulation {
            net: Net::new(seed),
            replicas: replicas.collect(),
            memory: Memory::default(),
            random: fastrand::Rng::with_seed(seed),
            _directory: directory,
        };
        test(simulation).await;
    });
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Simulation {
    pub(crate) fn start(&mut self, of: usize) {
        let peers = self.replicas.iter().map(|replica| replica.address.clone()).collect();
        let declared = u16::try_from(self.replicas.len()).unwrap();
        let replica = &mut self.replicas[of];
        assert!(replica.running.is_none(), "stop it first");
        let config = Config {
            name: replica.name.clone(),
            pool: "pool".into(),
            declared,
            advertised: replica.address.clone(),
            peers: Some(Peers::Listed(peers)),
            directory: replica.directory.clone(),
            timing: Timing::default(),
            forming: forming::Limits::default(),
            membership: membership::Limits::default(),
            founding: Founding {
                hash: HashParams::new([7; 16], 256, HashVersion::V1).unwrap(),
                memberships_max: 1_000_000,
            },
            threads: Threads::None,
            storage: self.memory.clone(),
            transport: self.net.port(replica.address.clone()),
            resolve: Arc::new(NoNames),
            listener: Box::new(|| Box::new(|_| {})),
            proposals: None,
            clock: now,
            random: self.random.fork(),
        };
        let (cluster, driver) = start(config).unwrap();
        self.net.listen(replica.address.clone(), Arc::new(cluster.clone()));
        let name = replica.name.clone();
        #[expect(clippy::disallowed_methods, reason = "the test supervises it")]
        let task = tokio::spawn(async move {
            if let Err(fault) = driver.run().await {
                panic!("the driver of {name} ended: {fault:?}");
            }
        });
        replica.running = Some((cluster, task));
    }

    pub(crate) fn start_all(&mut self) {
        for of in 0..self.replicas.len() {
            if self.replicas[of].running.is_none() {
                self.start(of);
            }
        }
    }

    /// Ends a replica as SIGKILL does: it says nothing, and what it had written stays.
    pub(crate) async fn kill(&mut self, of: usize) {
        let replica = &mut self.replicas[of];
        if let Some((cluster, task)) = replica.running.take() {
            self.net.close(&replica.address);
            cluster.stop().await;
            task.await.unwrap();
        }
    }

    /// Ends a replica as SIGTERM does. True if all was handed over.
    pub(crate) async fn leave(&mut self, of: usize) -> bool {
        let cluster = self.cluster(of).clone();
        let left = cluster.leave(Duration::from_secs(20)).await;
        self.kill(of).await;
        left
    }

    pub(crate) fn wipe(&mut self, of: usize) {
        let replica = &self.replicas[of];
        assert!(replica.running.is_none(), "stop it first");
        self.memory.forget(&replica.directory);
        std::fs::remove_dir_all(&replica.directory).unwrap();
    }

    /// Has a replica's log hold `batch` where the others' hold the next.
    pub(crate) fn twist(&self, of: usize, batch: &Bytes) {
        self.memory.twist(&self.replicas[of].directory, batch);
    }

    pub(crate) fn cluster(&self, of: usize) -> &Cluster {
        &self.replicas[of].running.as_ref().unwrap().0
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Cluster)> {
        let replicas = self.replicas.iter().enumerate();
        replicas.filter_map(|(of, replica)| Some((of, &replica.running.as_ref()?.0)))
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let mut leaders = self.running().filter(|(_, cluster)| {
            let view = cluster.view();
            view.led && matches!(view.role, RoleView::Leader | RoleView::Alone)
        });
        leaders.next().map(|(of, _)| of)
    }

    /// Lets time pass until `is`.
    #[track_caller]
    pub(crate) fn eventually(
        &self,
        patience: Duration,
        is: impl Fn(&Self) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let mut looks = tokio::time::interval(Duration::from_millis(100));
            let until = tokio::time::Instant::now() + patience;
            while !is(self) {
                looks.tick().await;
                assert!(
                    tokio::time::Instant::now() < until,
                    "not within {patience:?} at {caller}\n{}",
                    self.describe()
                );
            }
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        let passed = tokio::time::timeout(time, std::future::pending::<()>()).await;
        assert!(passed.is_err(), "nothing ends it but time");
    }

    /// All that run take part in one led log, as many vote as should, and all have applied all.
    pub(crate) fn is_settled(&self) -> bool {
        let views: Vec<_> = self.running().map(|(_, cluster)| cluster.view()).collect();
        let Some(first) = views.first() else { return false };
        let should = views.len().min(5) - usize::from(views.len().min(5) % 2 == 0);
        let together = views.iter().all(|view| {
            let voters = || view.replicas.iter().filter(|replica| replica.voter);
            let live = voters().filter(|replica| replica.alive).count();
            view.led
                && view.generation == first.generation
                && voters().count() == should
                && live == should
        });
        let last = views.iter().map(|view| view.last).max().unwrap_or(0);
        let applied = |cluster: &Cluster| {
            cluster.published().and_then(|published| published.applied).map(|at| at.index)
        };
        let caught_up = self.running().all(|(_, cluster)| applied(cluster) == Some(last));
        together && caught_up
    }

    pub(crate) async fn digests(&self) -> Vec<MachineDigest> {
        let mut found = Vec::new();
        for (_, cluster) in self.running() {
            let applier = cluster.applier().borrow().clone().unwrap();
            found.push(applier.digest().await.unwrap().1);
        }
        found
    }

    pub(crate) fn describe(&self) -> String {
        let views = self.running().map(|(of, cluster)| {
            let applied = cluster.published().and_then(|published| published.applied);
            format!("{}: {:?}\n  applied {applied:?}", self.replicas[of].name, cluster.view())
        });
        views.collect::<Vec<_>>().join("\n")
    }
}
