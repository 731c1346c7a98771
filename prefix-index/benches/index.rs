//! The same operations under criterion, for comparing two versions of the code.
//!
//! `cargo bench -p convoy-prefix-index --bench index`

#[path = "../workload/mod.rs"]
mod workload;

use std::{hint::black_box, time::Duration};

use convoy_prefix_index::{
    BLOCK_BYTES_DEFAULT, BlockHash, ChainBuilder, EndpointSlot, HashParams, HashVersion, Origin,
    Overlay, OverlayLimits, Sequence,
};
use criterion::{BatchSize, Criterion, Throughput};
use workload::{Filled, Kind, Workload};

const ENDPOINTS: usize = 128;
const MEMBERSHIPS: u64 = 2_000_000;

const KINDS: [(&str, Kind); 6] = [
    ("conversations-1", Kind::Conversations { turns: 1 }),
    ("conversations-8", Kind::Conversations { turns: 8 }),
    ("conversations-32", Kind::Conversations { turns: 32 }),
    ("agent-trees", Kind::AgentTrees),
    ("three-blocks", Kind::ThreeBlocks),
    ("documents", Kind::Documents),
];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    hash(&mut criterion);
    overlay(&mut criterion);
    for (name, kind) in KINDS {
        index(&mut criterion, name, kind);
    }
    criterion.final_summary();
}

fn hash(criterion: &mut Criterion) {
    let params = HashParams::new([7; 16], BLOCK_BYTES_DEFAULT, HashVersion::V1).expect("legal");
    let text = vec![b'x'; 512 * 1024];
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let mut chain = Vec::new();
    group.bench_function("512 KiB", |bencher| {
        bencher.iter(|| {
            let buffer = std::mem::take(&mut chain);
            let mut builder = ChainBuilder::reusing(&params, "model", None, buffer);
            builder.update(black_box(&text));
            chain = builder.finish();
        });
    });
}

fn overlay(criterion: &mut Criterion) {
    let mut workload = Workload::new(Kind::Conversations { turns: 8 }, ENDPOINTS, 1);
    let mut overlay = Overlay::new(OverlayLimits::default());
    #[expect(clippy::disallowed_methods, reason = "a bench has no time of its own")]
    let now = std::time::Instant::now();
    let key = |sequence| (Origin { replica: 1, start: 1 }, Sequence(sequence));
    let mut chains = Vec::new();
    for sequence in 0..400 {
        let (endpoint, chain) = workload.request();
        let slot = EndpointSlot(u32::try_from(endpoint).expect("few endpoints"));
        overlay.insert(key(sequence), slot, &chain, now);
        chains.push(chain);
    }
    let mut group = criterion.benchmark_group("overlay");
    let mut depths = vec![0; ENDPOINTS];
    let mut next = chains.iter().cycle();
    group.bench_function("raise", |bencher| {
        bencher.iter(|| next.next().map(|chain| overlay.raise(black_box(chain), &mut depths)));
    });
}

fn index(criterion: &mut Criterion, name: &str, kind: Kind) {
    let capacity = u32::try_from(MEMBERSHIPS).expect("it fits");
    let mut filled = Filled::new(ENDPOINTS, capacity, MEMBERSHIPS);
    let mut workload = Workload::new(kind, ENDPOINTS, 1);
    filled.fill(&mut workload, MEMBERSHIPS * 99 / 100);
    let chains: Vec<Vec<BlockHash>> = (0..1024)
        .map(|_| {
            let request = workload.request();
            let command = filled.propose(&request);
            filled.index.apply(&command);
            request.1
        })
        .collect();
    let cold: Vec<_> = (0..1024).map(|_| workload.cold(8192)).collect();
    let mut depths = vec![0; ENDPOINTS];
    for (group, chains) in [("depths", &chains), ("depths of cold chains", &cold)] {
        let mut next = chains.iter().cycle();
        criterion.benchmark_group(group).bench_function(name, |bencher| {
            bencher.iter(|| {
                next.next().map(|chain| filled.reader.depths(black_box(chain), &mut depths))
            });
        });
    }
    let filled = std::cell::RefCell::new(filled);
    criterion.benchmark_group("apply").bench_function(name, |bencher| {
        bencher.iter_batched(
            || filled.borrow_mut().propose(&workload.request()),
            |command| filled.borrow_mut().index.apply(&command),
            BatchSize::PerIteration,
        );
    });
}
