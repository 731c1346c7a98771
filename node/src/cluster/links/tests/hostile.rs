//! Others that send what they should not, or nothing, or do not read.

use std::net::SocketAddr;

use convoy_raft::transport::{Lane, Transport as _};
use convoy_tests::property;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::cluster::links::greeting::{self, Judge};

/// Somebody who greets as a replica does, and then never reads again.
async fn deaf(name: &str) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let me = Me {
        name: ReplicaName::new(name).unwrap(),
        pool: "ns/pool".into(),
        advertised: address.into(),
        start: 0,
    };
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let judge = Judge { me: &me, cluster: None, certificate: None };
            greeting::answer(&mut socket, &judge).await.unwrap();
            kept.push(socket);
        }
    });
    (address, listening)
}

#[tokio::test]
async fn a_replica_that_stops_reading_delays_nobody_and_is_given_up() {
    let timing = Timing {
        keepalive_interval: Duration::from_millis(300),
        keepalive_timeout: Duration::from_millis(300),
        ..Timing::default()
    };
    let a = Replica::insecure(&Story { timing, ..Story::of("a") }).await;
    let b = Replica::insecure(&Story::of("b")).await;
    let (deaf, _deaf) = deaf("deaf").await;
    a.links.joined(ClusterId(7));
    b.links.joined(ClusterId(7));
    a.reaches(&b).await;
    let patience = Duration::from_millis(100);
    let asked = a.links.call(&destination(deaf, None), "hello".into(), patience).await;
    assert_eq!(text_of(asked), format!("{deaf} did not answer within 100ms"));
    assert_eq!(a.links.shared.outlets.hinted().len(), 2);
    let batch = Bytes::from(vec![7; HINT_BYTES_MAX]);
    // What fills the queue to the deaf one is dropped, and the other hears all.
    eventually("a full queue", async || {
        let before = b.behind.heard.lock().unwrap().len();
        a.links.hint(&batch);
        a.ask(&b).await.unwrap();
        eventually("a hint", async || before < b.behind.heard.lock().unwrap().len()).await;
        0 < a.metrics.hints_dropped.get()
    })
    .await;
    eventually("the end of the link", async || {
        a.links.view().iter().all(|link| link.name.is_none() || link.address == b.address.into())
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other_of_the_same_replica() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    let to = destination(b.address, None);
    let (taken, mut count) = watch::channel(0);
    let frames = stream::repeat(Bytes::from(vec![7; 64 * 1024])).inspect(move |_| {
        taken.send_modify(|taken| *taken += 1);
    });
    let _unanswered = a.links.stream(&to, Lane::Proposals, frames.boxed()).await.unwrap();
    count.wait_for(|taken| 16 <= *taken).await.unwrap();
    for _ in 0..10 {
        let few = stream::iter(vec![Bytes::from(vec![7; 64 * 1024]); 40]).boxed();
        let answers = a.links.stream(&to, Lane::Entries, few).await.unwrap();
        assert_eq!(answers.count().await, 40);
        a.ask(&b).await.unwrap();
    }
    // Back-pressure: what nobody reads is not taken either, beyond what lies on the way.
    let bound = usize::try_from(STREAM_WINDOW_BYTES).unwrap() / (64 * 1024) + 32;
    assert!(*count.borrow() <= bound, "{}", *count.borrow());
}

#[tokio::test]
async fn messages_that_are_too_long_are_refused_and_harm_no_other() {
    let (a, b) =
        (Replica::insecure(&Story::of("a")).await, Replica::insecure(&Story::of("b")).await);
    let to = destination(b.address, None);
    let long = Bytes::from(vec![7; FRAME_BYTES_MAX + 1]);
    let refused = text_of(a.send(&to, long).await);
    let text = format!("{} bytes are more than {FRAME_BYTES_MAX}", FRAME_BYTES_MAX + 1);
    assert_eq!(refused, format!("{} refused: {text}", b.address));
    let refused = text_of(a.ask_at(b.address, "long").await);
    assert!(refused.contains("too large"), "{refused}");

    let long = stream::iter([Bytes::from(vec![7; 2 * FRAME_BYTES_MAX])]).chain(stream::pending());
    let mut answers = a.links.stream(&to, Lane::Entries, long.boxed()).await.unwrap();
    assert!(answers.next().await.is_none(), "the stream has ended");
    a.ask(&b).await.unwrap();
    assert_eq!(b.metrics.connections.get(), 1);
}

#[tokio::test]
async fn an_oversize_message_of_somebody_who_has_no_bound_is_not_read() {
    let b = Replica::insecure(&Story::of("b")).await;
    let a = Links::new(
        Me {
            name: ReplicaName::new("a").unwrap(),
            pool: "ns/pool".into(),
            advertised: b.address.into(),
            start: 0,
        },
        Security::Insecure,
        Timing::default(),
        Metrics::default(),
    );
    let introduced = socket::call(&a.shared, &b.address.into()).await.unwrap();
    let timing = Timing::default();
    let opened = client::Client::open("b".into(), introduced.stream, &timing, Metrics::default());
    let (client, driver) = opened.await.unwrap();
    let client = client.without_bounds();
    let asked = client.call(Bytes::from(vec![7; 8 << 20]));
    let refused = tokio::select! {
        asked = asked => text_of(asked),
        ended = driver => panic!("{ended:?}"),
    };
    assert!(refused.contains("too large"), "{refused}");
    assert!(b.behind.callers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn silent_strangers_take_up_a_bounded_number_of_places_and_keep_no_replica_out_for_long() {
    let timing = Timing { greeting: Duration::from_millis(200), ..Timing::default() };
    let b = Replica::insecure(&Story { timing, ..Story::of("b") }).await;
    let a = Replica::insecure(&Story::of("a")).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(b.address).await.unwrap());
    }
    eventually("a refusal", async || 0 < b.metrics.refusals(Side::This, Reason::TooMany)).await;
    a.reaches(&b).await;
}

#[test]
fn any_bytes_on_the_port_leave_the_replica_as_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authority = Authority::new();
    let (a, b, secure) = runtime.block_on(async {
        let (a, b) = (Story::of("a"), Story::of("b"));
        let secure = Replica::good(&authority, "c").await;
        (Replica::insecure(&a).await, Replica::insecure(&b).await, secure)
    });
    let greets = prop::bool::ANY;
    let bytes = prop::collection::vec(any::<u8>(), ..2000);
    property::check(&(greets, bytes), |(greets, bytes)| {
        runtime.block_on(async {
            if greets {
                garbage_after_a_greeting(&a, b.address, &bytes).await;
            } else {
                for address in [b.address, secure.address] {
                    let mut socket = TcpStream::connect(address).await.unwrap();
                    // The other side may have closed it already.
                    let _ = socket.write_all(&bytes).await;
                    let _ = socket.shutdown().await;
                    let _ = socket.read_to_end(&mut Vec::new()).await;
                }
            }
        });
        Ok(())
    });
    runtime.block_on(async {
        a.reaches(&b).await;
        for replica in [&b, &secure] {
            assert_eq!(replica.supervision.restarts("peer-listener"), 0);
        }
    });
}

/// Greets well, and then speaks no HTTP.
async fn garbage_after_a_greeting(a: &Replica, to: SocketAddr, bytes: &[u8]) {
    let mut introduced = socket::call(&a.links.shared, &to.into()).await.unwrap();
    let _ = introduced.stream.write_all(bytes).await;
    let _ = introduced.stream.shutdown().await;
    let _ = introduced.stream.read_to_end(&mut Vec::new()).await;
}
