//! The figures of the README: depths under load, apply, memory.
//!
//! `cargo bench -p convoy-prefix-index --bench figures [-- name ...]`

#![allow(
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a bench measures and prints"
)]

mod rivals;

#[path = "../workload/mod.rs"]
mod workload;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use convoy_prefix_index::{
    BLOCK_BYTES_DEFAULT, BlockHash, ChainBuilder, Command, HashParams, HashVersion, Restore,
};
use rivals::{MapOfSets, RadixTree, Rival};
use workload::{Filled, Kind, Workload};

const MEMBERSHIPS: u64 = 10_000_000;
const QUERIES: usize = 20_000;

struct Case {
    name: &'static str,
    kind: Kind,
    endpoints: usize,
}

const CASES: [Case; 7] = [
    Case { name: "conversations-8", kind: Kind::Conversations { turns: 8 }, endpoints: 128 },
    Case { name: "conversations-1", kind: Kind::Conversations { turns: 1 }, endpoints: 128 },
    Case { name: "conversations-32", kind: Kind::Conversations { turns: 32 }, endpoints: 128 },
    Case { name: "agent-trees", kind: Kind::AgentTrees, endpoints: 128 },
    Case { name: "three-blocks", kind: Kind::ThreeBlocks, endpoints: 128 },
    Case { name: "documents", kind: Kind::Documents, endpoints: 128 },
    Case { name: "endpoints-1024", kind: Kind::Conversations { turns: 8 }, endpoints: 1024 },
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    memory();
    if wanted("hash") {
        hash();
    }
    for case in &CASES {
        if wanted(case.name) {
            run(case);
        }
    }
    if wanted("snapshot") {
        snapshot();
    }
    if wanted("rivals") {
        for case in CASES.iter().take(5) {
            rival::<MapOfSets>(case, "map of sets");
            rival::<RadixTree>(case, "radix tree");
        }
    }
}

/// What this machine's memory can do at the moment: the other figures hang on it.
fn memory() {
    const WORDS: usize = 32 << 20;
    let mut next: Vec<u32> = (0..WORDS as u32).collect();
    let mut random = fastrand::Rng::with_seed(1);
    // One cycle through all words: Sattolo's shuffle.
    for at in (1..WORDS).rev() {
        next.swap(at, random.usize(..at));
    }
    let (mut at, start) = (0u32, Instant::now());
    for _ in 0..1_000_000 {
        at = next[at as usize];
    }
    let dependent = start.elapsed().as_nanos() as f64 / 1e6;
    let (mut sum, start) = (u64::from(at), Instant::now());
    for step in 0..4_000_000u64 {
        let word = (step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 39) as usize % WORDS;
        sum = sum.wrapping_add(next[word].into());
    }
    let independent = start.elapsed().as_nanos() as f64 / 4e6;
    std::hint::black_box(sum);
    println!("memory, 128 MiB: {dependent:.0} ns a dependent load, {independent:.0} ns another");
}

fn hash() {
    let params = HashParams::new([7; 16], BLOCK_BYTES_DEFAULT, HashVersion::V1).expect("legal");
    let text: Vec<u8> = (0..512 * 1024).map(|_| fastrand::u8(..)).collect();
    let mut chain = Vec::new();
    let mut times: Vec<Duration> = (0..2001)
        .map(|_| {
            let start = Instant::now();
            let buffer = std::mem::take(&mut chain);
            let mut builder = ChainBuilder::reusing(&params, "model", None, buffer);
            builder.update(&text);
            chain = builder.finish();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("hash: 512 KiB to {} blocks: p50 {:?}", chain.len(), times[1000]);
}

fn snapshot() {
    let mut filled = Filled::new(128, 1 << 20, MEMBERSHIPS * 2);
    let mut workload = Workload::new(Kind::Conversations { turns: 1 }, 128, 1);
    filled.fill(&mut workload, MEMBERSHIPS);
    let mut pauses: Vec<Duration> = (0..5)
        .map(|_| {
            let start = Instant::now();
            drop(std::hint::black_box(filled.index.snapshot()));
            start.elapsed()
        })
        .collect();
    pauses.sort_unstable();
    let start = on_cpu();
    let chunks: Vec<_> = filled.index.snapshot().chunks().collect();
    let encoded = on_cpu() - start;
    let bytes: usize = chunks.iter().map(Vec::len).sum();
    let start = on_cpu();
    let mut restore = Restore::new();
    for chunk in &chunks {
        restore.push(chunk).expect("it is whole");
    }
    let restored = restore.finish().expect("it is whole");
    let took = on_cpu() - start;
    assert_eq!(restored.digest(), filled.index.digest());
    println!(
        "snapshot of {} memberships: pause {:?} (drop of the copy included), {:.1} MB, encoded in \
         {encoded:?}, restored in {took:?}",
        filled.reader.statistics().memberships,
        pauses[2],
        bytes as f64 / 1e6,
    );
}

fn rival<R: Rival + Default>(case: &Case, name: &str) {
    let mut workload = Workload::new(case.kind, case.endpoints, 1);
    let mut rival = R::default();
    let start = on_cpu();
    while rival.memberships() < MEMBERSHIPS * 999 / 1000 {
        let (endpoint, chain) = workload.request();
        rival.hold(endpoint as u32, &chain);
    }
    let built = on_cpu() - start;
    let bytes = rival.bytes() as f64 / rival.memberships() as f64;
    println!("{}, {name}: built in {built:?}; {bytes:.1} bytes each by the kernel's", case.name);
    let chains: Vec<_> = (0..4096)
        .map(|_| {
            let (endpoint, chain) = workload.request();
            rival.hold(endpoint as u32, &chain);
            chain
        })
        .collect();
    let cold: Vec<_> = (0..1024).map(|_| workload.cold(8192)).collect();
    let ask = |chain: &[BlockHash], depths: &mut [u32]| {
        rival.depths(chain, depths);
        depths.iter().copied().max().unwrap_or(0)
    };
    measure("alone", ask, case.endpoints, &chains);
    measure("cold 8192, alone", ask, case.endpoints, &cold);
}

fn run(case: &Case) {
    let capacity = u32::try_from(MEMBERSHIPS).expect("fits") / case.endpoints as u32;
    let mut filled = Filled::new(case.endpoints, capacity * 4, MEMBERSHIPS);
    let mut workload = Workload::new(case.kind, case.endpoints, 1);
    let before = resident();
    let start = on_cpu();
    filled.fill(&mut workload, MEMBERSHIPS * 999 / 1000);
    let built = on_cpu() - start;
    let after = resident();
    let stats = filled.reader.statistics();
    println!(
        "{}: {} memberships, {} blocks, {} runs; built in {built:?} with the workload's making; \
         {:.1} bytes each by own count, {:.1} by the kernel's",
        case.name,
        stats.memberships,
        stats.blocks,
        stats.runs,
        filled.index.bytes() as f64 / stats.memberships as f64,
        after.saturating_sub(before) as f64 / stats.memberships as f64,
    );
    apply(&mut filled, &mut workload);
    let chains = filled.fill_more(&mut workload, 4096);
    alone_and_beside(case, filled, workload, &chains);
}

impl Filled {
    fn fill_more(&mut self, workload: &mut Workload, count: usize) -> Vec<Vec<BlockHash>> {
        let requests: Vec<_> = (0..count).map(|_| workload.request()).collect();
        for request in &requests {
            let command = self.propose(request);
            self.index.apply(&command);
        }
        requests.into_iter().map(|(_, chain)| chain).collect()
    }
}

/// How fast commands apply at the bound, so that each evicts what it adds.
fn apply(filled: &mut Filled, workload: &mut Workload) {
    let before = filled.reader.statistics().evicted;
    let (mut spent, mut count) = (Duration::ZERO, 0u32);
    while spent < Duration::from_secs(2) {
        let requests: Vec<_> = (0..64).map(|_| workload.request()).collect();
        let commands: Vec<_> = requests.iter().map(|request| filled.propose(request)).collect();
        let start = on_cpu();
        for command in &commands {
            filled.index.apply(command);
        }
        spent += on_cpu() - start;
        count += 64;
    }
    let evicted = filled.reader.statistics().evicted - before;
    println!(
        "  apply: {:.2} M memberships/s added and evicted, {:.2} us/command",
        evicted as f64 / spent.as_secs_f64() / 1e6,
        spent.as_secs_f64() / f64::from(count) * 1e6,
    );
}

fn alone_and_beside(
    case: &Case,
    mut filled: Filled,
    mut workload: Workload,
    chains: &[Vec<BlockHash>],
) {
    let reader = filled.reader.clone();
    let cold: Vec<_> = (0..1024).map(|_| workload.cold(8192)).collect();
    let ask = |chain: &[BlockHash], depths: &mut [u32]| reader.depths(chain, depths);
    measure("alone", ask, case.endpoints, chains);
    measure("cold 8192, alone", ask, case.endpoints, &cold);
    let commands: Vec<Command> = (0..30_000)
        .map(|_| {
            let request = workload.request();
            filled.propose(&request)
        })
        .collect();
    let stop = AtomicBool::new(false);
    let added = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (start, before) = (Instant::now(), filled.reader.statistics().evicted);
            for command in commands.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                filled.index.apply(&again(command, &added));
                // 500,000 memberships a second: waits until the clock has caught up.
                let done = filled.reader.statistics().evicted - before;
                let due = Duration::from_micros(done * 2);
                while start.elapsed() < due && !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        measure("writer beside", ask, case.endpoints, chains);
        measure("cold 8192, writer beside", ask, case.endpoints, &cold);
        stop.store(true, Ordering::Relaxed);
    });
}

/// The command under a sequence of its own.
fn again(command: &Command, sequences: &AtomicU64) -> Command {
    let mut command = command.clone();
    if let Command::Held(held) = &mut command {
        let sequence = sequences.fetch_add(1, Ordering::Relaxed);
        held.sequence.0 = sequence + (1 << 40);
        held.stamp.0 = sequence / 8 + (1 << 40);
    }
    command
}

fn measure(
    what: &str,
    ask: impl Fn(&[BlockHash], &mut [u32]) -> u32,
    endpoints: usize,
    chains: &[Vec<BlockHash>],
) {
    let mut depths = vec![0; endpoints];
    let mut random = fastrand::Rng::with_seed(9);
    let mut times = Vec::with_capacity(QUERIES);
    let mut matched = 0u64;
    for _ in 0..QUERIES {
        let chain = &chains[random.usize(..chains.len())];
        let start = Instant::now();
        matched += u64::from(ask(chain, &mut depths));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos();
    println!(
        "  depths, {what}: p50 {} ns, p90 {} ns, p99 {} ns (mean match {})",
        at(0.5),
        at(0.9),
        at(0.99),
        matched / QUERIES as u64
    );
}

/// How long this thread has run: what others do on the machine does not count.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
