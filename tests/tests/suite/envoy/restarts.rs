//! Claims about replicas that go and come under load, with endpoint discovery as Kubernetes and
//! Istio do it.

use std::time::Duration;

use convoy_tests::body::Body;
use convoy_tests::client::{Connection, Protocol};
use convoy_tests::envoy::{Bootstrap, Detection, Entry, PICKER_CLUSTER};
use convoy_tests::epp::Epp;
use tokio::time::sleep;

use super::load::{Load, Outcome};
use super::route::{Route, completion, prompt};
use super::upstream::{Deed, EVENT, LONG_GAP};

/// From a change in Kubernetes to its arrival in Envoy: a slice of endpoints is written, Istio
/// waits 100 ms for more of them, and pushes. This is the emulated part of the cluster, and the only
/// thing here that takes time because it is told to.
const DISCOVERY: Duration = Duration::from_millis(400);

/// From the death of a process to the removal of its endpoint from Envoy.
const DEATH_NOTICED: Duration = Duration::from_millis(1300);

/// For how long a load runs before and after what happens to it.
const CALM: Duration = Duration::from_secs(1);

/// How long a replica may take to end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// What a replica is started with. It is told when the pod would be killed; how long it drains is
/// its own decision.
const FLAGS: [&str; 1] = ["--termination-grace-period=30s"];

impl Route {
    /// Deletes the first replica, as a scale-down or a rolling update does: it leaves discovery and
    /// is told to end at the same moment. Waits until it has ended.
    async fn delete_first(&mut self) {
        let mut leaving = self.pickers.remove(0);
        leaving.process().terminate().unwrap();
        sleep(DISCOVERY).await;
        self.publish().await;
        let status = leaving.process().exited(ENDS_WITHIN).await.unwrap();
        assert!(status.success(), "{status}: {}", leaving.process().last_words(10));
    }

    /// Starts a replica, and publishes it once it is ready.
    async fn add(&mut self) {
        let picker: Epp = self.start_picker().await;
        sleep(DISCOVERY).await;
        self.pickers.push(picker);
        self.publish().await;
    }
}

/// Asserts that nothing failed.
#[track_caller]
fn assert_all_served(sent: &[Outcome], entries: &[Entry]) {
    let failures: Vec<_> = sent.iter().filter_map(|one| one.as_ref().err()).collect();
    let failed: Vec<_> = entries.iter().filter(|entry| entry.code != 200).collect();
    assert!(
        failures.is_empty(),
        "{} of {} failed, such as {:?}; Envoy says {:?}",
        failures.len(),
        sent.len(),
        failures.first(),
        failed.first()
    );
    let strayed = entries.iter().filter(|entry| entry.picked != entry.served).count();
    assert_eq!(strayed, 0, "requests that went elsewhere than picked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_request() {
    let mut route = Route::start(Bootstrap::default(), 2, 4, &FLAGS).await;
    let load = Load::start(route.envoy.address());
    sleep(CALM).await;
    for _ in 0..2 {
        route.delete_first().await;
        route.add().await;
    }
    sleep(CALM).await;
    let sent = load.stop().await;
    assert_all_served(&sent, &route.envoy.logged(sent.len()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_loses_no_request() {
    let mut route = Route::start(Bootstrap::default(), 2, 4, &FLAGS).await;
    let load = Load::start(route.envoy.address());
    sleep(CALM).await;
    route.delete_first().await;
    sleep(CALM).await;
    let sent = load.stop().await;
    assert_all_served(&sent, &route.envoy.logged(sent.len()).await.unwrap());
}

/// The picker is in the path of an answer that lasts longer than its grace period.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_outlives_the_picker_that_watches_it_and_passes_whole() {
    const EVENTS: u32 = 100;
    // Streams are left three seconds before the end, which is one second after the signal.
    let mut route =
        Route::start(Bootstrap::default(), 1, 2, &["--termination-grace-period=4s"]).await;
    let mut connection = Connection::open(route.envoy.address(), Protocol::Http1).await.unwrap();
    let sent = completion(Deed::Slow(EVENTS as usize), Body::whole(prompt(100)));
    let mut answer = connection.send(sent).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    let mut heard = answer.next().await.unwrap().unwrap().to_vec();

    route.pickers[0].process().terminate().unwrap();
    let status = route.pickers[0].process().exited(ENDS_WITHIN).await.unwrap();
    assert!(status.success(), "{status}: {}", route.pickers[0].process().last_words(10));
    let ended_after = answer.waited();
    while let Some(part) = answer.next().await.unwrap() {
        heard.extend_from_slice(&part);
    }
    assert!(ended_after < LONG_GAP * EVENTS, "the answer was over before the picker was");
    let expected = EVENT.repeat(EVENTS as usize);
    assert!(heard == expected.as_bytes(), "{} of {} bytes came", heard.len(), expected.len());
    let entry = &route.envoy.logged(1).await.unwrap()[0];
    assert_eq!((entry.code, entry.details.as_deref()), (200, Some("via_upstream")), "{entry:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_replica_is_replaced_without_loss_if_its_successor_is_ready_first() {
    let mut route = Route::start(Bootstrap::default(), 1, 4, &FLAGS).await;
    let load = Load::start(route.envoy.address());
    sleep(CALM).await;
    route.add().await;
    route.delete_first().await;
    sleep(CALM).await;
    let sent = load.stop().await;
    assert_all_served(&sent, &route.envoy.logged(sent.len()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewing_connections_loses_no_request() {
    let flags = ["--connection-age-max=500ms"];
    let route = Route::start(Bootstrap::default(), 1, 4, &flags).await;
    let load = Load::start(route.envoy.address());
    sleep(CALM * 3).await;
    let sent = load.stop().await;
    assert_all_served(&sent, &route.envoy.logged(sent.len()).await.unwrap());
    let connections = format!("cluster.{PICKER_CLUSTER}.upstream_cx_total");
    let opened = route.envoy.stats(&connections).await.unwrap()[&connections];
    assert!(4 < opened, "{opened} connections");
}

/// Requests that failed because a replica was killed.
#[derive(Debug, Default)]
struct Losses {
    /// They were on the replica when it died, to be picked for.
    in_flight: Vec<Entry>,
    /// They were sent to the replica after it had died.
    refused: Vec<Entry>,
    /// A server was already answering them.
    cut: Vec<Entry>,
}

impl Losses {
    fn among(entries: Vec<Entry>) -> Self {
        let mut losses = Self::default();
        for entry in entries {
            let details = entry.details.as_deref().unwrap_or_default();
            if entry.code == 200 && details == "via_upstream" {
                continue;
            }
            let refused =
                details.contains("onnection_refused") || details.contains("connection_failure");
            if entry.upstream.is_some() {
                losses.cut.push(entry);
            } else if refused {
                losses.refused.push(entry);
            } else {
                losses.in_flight.push(entry);
            }
        }
        losses
    }
}

/// Kills one of two replicas under load. Endpoint discovery notices it later.
async fn kill_one(flags: &[&str]) -> Losses {
    let bootstrap = Bootstrap { detection: Detection::Tuned, ..Bootstrap::default() };
    let mut route = Route::start(bootstrap, 2, 4, flags).await;
    let load = Load::start(route.envoy.address());
    sleep(CALM).await;
    let mut killed = route.pickers.remove(0);
    killed.process().kill().unwrap();
    sleep(DEATH_NOTICED).await;
    route.publish().await;
    sleep(CALM).await;
    let sent = load.stop().await;
    let failed = sent.iter().filter(|one| one.is_err()).count();
    let losses = Losses::among(route.envoy.logged(sent.len()).await.unwrap());
    let (in_flight, refused, cut) =
        (losses.in_flight.len(), losses.refused.len(), losses.cut.len());
    eprintln!(
        "{} sent: {in_flight} lost in flight, {cut} cut, {refused} refused later",
        sent.len()
    );
    assert_eq!(failed, in_flight + refused + cut, "clients see what Envoy sees");
    losses
}

/// How many requests wait to be picked for at the moment of the kill is up to the machine: where
/// other work delays a pick by milliseconds, several do. So the fewest of some tries count; but no
/// try may cut an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_that_observes_no_answers_loses_at_most_one_request() {
    const TRIES: usize = 6;
    let mut fewest = usize::MAX;
    for _ in 0..TRIES {
        let losses = kill_one(&["--response-observation=off"]).await;
        assert!(losses.cut.is_empty(), "{:#?}", losses.cut);
        fewest = fewest.min(losses.in_flight.len());
        if fewest <= 1 {
            return;
        }
    }
    panic!("at least {fewest} requests were lost in flight, in each of {TRIES} tries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_that_observes_answers_cuts_those_that_pass_through_it() {
    let losses = kill_one(&["--response-observation=full"]).await;
    assert_ne!(losses.cut.len(), 0);
}
