//! What the prefix index costs a pick: `cargo bench -p convoy-node --bench prefix`.
//!
//! `look_up` hashes a prompt and asks overlay and index about 128 endpoints, with so many sightings
//! in the overlay: unlike the prompt (`other`), or equal to it but for the last block (`alike`).
//! `sighted` tells one, to the overlay and to the applier. `library overlay` puts the same chain into
//! the index library's overlay, which has one writer and an entry for each block, and takes it out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use convoy_node::{
    clock,
    endpoints::{Endpoint, EndpointKey, InFlight, Member, PublishedView, View},
    metrics::PickMetrics,
    openai::{Api, Request, Scanner},
    plugins::PrefixSettings,
    prefix::{Arguments, Asked, Bounds, Prefixes, PromptScratch},
    supervision::{self, Policy, Supervisor},
};
use convoy_prefix_index::{
    ChainBuilder, EndpointSlot, HashParams, HashVersion, Origin, Overlay, OverlayLimits, Sequence,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use prometheus_client::registry::Registry;
use ractor::Actor;

/// As in production.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENDPOINTS: u8 = 128;

/// 10,000 and 131,072 tokens.
const PROMPT_BYTES: [usize; 2] = [40_000, 512 * 1024];

fn view() -> View {
    let member = |number: u8| {
        let address = std::net::SocketAddr::from(([10, 0, 0, number], 8000));
        let name = format!("pod-{number}");
        let endpoint = Endpoint {
            key: EndpointKey { namespace: "default".into(), name, address },
            address_text: address.to_string(),
            metrics_host: address.to_string(),
            labels: [].into(),
            incarnation: None,
            slot: number.into(),
            in_flight: InFlight::default(),
        };
        Member { endpoint: Arc::new(endpoint), ready: true, sample: None }
    };
    View { members: (0..ENDPOINTS).map(member).collect() }
}

fn params() -> HashParams {
    let block_bytes = PrefixSettings::default().block_bytes();
    HashParams::new([1; 16], block_bytes, HashVersion::V1).expect("the default is legal")
}

fn applier(view: &View) -> Arguments {
    let published = PublishedView::new();
    published.store(view.clone(), true);
    let bounds = Bounds {
        memberships_max: 10_000_000,
        sightings_waiting_max: 8192,
        sightings_bytes_max: 128 << 20,
    };
    let mut registry = Registry::default();
    let picks = PickMetrics::register(&mut registry);
    let told = (&mut registry, picks);
    Arguments::new(params(), PrefixSettings::default(), bounds, published, told)
}

/// A prompt read from a body, in chunks as Envoy sends them.
struct Prompt {
    request: Request,
    chunks: Vec<Bytes>,
}

impl Prompt {
    fn new(first: &str, bytes: usize, last: &str) -> Self {
        let text = format!("{first}{}{last}", "lorem ipsum ".repeat(bytes / 12));
        let body = format!("{{\"model\":\"m\",\"prompt\":\"{text}\"}}");
        let chunks: Vec<Bytes> =
            body.as_bytes().chunks(16_384).map(Bytes::copy_from_slice).collect();
        let mut scanner = Scanner::new(Api::Completions);
        for chunk in &chunks {
            scanner.feed(chunk);
        }
        let request = scanner.finish(&chunks).expect("the body is legal");
        Self { request, chunks }
    }

    fn asked(&self) -> Asked<'_> {
        Asked { request: &self.request, model: "m", chunks: &self.chunks }
    }
}

/// Tells sightings of `prompts`, one each, at endpoints in turn.
fn tell(prefixes: &Prefixes, prompts: &[Prompt], view: &View, now: Instant) {
    let mut scratch = PromptScratch::default();
    for (prompt, member) in prompts.iter().zip(view.members.iter().cycle()) {
        prefixes.look_up(&prompt.asked(), view, now, &mut scratch);
        prefixes.sighted(&member.endpoint, now, &scratch);
    }
}

fn look_up(criterion: &mut Criterion) {
    let (view, now) = (view(), clock::now());
    let mut group = criterion.benchmark_group("look_up");
    for bytes in PROMPT_BYTES {
        let prompt = Prompt::new("", bytes, "the end");
        let name = |kind: &str| format!("{bytes} B, {kind}");
        for (kind, sightings) in
            [("none", 0), ("other", 1), ("other", 64), ("alike", 1), ("alike", 8), ("alike", 64)]
        {
            // No applier runs, so they stay.
            let prefixes = applier(&view).prefixes();
            let numbered = |number: usize| {
                let number = format!("{number:0256}");
                match kind {
                    "other" => Prompt::new(&number, bytes, ""),
                    _ => Prompt::new("", bytes, &number),
                }
            };
            let told: Vec<Prompt> = (0..sightings).map(numbered).collect();
            tell(&prefixes, &told, &view, now);
            let mut scratch = PromptScratch::default();
            group.bench_function(BenchmarkId::new(name(kind), sightings), |bencher| {
                bencher.iter(|| prefixes.look_up(&prompt.asked(), &view, now, &mut scratch));
            });
        }
    }
}

fn sighted(criterion: &mut Criterion) {
    let view = view();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("the system gives a runtime");
    let mut group = criterion.benchmark_group("sighted");
    for bytes in PROMPT_BYTES {
        let arguments = applier(&view);
        let prefixes = arguments.prefixes();
        let children = vec![arguments.child(Policy::ESSENTIAL)];
        let metrics = supervision::Metrics::default();
        let started = supervision::Arguments { children, metrics };
        runtime.block_on(Actor::spawn(None, Supervisor, started)).expect("actors start");
        let prompt = Prompt::new("", bytes, "");
        let (mut scratch, now) = (PromptScratch::default(), clock::now());
        prefixes.look_up(&prompt.asked(), &view, now, &mut scratch);
        let endpoint = &view.members.first().expect("the pool is not empty").endpoint;
        group.bench_function(format!("{bytes} B"), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    let begun = clock::now();
                    let sighting = prefixes.sighted(endpoint, now, &scratch);
                    took += clock::now().saturating_duration_since(begun);
                    drop(sighting);
                    // The applier takes it in meanwhile.
                    runtime.block_on(async {
                        for _ in 0..4 {
                            tokio::task::yield_now().await;
                        }
                    });
                }
                took
            });
        });
    }
}

fn library_overlay(criterion: &mut Criterion) {
    let (params, now) = (params(), clock::now());
    let mut group = criterion.benchmark_group("library overlay");
    for bytes in PROMPT_BYTES {
        let mut chain = ChainBuilder::new(&params, "m", None);
        chain.update("lorem ipsum ".repeat(bytes / 12).as_bytes());
        let chain = chain.finish();
        let mut overlay = Overlay::new(OverlayLimits::default());
        let mut sequence = 0;
        group.bench_function(format!("{bytes} B"), |bencher| {
            bencher.iter(|| {
                sequence += 1;
                let key = (Origin { replica: 0, start: 0 }, Sequence(sequence));
                overlay.insert(key, EndpointSlot(0), &chain, now);
                overlay.remove(key)
            });
        });
    }
}

criterion_group!(benches, look_up, sighted, library_overlay);
criterion_main!(benches);
