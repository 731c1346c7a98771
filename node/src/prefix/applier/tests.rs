//! Sightings on their way into the index, with the applier running.

use std::collections::BTreeMap;

use bytes::Bytes;
use prometheus_client::encoding::text::encode;

use super::*;
use crate::{
    discovery::{Event, ListedEndpoint},
    endpoints::{
        Endpoint, EndpointKey, Heard, Load,
        book::{self, Book, Fact},
    },
    openai::{Api, Scanner},
    prefix::{
        Asked, PromptScratch,
        tests::{endpoint, parameters, settings, view},
    },
    supervision::{self, Supervisor},
};

mod random;

/// A prompt of so many blocks, each its letter over and over.
fn prompt(letters: &str) -> String {
    letters.chars().map(|letter| letter.to_string().repeat(256)).collect()
}

struct Fixture {
    view: PublishedView,
    prefixes: Prefixes,
    arguments: Arguments,
    registry: Registry,
}

impl Fixture {
    fn new(endpoints: &[&Arc<Endpoint>]) -> Self {
        let (mut registry, published) = (Registry::default(), PublishedView::new());
        published.store(view(endpoints), true);
        let picks = PickMetrics::register(&mut registry);
        let bounds = Bounds {
            memberships_max: 1_000_000,
            sightings_waiting_max: 100,
            sightings_bytes_max: 64 << 20,
        };
        let params = parameters(0).hash;
        let told = (&mut registry, picks);
        let arguments = Arguments::new(params, settings(), bounds, published.clone(), told);
        Self { view: published, prefixes: arguments.prefixes(), arguments, registry }
    }

    async fn start(&self) -> ActorRef<Msg> {
        let (applier, _) = Actor::spawn(None, Applier, self.arguments.clone()).await.unwrap();
        self.prefixes.intake.rewire(applier.clone());
        applier
    }

    /// Looks a prompt up; what is matched stands by position in the view.
    fn look_up(&self, text: &str) -> PromptScratch {
        let body = serde_json::json!({"model": "m", "prompt": text}).to_string();
        let chunks = [Bytes::from(body)];
        let mut scanner = Scanner::new(Api::Completions);
        scanner.feed(&chunks[0]);
        let request = scanner.finish(&chunks).unwrap();
        let asked = Asked { request: &request, model: "m", chunks: &chunks };
        let mut scratch = PromptScratch::default();
        self.prefixes.look_up(&asked, &self.view.load(), clock::now(), &mut scratch);
        scratch
    }

    fn matched(&self, text: &str) -> Vec<u32> {
        self.look_up(text).matched(&self.prefixes).unwrap().matched.to_vec()
    }

    fn send(&self, text: &str, endpoint: &Arc<Endpoint>) -> Option<Sighting> {
        self.prefixes.sighted(endpoint, clock::now(), &self.look_up(text))
    }

    /// What the page tells of the metric with this name and these labels.
    fn metric(&self, line: &str) -> Option<u64> {
        let mut page = String::new();
        encode(&mut page, &self.registry).unwrap();
        let value = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    fn overlay_is_empty(&self) -> bool {
        let mut overlaid = Vec::new();
        let mut any = |text: &str| {
            let asked = self.look_up(text);
            let view = self.view.load();
            let chains = asked.chains();
            self.prefixes.overlay.matches(chains, &view, clock::now(), &mut overlaid);
            !overlaid.is_empty()
        };
        !any(&prompt("a")) && !any(&prompt("b"))
    }
}

/// Lets other tasks run, and time pass, until it holds.
async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    panic!("it never holds");
}

#[tokio::test(start_paused = true)]
async fn a_sighting_counts_at_once_and_goes_on_counting_from_the_index() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let fixture = Fixture::new(&[&a, &b]);
    fixture.start().await;
    fixture.send(&prompt("abc"), &b);
    assert!(!fixture.overlay_is_empty());
    assert_eq!(fixture.matched(&prompt("abcd")), [0, 3]);
    eventually(|| {
        // Whatever the applier has done so far.
        assert_eq!(fixture.matched(&prompt("abcd")), [0, 3]);
        fixture.overlay_is_empty()
    })
    .await;
    assert_eq!(fixture.matched(&prompt("abcd")), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_applier_has_not_met_is_met_at_its_first_sighting() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let fixture = Fixture::new(&[&a]);
    fixture.start().await;
    fixture.view.store(view(&[&a, &b]), true);
    fixture.send(&prompt("ab"), &b);
    eventually(|| fixture.overlay_is_empty()).await;
    assert_eq!(fixture.matched(&prompt("ab")), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_sighting_at_an_endpoint_that_left_meanwhile_is_dropped_and_counted() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let fixture = Fixture::new(&[&a, &b]);
    fixture.start().await;
    fixture.send(&prompt("a"), &b);
    fixture.view.store(view(&[&a]), true);
    fixture.send(&prompt("a"), &a);
    let dropped = "convoy_sightings_dropped_total{reason=\"endpoint_left\"}";
    // It is applied while the index has not heard that the endpoint left, or dropped after.
    eventually(|| fixture.overlay_is_empty()).await;
    eventually(|| fixture.metric("llm_d_epp_prefix_indexer_size") == Some(1)).await;
    fixture.send(&prompt("a"), &b);
    eventually(|| fixture.metric(dropped) == Some(1)).await;
    assert_eq!(fixture.matched(&prompt("a")), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_applier_started_again_has_an_empty_index_and_picks_never_stop() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let fixture = Fixture::new(&[&a, &b]);
    let child = fixture.arguments.clone().child(Policy::ESSENTIAL);
    let metrics = supervision::Metrics::default();
    let arguments = supervision::Arguments { children: vec![child], metrics };
    let (parent, _) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
    fixture.send(&prompt("ab"), &a);
    eventually(|| fixture.overlay_is_empty()).await;

    let reply = ractor::call!(parent, supervision::Msg::Running).unwrap();
    let [(_, applier)] = &reply[..] else { panic!("one child runs") };
    applier.kill_and_wait(None).await.unwrap();
    assert_eq!(fixture.matched(&prompt("ab")), [2, 0], "the last index is read meanwhile");
    fixture.send(&prompt("b"), &b);
    assert_eq!(fixture.matched(&prompt("b")), [0, 1], "by the overlay");
    let stopped = "convoy_sightings_dropped_total{reason=\"stopped\"}";
    assert_eq!(fixture.metric(stopped), Some(1));

    eventually(|| fixture.matched(&prompt("ab")) == [0, 0]).await;
    fixture.send(&prompt("ab"), &b);
    eventually(|| fixture.metric("llm_d_epp_prefix_indexer_size") == Some(2)).await;
    assert_eq!(fixture.matched(&prompt("ab")), [0, 2]);
}

#[test]
fn what_was_published_last_keeps_slots_from_others_when_its_applier_is_gone() {
    let a = endpoint("a", 0);
    let fixture = Fixture::new(&[&a]);
    let mut state = State::new(fixture.arguments.clone(), 1, clock::now());
    state.look(clock::now());
    drop(state);
    fixture.view.store(view(&[]), true);
    // The test's own, and that of the publication.
    assert_eq!(Arc::strong_count(&a), 2);
    let mut next = State::new(fixture.arguments.clone(), 2, clock::now());
    next.look(clock::now());
    next.publish();
    assert_eq!(Arc::strong_count(&a), 1);
}

#[test]
fn a_slot_of_the_index_is_kept_from_others_while_a_pick_may_ask_about_it() {
    let fixture = Fixture::new(&[]);
    let mut state = State::new(fixture.arguments.clone(), 1, clock::now());
    let mut slots = |name: &str| {
        fixture.view.store(view(&[&endpoint(name, 0)]), true);
        state.look(clock::now());
        fixture.view.store(view(&[]), true);
        state.look(clock::now());
        state.look(clock::now());
        state.ledger.reader().slots()
    };
    assert_eq!(slots("first"), 1);
    assert_eq!(slots("second"), 1);
    let pick = fixture.prefixes.published.load();
    assert_eq!(slots("third"), 1, "free before that pick began");
    assert_eq!(slots("fourth"), 2, "the pick may name the third's");
    drop(pick);
    assert_eq!(slots("fifth"), 2);
}

#[tokio::test(start_paused = true)]
async fn others_on_the_thread_have_their_turn_while_long_chains_are_applied() {
    const SIGHTINGS: u32 = 6;
    const BLOCKS: u32 = 30_000;
    let a = endpoint("a", 0);
    let fixture = Fixture::new(&[&a]);
    fixture.start().await;
    for number in 0..SIGHTINGS {
        let first = format!("{number:0256}");
        fixture.send(&(first + &"x".repeat(256 * (BLOCKS as usize - 1))), &a).unwrap();
    }
    let applied = || fixture.metric("convoy_index_commands_applied_total").unwrap();
    let (mut turns, mut most) = (0, 0);
    let (before, commands) = (applied(), u64::from(SIGHTINGS * BLOCKS.div_ceil(4096)));
    let mut seen = before;
    while seen < before + commands {
        tokio::task::yield_now().await;
        let done = applied();
        (turns, most, seen) = (turns + 1, most.max(done - seen), done);
        assert!(turns < 100_000, "{seen} commands applied");
    }
    assert!(most <= 2, "{most} commands without a pause");
}

fn listed(ready: bool, incarnation: Option<&str>) -> Fact {
    let address = ([10, 0, 0, 1], 8000).into();
    let key = EndpointKey { namespace: "default".into(), name: "a".into(), address };
    Fact::Discovered(Event::Upserted(ListedEndpoint {
        key,
        metrics_host: "10.0.0.1:8000".into(),
        labels: BTreeMap::new(),
        ready,
        incarnation: incarnation.map(str::to_owned),
    }))
}

/// The endpoint book and the applier over one view, as a replica has them.
struct Pair {
    fixture: Fixture,
    book: Intake<Fact>,
}

impl Pair {
    async fn start() -> Self {
        let fixture = Fixture::new(&[]);
        let published = fixture.view.clone();
        let arguments = book::Arguments { published, slots: Arc::default() };
        let (book, _) = Actor::spawn(None, Book, arguments).await.unwrap();
        let intake = Intake::new(10);
        intake.rewire(book);
        fixture.start().await;
        Self { fixture, book: intake }
    }

    /// The endpoint of the moment, once it is as it should be.
    async fn endpoint(&self, is_it: impl Fn(&crate::endpoints::Member) -> bool) -> Arc<Endpoint> {
        let find = || {
            let view = self.fixture.view.load();
            let found = view.members.first().filter(|member| is_it(member));
            found.map(|member| Arc::clone(&member.endpoint))
        };
        eventually(|| find().is_some()).await;
        find().unwrap()
    }

    /// Tells the book of a page.
    fn heard(&self, endpoint: &Arc<Endpoint>, process_start_s: f64) {
        let load = Load { process_start_s: Some(process_start_s), ..Load::default() };
        let endpoint = Arc::clone(endpoint);
        let heard = Heard { endpoint, sampled_at: clock::now(), load };
        self.book.offer(Fact::Heard(heard)).unwrap();
    }

    async fn holds(&self, memberships: u64) {
        let size = "llm_d_epp_prefix_indexer_size";
        eventually(|| self.fixture.metric(size) == Some(memberships)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_its_page_shows_restarted_holds_nothing_and_a_flap_keeps_all() {
    let pair = Pair::start().await;
    pair.book.offer(listed(true, None)).unwrap();
    let first = pair.endpoint(|member| member.ready).await;
    pair.heard(&first, 1000.0);
    let first = pair.endpoint(|member| member.sample.is_some()).await;
    pair.fixture.send(&prompt("ab"), &first);
    pair.holds(2).await;

    pair.book.offer(listed(false, None)).unwrap();
    pair.endpoint(|member| !member.ready).await;
    tokio::time::advance(2 * LOOK_EVERY).await;
    pair.book.offer(listed(true, None)).unwrap();
    pair.endpoint(|member| member.ready).await;
    pair.holds(2).await;
    assert_eq!(pair.fixture.matched(&prompt("ab")), [2], "after a flap");

    pair.heard(&first, 2000.0);
    let second = pair.endpoint(|member| member.endpoint.incarnation.is_some()).await;
    // At once, whether the applier has looked or not.
    assert_eq!(pair.fixture.matched(&prompt("ab")), [0]);
    // What was sent to the life before, and arrives late.
    pair.fixture.send(&prompt("ab"), &first);
    assert_eq!(pair.fixture.matched(&prompt("ab")), [0]);
    pair.holds(0).await;
    pair.fixture.send(&prompt("a"), &second);
    pair.holds(1).await;
    assert_eq!(pair.fixture.matched(&prompt("ab")), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_incarnation_that_discovery_tells_starts_empty() {
    let pair = Pair::start().await;
    pair.book.offer(listed(true, Some("one"))).unwrap();
    let first = pair.endpoint(|member| member.ready).await;
    pair.fixture.send(&prompt("ab"), &first);
    pair.holds(2).await;
    pair.book.offer(listed(true, Some("two"))).unwrap();
    let is_second = |name: &Option<String>| name.as_deref() == Some("two");
    pair.endpoint(|member| is_second(&member.endpoint.incarnation)).await;
    assert_eq!(pair.fixture.matched(&prompt("ab")), [0]);
    pair.holds(0).await;
}
