//! Whole clusters on a simulated network: forming, fail-over, leaving, forming again.

use std::time::Duration;

use bytes::Bytes;
use convoy_prefix_index::{BlockHash, Endpoint, Incarnation, Origin, Sequence, Stamp};
use convoy_raft::{
    batch::{Batch, EndpointChange, Item, Seen, Sighted},
    cluster::Cluster,
};

use crate::{
    replay::for_seeds,
    simulated::{Simulation, simulate},
};

const SOON: Duration = Duration::from_secs(30);
/// The limit without a leader, an election's time, and the joining.
const AFTER_LOSS: Duration = Duration::from_secs(90);

/// A batch that makes an endpoint join: something that all replicas can be asked for.
pub(crate) fn joins(port: u16) -> Bytes {
    let endpoint = Endpoint::new(([10, 1, 0, 1], port).into(), Incarnation(1));
    let change = EndpointChange::Joined { endpoint, replaces: None, capacity_blocks: 100 };
    Batch { stamp: Stamp(1), items: vec![Item::Endpoint(change)] }.encode().unwrap()
}

fn has(cluster: &Cluster, port: u16) -> bool {
    let published = cluster.published();
    published.is_some_and(|published| published.places.contains_key(&([10, 1, 0, 1], port).into()))
}

fn origin(of: u64) -> Origin {
    Origin { replica: of, start: 1 }
}

/// A batch in which an origin saw the endpoint of port 1 hold a block.
fn sighted(of: u64) -> Bytes {
    let endpoint = Endpoint::new(([10, 1, 0, 1], 1).into(), Incarnation(1));
    let seen = Seen::Held { base: None, hashes: vec![BlockHash::new(of).unwrap()] };
    let (origin, sequence) = (origin(of), Sequence(1));
    let sighted = Sighted { origin, sequence, endpoint, age_ms: 0, seen };
    Batch { stamp: Stamp(2), items: vec![Item::Sighted(sighted)] }.encode().unwrap()
}

async fn propose(simulation: &Simulation, at: usize, port: u16) {
    write(simulation, at, joins(port)).await;
}

/// Proposes at one replica until it is written.
async fn write(simulation: &Simulation, at: usize, batch: Bytes) {
    let cluster = simulation.cluster(at);
    let mut tries = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..100 {
        tries.tick().await;
        if cluster.propose(batch.clone()).await.is_ok() {
            return;
        }
    }
    panic!("it was never written\n{}", simulation.describe());
}

async fn settle(simulation: &Simulation) {
    simulation.eventually(SOON, Simulation::is_settled).await;
    let digests = simulation.digests().await;
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}

#[test]
fn any_number_of_replicas_form_one_cluster() {
    for_seeds("any_number_of_replicas_form_one_cluster", 3, |seed| {
        for count in [1, 2, 3, 5, 8] {
            simulate(seed, count, async |mut simulation| {
                simulation.start_all();
                settle(&simulation).await;
                for at in 0..usize::from(count) {
                    propose(&simulation, at, 1000 + u16::try_from(at).unwrap()).await;
                }
                settle(&simulation).await;
                for (_, cluster) in simulation.running() {
                    assert!((0..count).all(|at| has(cluster, 1000 + at)));
                    assert!(*cluster.ready().borrow());
                }
            });
        }
    });
}

#[test]
fn nothing_is_lost_when_the_leader_dies() {
    for_seeds("nothing_is_lost_when_the_leader_dies", 5, |seed| {
        for count in [3, 5] {
            simulate(seed, count, async |mut simulation| {
                simulation.start_all();
                settle(&simulation).await;
                propose(&simulation, 0, 1).await;
                let leader = simulation.leader().unwrap();
                simulation.kill(leader).await;
                propose(&simulation, (leader + 1) % usize::from(count), 2).await;
                simulation.start(leader);
                settle(&simulation).await;
                assert!(
                    simulation.running().all(|(_, cluster)| has(cluster, 1) && has(cluster, 2))
                );
            });
        }
    });
}

#[test]
fn replicas_leave_one_after_the_other_and_come_back() {
    for_seeds("replicas_leave_one_after_the_other_and_come_back", 3, |seed| {
        for count in [2, 3, 5] {
            simulate(seed, count, async |mut simulation| {
                simulation.start_all();
                settle(&simulation).await;
                let generation = simulation.cluster(0).view().generation;
                for of in 0..usize::from(count) {
                    assert!(simulation.leave(of).await, "{of} of {count} handed over");
                    let other = (of + 1) % usize::from(count);
                    propose(&simulation, other, u16::try_from(of).unwrap()).await;
                    simulation.start(of);
                    settle(&simulation).await;
                }
                assert_eq!(simulation.cluster(0).view().generation, generation);
            });
        }
    });
}

#[test]
fn all_that_stop_at_once_go_on_with_what_they_had() {
    for_seeds("all_that_stop_at_once_go_on_with_what_they_had", 3, |seed| {
        simulate(seed, 3, async |mut simulation| {
            simulation.start_all();
            settle(&simulation).await;
            propose(&simulation, 0, 1).await;
            for of in 0..3 {
                simulation.kill(of).await;
            }
            simulation.start_all();
            settle(&simulation).await;
            assert!(simulation.running().all(|(_, cluster)| has(cluster, 1)));
        });
    });
}

#[test]
fn a_wiped_replica_joins_and_has_all_again() {
    for_seeds("a_wiped_replica_joins_and_has_all_again", 3, |seed| {
        simulate(seed, 3, async |mut simulation| {
            simulation.start_all();
            settle(&simulation).await;
            let generation = simulation.cluster(0).view().generation;
            for of in 0..3 {
                propose(&simulation, of, u16::try_from(of).unwrap()).await;
                simulation.kill(of).await;
                simulation.wipe(of);
                simulation.start(of);
                settle(&simulation).await;
                assert!(has(simulation.cluster(of), 0));
            }
            assert_eq!(simulation.cluster(0).view().generation, generation);
        });
    });
}

#[test]
fn two_of_three_wiped_at_once_form_again_from_the_third() {
    for_seeds("two_of_three_wiped_at_once_form_again_from_the_third", 3, |seed| {
        simulate(seed, 3, async |mut simulation| {
            simulation.start_all();
            settle(&simulation).await;
            propose(&simulation, 0, 1).await;
            settle(&simulation).await;
            let before = simulation.cluster(2).view();
            for of in [0, 1] {
                simulation.kill(of).await;
                simulation.wipe(of);
            }
            simulation.start_all();
            simulation.eventually(AFTER_LOSS, Simulation::is_settled).await;
            let after = simulation.cluster(2).view();
            assert_eq!(before.cluster, after.cluster);
            assert_eq!(after.generation.map(|generation| generation.number), Some(2));
            assert!(simulation.running().all(|(_, cluster)| has(cluster, 1)));
        });
    });
}

#[test]
fn both_sides_of_a_partition_serve_and_the_newer_generation_wins() {
    for_seeds("both_sides_of_a_partition_serve_and_the_newer_generation_wins", 3, |seed| {
        simulate(seed, 2, async |mut simulation| {
            simulation.start_all();
            settle(&simulation).await;
            propose(&simulation, 0, 1).await;
            settle(&simulation).await;
            simulation.net.put(&simulation.replicas[1].address, 1);
            let forms = |simulation: &Simulation| {
                simulation.running().all(|(_, cluster)| cluster.view().led)
                    && simulation.cluster(0).view().generation
                        != simulation.cluster(1).view().generation
            };
            simulation.eventually(AFTER_LOSS, forms).await;
            for at in [0, 1] {
                write(&simulation, at, sighted(10 + at as u64)).await;
            }
            simulation.net.heal();
            simulation.eventually(SOON, Simulation::is_settled).await;
            for (_, cluster) in simulation.running() {
                let origins = cluster.published().unwrap().origins.clone();
                assert!([10, 11].iter().all(|&of| origins.contains(&origin(of))), "{origins:?}");
            }
        });
    });
}

#[test]
fn a_replica_that_differs_from_the_others_begins_anew() {
    for_seeds("a_replica_that_differs_from_the_others_begins_anew", 2, |seed| {
        for leads in [false, true] {
            simulate(seed, 3, async |mut simulation| {
                simulation.start_all();
                settle(&simulation).await;
                let leader = simulation.leader().unwrap();
                let id = |of: usize| simulation.cluster(of).view().id;
                let odd = (0..3).filter(|&of| of != leader).min_by_key(|&of| id(of)).unwrap();
                let before = id(odd);
                simulation.twist(odd, &joins(7));
                propose(&simulation, leader, 1).await;
                if leads {
                    // It has the lowest id of the others, so it is the one that is handed to.
                    simulation.leave(leader).await;
                    simulation.start(leader);
                    simulation.eventually(SOON, Simulation::is_settled).await;
                    assert_eq!(simulation.leader(), Some(odd));
                }
                for port in 1000..1300 {
                    propose(&simulation, odd, port).await;
                }
                let anew = |simulation: &Simulation| {
                    simulation.is_settled() && simulation.cluster(odd).view().id != before
                };
                simulation.eventually(AFTER_LOSS, anew).await;
                settle(&simulation).await;
            });
        }
    });
}

#[test]
fn whatever_the_network_does_all_agree_in_the_end() {
    for_seeds("whatever_the_network_does_all_agree_in_the_end", 10, |seed| {
        for count in [3, 5] {
            simulate(seed, count, async |simulation| weather(simulation, seed).await);
        }
    });
}

/// Partitions, delays and restarts for a while; then none, and everything that was written is there.
async fn weather(mut simulation: Simulation, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = simulation.replicas.len();
    simulation.start_all();
    settle(&simulation).await;
    let mut written = Vec::new();
    for port in 0..30 {
        let of = random.usize(..count);
        match random.u8(..8) {
            0 => simulation.net.put(&simulation.replicas[of].address, random.u32(1..3)),
            1 | 2 => simulation.net.heal(),
            3 => simulation.net.slow_down(random.u64(1..300)),
            4 => simulation.kill(of).await,
            _ => simulation.start_all(),
        }
        let running: Vec<_> = simulation.running().map(|(of, _)| of).collect();
        if !running.is_empty() {
            let cluster = simulation.cluster(running[random.usize(..running.len())]).clone();
            let writing = cluster.propose(joins(port));
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), writing).await {
                written.push(port);
            }
        }
        simulation.pass(Duration::from_millis(random.u64(..3000))).await;
    }
    simulation.net.heal();
    simulation.net.slow_down(5);
    simulation.start_all();
    simulation.eventually(AFTER_LOSS, Simulation::is_settled).await;
    settle(&simulation).await;
    let number = simulation.cluster(0).view().generation.map(|generation| generation.number);
    for (_, cluster) in simulation.running() {
        // Only a new generation may lack what an older one had.
        let lost: Vec<_> = written.iter().filter(|&&port| !has(cluster, port)).collect();
        assert!(lost.is_empty() || number != Some(1), "{lost:?} of {written:?}");
    }
}
