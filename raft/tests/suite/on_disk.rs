//! Whole replicas on real disks and threads: formed, stopped, started again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use convoy_prefix_index::{HashParams, HashVersion};
use convoy_raft::{
    cluster::{Cluster, Config, Founding, NoNames, OnDisk, Timing, start},
    forming,
    identity::ReplicaName,
    machine::{MachineDigest, Threads},
    membership,
    peers::{Address, Peers},
};
use tokio::task::JoinHandle;

use crate::{clusters::joins, simulated::Net};

const COUNT: u16 = 3;
const PATIENCE: Duration = Duration::from_mins(1);

type Running = Vec<(Cluster, JoinHandle<()>)>;

#[expect(clippy::disallowed_methods, reason = "it is what replicas are given to tell time")]
fn now() -> Instant {
    Instant::now()
}

fn address(of: u16) -> Address {
    format!("10.0.0.{}:9010", of + 1).parse().unwrap()
}

fn run(net: &Net, directory: &std::path::Path, of: u16) -> (Cluster, JoinHandle<()>) {
    let timing = Timing {
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        round: Duration::from_millis(50),
        ..Timing::default()
    };
    let config = Config {
        name: ReplicaName::new(format!("epp-{of}")).unwrap(),
        pool: "pool".into(),
        declared: COUNT,
        advertised: address(of),
        peers: Some(Peers::Listed((0..COUNT).map(address).collect())),
        directory: directory.join(format!("epp-{of}")),
        timing,
        forming: forming::Limits::default(),
        membership: membership::Limits::default(),
        founding: Founding {
            hash: HashParams::new([7; 16], 256, HashVersion::V1).unwrap(),
            memberships_max: 1_000_000,
        },
        threads: Threads::Own,
        storage: OnDisk { clock: now },
        transport: net.port(address(of)),
        resolve: Arc::new(NoNames),
        listener: Box::new(|| Box::new(|_| {})),
        proposals: None,
        clock: now,
        random: fastrand::Rng::with_seed(of.into()),
    };
    let (cluster, driver) = start(config).unwrap();
    net.listen(address(of), Arc::new(cluster.clone()));
    #[expect(clippy::disallowed_methods, reason = "the test supervises it")]
    let task = tokio::spawn(async move { driver.run().await.unwrap() });
    (cluster, task)
}

async fn eventually(what: &str, is: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        while !is() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn settled(running: &Running, written: usize) -> Vec<MachineDigest> {
    let three_vote = |cluster: &Cluster| {
        let view = cluster.view();
        view.led && view.replicas.iter().filter(|replica| replica.voter).count() == 3
    };
    eventually("all three vote", || running.iter().all(|(cluster, _)| three_vote(cluster))).await;
    let applied = |cluster: &Cluster| {
        let published = cluster.published()?;
        (published.places.len() == written).then_some(published.applied)
    };
    eventually("all have applied all", || {
        let first = applied(&running[0].0);
        first.is_some() && running.iter().all(|(cluster, _)| applied(cluster) == first)
    })
    .await;
    let mut digests = Vec::new();
    for (cluster, _) in running {
        let machine = cluster.applier().borrow().clone().unwrap();
        digests.push(machine.digest().await.unwrap().1);
    }
    digests
}

async fn stop(running: Running) {
    for (cluster, task) in running {
        cluster.stop().await;
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_disk_go_on_with_what_they_had() {
    let directory = tempfile::tempdir().unwrap();
    let net = Net::new(0);
    let start_all =
        || -> Running { (0..COUNT).map(|of| run(&net, directory.path(), of)).collect() };

    let running = start_all();
    settled(&running, 0).await;
    for port in 0..20_u16 {
        let at = usize::from(port % COUNT);
        running[at].0.propose(joins(port)).await.unwrap();
    }
    let before = settled(&running, 20).await;
    assert!(before.windows(2).all(|pair| pair[0] == pair[1]), "{before:?}");
    let generation = running[0].0.view().generation;
    stop(running).await;

    let running = start_all();
    settled(&running, 20).await;
    assert_eq!(running[0].0.view().generation, generation);
    stop(running).await;
}
