//! What two replicas that belong together exchange.

use std::time::Duration;

use convoy_raft::transport::{Caller, Lane, Transport as _};
use futures_util::{StreamExt, stream};

use super::*;

fn frames(count: u32, bytes: usize) -> BoxStream<'static, Bytes> {
    let frame = move |number: u32| {
        let mut frame = number.to_be_bytes().to_vec();
        frame.resize(bytes.max(4), 7);
        Bytes::from(frame)
    };
    stream::iter((0..count).map(frame)).boxed()
}

/// Everything that goes from `a` to `b`.
async fn everything(a: &Replica, b: &Replica) {
    let to = destination(b.address, Some("b"));
    assert_eq!(a.send(&to, "hello".into()).await.unwrap(), "b: hello");

    let opened = a.links.stream(&to, Lane::Entries, frames(1000, 100)).await.unwrap();
    let answers: Vec<_> = opened.map(Result::unwrap).collect().await;
    assert_eq!(answers, frames(1000, 100).collect::<Vec<_>>().await);

    let megabytes = frames(10, FRAME_BYTES_MAX);
    let mut opened = a.links.stream(&to, Lane::Snapshot, megabytes).await.unwrap();
    let whole = (10 * FRAME_BYTES_MAX).to_string();
    assert_eq!(opened.next().await.unwrap().unwrap(), whole);

    a.links.joined(ClusterId(7));
    b.links.joined(ClusterId(7));
    let batch = Bytes::from_static(b"a batch");
    eventually("a hint", async || {
        a.links.hint(&batch);
        !b.behind.heard.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(b.behind.heard.lock().unwrap()[0], (ReplicaName::new("a").unwrap(), batch));
}

#[tokio::test]
async fn replicas_with_certificates_exchange_everything_and_know_each_other_s_names() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "b").await);
    everything(&a, &b).await;
    let name = ReplicaName::new("a").ok();
    assert!(
        b.behind
            .callers
            .lock()
            .unwrap()
            .iter()
            .all(|caller| *caller == Caller { name: name.clone() })
    );
    assert_eq!(
        a.links.view(),
        [LinkView { address: b.address.into(), name: ReplicaName::new("b").ok() }]
    );
    // The first connection was greeted before there was a cluster, and is replaced.
    eventually("one", async || (a.metrics.up.get(), b.metrics.accepted.get()) == (1, 1)).await;
}

#[tokio::test]
async fn insecure_replicas_exchange_everything_and_prove_no_name() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    everything(&a, &b).await;
    assert!(b.behind.callers.lock().unwrap().iter().all(|caller| caller.name.is_none()));
}

#[tokio::test]
async fn what_the_other_side_will_not_do_is_told_with_its_reason() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    let refused = text_of(a.ask_at(b.address, "no").await);
    assert_eq!(refused, format!("b at {} refused: it will not", b.address));
    let to = destination(b.address, Some("c"));
    let other = text_of(a.send(&to, "hello".into()).await);
    assert_eq!(other, format!("cannot reach c at {0}: it is b who answers there", b.address));
    let patience = Duration::from_millis(50);
    let silence = a.links.call(&destination(b.address, None), "never".into(), patience).await;
    assert_eq!(text_of(silence), format!("{} did not answer within 50ms", b.address));
}

#[tokio::test]
async fn nobody_at_an_address_is_told_at_once_and_found_when_it_comes() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    let address = b.stop().await;
    let nobody = text_of(a.ask_at(address, "hello").await);
    assert!(nobody.starts_with(&format!("cannot reach {address}: cannot connect: ")), "{nobody}");
    let b = Replica::insecure(&Story { address: Some(address), ..Story::of("b") }).await;
    a.reaches(&b).await;
}

#[tokio::test]
async fn a_replica_that_calls_is_called_back_without_waiting_for_the_next_attempt() {
    let hour = Duration::from_hours(1);
    let timing = Timing { backoff_min: hour, backoff_max: hour, ..Timing::default() };
    let a = Replica::insecure(&Story { timing, ..Story::of("a") }).await;
    let b = Replica::insecure(&Story::of("b")).await;
    let address = b.stop().await;
    text_of(a.ask_at(address, "hello").await);
    let b = Replica::insecure(&Story { address: Some(address), ..Story::of("b") }).await;
    b.reaches(&a).await;
    a.reaches(&b).await;
}

#[tokio::test]
async fn a_stream_ends_on_both_sides_when_its_answers_are_dropped() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    let endless = frames(3, 10).chain(stream::pending()).boxed();
    let to = destination(b.address, None);
    let mut answers = a.links.stream(&to, Lane::Entries, endless).await.unwrap();
    for _ in 0..3 {
        answers.next().await.unwrap().unwrap();
    }
    drop(answers);
    b.behind.ended.subscribe().wait_for(|ended| *ended == [3]).await.unwrap();
}

#[tokio::test]
async fn a_replica_may_call_itself_and_tells_itself_no_hints() {
    let a = Replica::insecure(&Story::of("a")).await;
    a.links.joined(ClusterId(7));
    a.reaches(&a).await;
    a.links.hint(&Bytes::from_static(b"a batch"));
    assert!(a.links.shared.outlets.hinted().is_empty());
}

#[tokio::test]
async fn hints_go_once_to_a_replica_that_is_reached_at_two_addresses() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    a.reaches(&b).await;
    let localhost = format!("localhost:{}", b.address.port()).parse().unwrap();
    a.send(&Destination { address: localhost, name: None }, "hello".into()).await.unwrap();
    assert_eq!(a.metrics.up.get(), 2);
    assert_eq!(a.links.shared.outlets.hinted().len(), 1);
}

#[tokio::test]
async fn replicas_that_meet_before_they_have_clusters_part_when_those_differ() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    a.reaches(&b).await;
    a.links.joined(ClusterId(1));
    b.links.joined(ClusterId(2));
    let refused = || b.metrics.refusals(Side::This, Reason::OtherCluster);
    eventually("a refusal", async || {
        a.links.hint(&Bytes::from_static(b"a batch"));
        let _refused = a.ask(&b).await;
        0 < refused() + a.metrics.refusals(Side::This, Reason::OtherCluster)
    })
    .await;
    assert!(b.behind.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_link_and_a_listener_that_were_killed_are_started_again() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    a.reaches(&b).await;
    for name in ["peer-listener", "peer-links"] {
        for replica in [&a, &b] {
            let running = replica.running().await;
            running.iter().find(|(known, _)| *known == name).unwrap().1.kill();
            eventually("a restart", async || 0 < replica.supervision.restarts(name)).await;
        }
        a.reaches(&b).await;
    }
    let links = a.running().await.into_iter().find(|(name, _)| *name == "peer-links").unwrap().1;
    links.get_children().first().unwrap().kill();
    eventually("a restart", async || 0 < a.supervision.restarts("peer-link")).await;
    a.reaches(&b).await;
}

#[tokio::test]
async fn links_that_nobody_uses_end() {
    let timing = Timing { idle: Duration::from_millis(1), ..Timing::default() };
    let a = Replica::insecure(&Story { timing, ..Story::of("a") }).await;
    let b = Replica::insecure(&Story::of("b")).await;
    let _answer = a.ask(&b).await;
    eventually("an end", async || a.links.view().is_empty() && b.metrics.accepted.get() == 0).await;
    assert_eq!(a.metrics.up.get(), 0);
}
