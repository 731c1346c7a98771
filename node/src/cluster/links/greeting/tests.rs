//! Who is let in by what it says, and what both sides then know.

use convoy_tests::property;
use proptest::prelude::*;
use tokio::io::duplex;

use super::*;
use crate::cluster::links::refusal::Side;

fn me(name: &str, start: u64) -> Me {
    let name = ReplicaName::new(name).unwrap();
    let advertised = "10.0.0.1:9010".parse().unwrap();
    Me { name, pool: "ns/pool".into(), advertised, start }
}

/// What the caller and the called come to.
async fn greet(
    (a, a_cluster): (Me, Option<u128>),
    (b, b_cluster): (Me, Option<u128>),
) -> (Result<Peer, GreetingError>, Result<Peer, GreetingError>) {
    let (mut near, mut far) = duplex(64);
    let a = Judge { me: &a, cluster: a_cluster.map(ClusterId), certificate: None };
    let b = Judge { me: &b, cluster: b_cluster.map(ClusterId), certificate: None };
    tokio::join!(call(&mut near, &a), answer(&mut far, &b))
}

#[track_caller]
fn refused(outcome: Result<Peer, GreetingError>) -> Refusal {
    match outcome {
        Err(GreetingError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_of_one_pool_and_cluster_learn_who_the_other_is() {
    let (near, far) = greet((me("a", 1), None), (me("b", 2), Some(7))).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    assert_eq!((near.name.as_str(), near.start, near.cluster), ("b", 2, Some(ClusterId(7))));
    assert_eq!((far.name.as_str(), far.start, far.cluster), ("a", 1, None));
    assert_eq!(far.advertised, "10.0.0.1:9010".parse().ok());
    let (near, _far) = greet((me("a", 1), Some(7)), (me("b", 2), Some(7))).await;
    assert!(near.is_ok());
}

/// Both sides come to the same reason and text; the called refuses.
#[track_caller]
fn both_are_told(
    (near, far): (Result<Peer, GreetingError>, Result<Peer, GreetingError>),
    reason: Reason,
    text: &str,
) {
    let (near, far) = (refused(near), refused(far));
    assert_eq!((near.by, far.by), (Side::Other, Side::This));
    assert_eq!((near.reason, far.reason), (reason, reason));
    assert_eq!((&*near.text, &*far.text), (text, text));
}

#[tokio::test]
async fn a_replica_of_another_cluster_is_refused_and_both_sides_know_why() {
    both_are_told(
        greet((me("a", 1), Some(1)), (me("b", 2), Some(2))).await,
        Reason::OtherCluster,
        "a belongs to cluster 00000000000000000000000000000001, and b to \
         00000000000000000000000000000002; if they should be one, empty the data directory of the smaller",
    );
}

#[tokio::test]
async fn a_replica_of_another_pool_is_refused_and_both_sides_know_why() {
    let other = Me { pool: "ns/other".into(), ..me("a", 1) };
    both_are_told(
        greet((other, None), (me("b", 2), None)).await,
        Reason::OtherPool,
        "a serves pool \"ns/other\", and b serves \"ns/pool\"; let --cluster-peers name the replicas of one \
         pool",
    );
}

#[tokio::test]
async fn a_second_replica_of_one_name_is_refused_but_a_replica_may_call_itself() {
    both_are_told(
        greet((me("a", 1), None), (me("a", 2), None)).await,
        Reason::SameName,
        "two replicas are named a; give each its own --replica-name",
    );
    let (near, far) = greet((me("a", 1), None), (me("a", 1), None)).await;
    assert!(near.is_ok() && far.is_ok());
}

/// What `answer` makes of these bytes, and what it writes back.
async fn answer_to(bytes: &[u8]) -> (Result<Peer, GreetingError>, Vec<u8>) {
    let me = me("b", 2);
    let judge = Judge { me: &me, cluster: None, certificate: None };
    let (mut near, mut far) = duplex(64 * 1024);
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let outcome = answer(&mut far, &judge).await;
    drop(far);
    let mut written = Vec::new();
    near.read_to_end(&mut written).await.unwrap();
    (outcome, written)
}

#[tokio::test]
async fn who_speaks_another_version_is_told_which_is_spoken_here() {
    let hello = Hello { protocol: 9, ..Hello::default() };
    let mut bytes = vec![0, 0, 0, 2];
    bytes.extend(hello.encode_to_vec());
    let (outcome, written) = answer_to(&bytes).await;
    assert_eq!(refused(outcome).reason, Reason::Protocol);
    let welcome = Welcome::decode(&written[4..]).unwrap();
    assert_eq!(
        welcome.refusal.unwrap().text,
        "the other side speaks version 9 of the protocol between replicas, and b version 1; run versions \
         that follow one another"
    );
}

#[tokio::test]
async fn other_protocols_are_told_apart_from_replicas() {
    let (outcome, _) = answer_to(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(refused(outcome).reason, Reason::Garbled);
    let (outcome, _) = answer_to(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(refused(outcome).reason, Reason::Garbled);
    let (outcome, _) = answer_to(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await;
    assert_eq!(refused(outcome).reason, Reason::NoTls);
    let (outcome, written) = answer_to(b"").await;
    assert!(matches!(outcome, Err(GreetingError::Broken(_))) && written.is_empty());
}

#[test]
fn any_bytes_are_answered_with_a_refusal_or_an_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = prop::collection::vec(any::<u8>(), ..100);
    property::check(&(bytes, any::<bool>()), |(mut bytes, short)| {
        if short && 4 < bytes.len() {
            bytes.splice(..3, [0, 0, 0]);
        }
        let (outcome, _written) = runtime.block_on(answer_to(&bytes));
        prop_assert!(outcome.is_err());
        Ok(())
    });
}
