//! Whole logs over links: replicas form, agree, lose one and get it back.

use std::{path::Path, sync::Arc, time::Duration};

use convoy_prefix_index::{Endpoint, HashParams, HashVersion, Incarnation, Stamp};
use convoy_raft::{
    batch::{Batch, EndpointChange, Item},
    cluster::{Cluster, Config, Founding, OnDisk, Timing as LogTiming, start},
    forming,
    machine::Threads,
    membership,
    peers::{Address, Peers},
};
use ractor::{Actor, ActorRef};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use super::*;
use crate::supervision::Supervisor;

const COUNT: usize = 3;

/// One replica, whole but for who asks it.
struct Whole {
    cluster: Cluster,
    metrics: Metrics,
    tree: ActorRef<supervision::Msg>,
    _driver: JoinSet<()>,
}

/// What outlives a replica's process.
struct Place {
    name: String,
    address: Address,
    directory: TempDir,
    files: Files,
}

struct Deaf;

impl Hear for Deaf {
    fn hear(&self, _from: &ReplicaName, _batch: Bytes) {}
}

impl Place {
    fn new(number: usize, address: Address, authority: &Authority) -> Self {
        let (name, directory) = (format!("epp-{number}"), tempfile::tempdir().unwrap());
        let files = authority.issue(directory.path(), &Paper::of(&[&name]));
        Self { name, address, directory, files }
    }

    async fn start(&self, peers: &Peers, listener: TcpListener) -> Whole {
        let name = ReplicaName::new(&*self.name).unwrap();
        let credentials = Credentials::load(self.files.clone(), name.clone(), unix_time()).unwrap();
        let (security, metrics) = (Security::Mutual(Arc::new(credentials)), Metrics::default());
        let advertised = self.address.clone();
        let start_id = fastrand::u64(..);
        let me = Me { name: name.clone(), pool: "ns/pool".into(), advertised, start: start_id };
        let links = Links::new(me, security, Timing::default(), metrics.clone());
        let config = self.config(name, peers, &links);
        let (cluster, driver) = start(config).unwrap();
        let receivers = Receivers { serve: Arc::new(cluster.clone()), hear: Arc::new(Deaf) };
        let supervision = supervision::Metrics::default();
        let children = links.children(listener, receivers, supervision.clone());
        let arguments = supervision::Arguments { children, metrics: supervision };
        let (tree, _) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { driver.run().await.unwrap() });
        Whole { cluster, metrics, tree, _driver: running }
    }

    fn config(&self, name: ReplicaName, peers: &Peers, links: &Links) -> Config<OnDisk> {
        let directory: &Path = self.directory.path();
        Config {
            name,
            pool: "ns/pool".into(),
            declared: 3,
            advertised: self.address.clone(),
            peers: Some(peers.clone()),
            directory: directory.join("data"),
            timing: LogTiming {
                heartbeat: Duration::from_millis(50),
                election_min: Duration::from_millis(300),
                election_max: Duration::from_millis(600),
                round: Duration::from_millis(50),
                ..LogTiming::default()
            },
            forming: forming::Limits::default(),
            membership: membership::Limits::default(),
            founding: Founding {
                hash: HashParams::new([7; 16], 256, HashVersion::V1).unwrap(),
                memberships_max: 1_000_000,
            },
            threads: Threads::Own,
            storage: OnDisk { clock: clock::now },
            transport: Arc::new(links.clone()),
            resolve: Arc::new(Dns),
            listener: Box::new(|| Box::new(|_| {})),
            proposals: None,
            clock: clock::now,
            random: fastrand::Rng::new(),
        }
    }
}

impl Whole {
    /// How many endpoints its machine knows.
    fn places(&self) -> usize {
        self.cluster.published().map_or(0, |published| published.places.len())
    }

    fn voters(&self) -> usize {
        let view = self.cluster.view();
        if view.led { view.replicas.iter().filter(|replica| replica.voter).count() } else { 0 }
    }

    async fn digest(&self) -> convoy_raft::machine::MachineDigest {
        let machine = self.cluster.applier().borrow().clone().unwrap();
        machine.digest().await.unwrap().1
    }

    /// As a kill does: without a word.
    async fn kill(self) {
        self.tree.kill_and_wait(None).await.unwrap();
    }
}

/// A batch that makes an endpoint join.
fn joins(port: u16) -> Bytes {
    let endpoint = Endpoint::new(([10, 1, 0, 1], port).into(), Incarnation(1));
    let change = EndpointChange::Joined { endpoint, replaces: None, capacity_blocks: 100 };
    Batch { stamp: Stamp(1), items: vec![Item::Endpoint(change)] }.encode().unwrap()
}

/// Proposes until it is in the log: a leader may just be changing.
async fn propose(at: &Whole, port: u16) {
    eventually("a batch in the log", async || at.cluster.propose(joins(port)).await.is_ok()).await;
}

async fn settled(replicas: &[Whole], places: usize) {
    eventually("everybody votes and knows all", async || {
        replicas.iter().all(|one| one.voters() == COUNT && one.places() == places)
    })
    .await;
    let first = replicas[0].digest().await;
    for one in replicas {
        assert_eq!(one.digest().await, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_form_agree_and_take_back_one_that_was_killed() {
    let authority = Authority::new();
    let mut listeners = Vec::new();
    for _ in 0..COUNT {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<Address> =
        listeners.iter().map(|listener| listener.local_addr().unwrap().into()).collect();
    let peers = Peers::Listed(addresses.clone());
    let place = |(number, address)| Place::new(number, address, &authority);
    let places: Vec<_> = addresses.into_iter().enumerate().map(place).collect();
    let mut replicas = Vec::new();
    for (place, listener) in places.iter().zip(listeners) {
        replicas.push(place.start(&peers, listener).await);
    }
    settled(&replicas, 0).await;
    for port in 0..30 {
        propose(&replicas[usize::from(port) % COUNT], port).await;
    }
    settled(&replicas, 30).await;

    let leader = replicas[0].cluster.view().leader.clone().unwrap();
    let lost = places.iter().position(|place| place.name == leader.as_str()).unwrap();
    replicas.remove(lost).kill().await;
    for port in 30..40 {
        propose(&replicas[usize::from(port) % replicas.len()], port).await;
    }
    let address = format!("{}:{}", places[lost].address.host(), places[lost].address.port());
    let listener = TcpListener::bind(address).await.unwrap();
    replicas.push(places[lost].start(&peers, listener).await);
    settled(&replicas, 40).await;
    for one in &replicas {
        for side in [Side::This, Side::Other] {
            assert_eq!(one.metrics.refusals(side, Reason::OtherCluster), 0);
            assert_eq!(one.metrics.refusals(side, Reason::SameName), 0);
        }
    }
}
