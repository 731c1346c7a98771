//! What the log costs: entries a second, what one takes, and how long a large log takes to open.
//!
//! `cargo bench -p convoy-raft` measures a cluster of one, so that disk and engine are all there is.
//! It also prints latencies, the CPU time of an entry at a few rates, and how long a log of 1 GB takes
//! to open, which it makes once under `target/`, and how much disk one takes. `-- latencies`, `rates`,
//! `space` or `recovery` prints one alone.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a bench measures and prints"
)]

mod alone;

#[path = "../tests/suite/store/machine.rs"]
mod machine;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoy_raft::store::{LogStore, Place, Settings};
use convoy_raft::types::{Entry, LogId};
use convoy_raft::{Payload, Types};
use criterion::{Criterion, Throughput};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use tokio::runtime::Runtime;

use crate::alone::Alone;

const PROPOSERS: [usize; 3] = [1, 16, 256];
/// A batch of 40 ms at a few hundred requests a second.
const ENTRY_BYTES: usize = 4096;
/// How long a replica is watched that is asked for nothing; as long as it is asked at each rate.
const QUIET: Duration = Duration::from_secs(4);
const LARGE_LOG_BYTES: usize = 1_000_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    entries(&mut criterion, &runtime);
    criterion.final_summary();
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if wanted("latencies") {
        latencies(&runtime);
    }
    if wanted("rates") {
        rates(&runtime);
    }
    if wanted("space") {
        space(&runtime);
    }
    if wanted("recovery") {
        recovery(&runtime);
    }
}

fn entries(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("entries of 4 KiB");
    group.throughput(Throughput::Elements(1));
    for proposers in PROPOSERS {
        let directory = tempfile::tempdir().expect("a directory");
        let alone = runtime.block_on(Alone::begin(directory.path()));
        group.bench_function(format!("{proposers} proposers"), |bencher| {
            bencher.iter_custom(|entries| {
                let begun = Instant::now();
                runtime.block_on(alone.propose(entries, proposers, ENTRY_BYTES));
                begun.elapsed()
            });
        });
        runtime.block_on(alone.end());
    }
}

fn latencies(runtime: &Runtime) {
    for proposers in PROPOSERS {
        let directory = tempfile::tempdir().expect("a directory");
        let alone = runtime.block_on(Alone::begin(directory.path()));
        let entries = 3000 + 100 * proposers as u64;
        let begun = Instant::now();
        let mut took = runtime.block_on(alone.propose(entries, proposers, ENTRY_BYTES));
        let rate = entries as f64 / begun.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: f64| took[(share * (took.len() - 1) as f64) as usize];
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        println!(
            "{proposers} proposers: {rate:.0} entries/s, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}"
        );
        runtime.block_on(alone.end());
    }
}

/// What an entry costs when few come, as in a cluster that merges 40 ms of sightings into each.
fn rates(runtime: &Runtime) {
    for rate in [25_u32, 100, 200] {
        let directory = tempfile::tempdir().expect("a directory");
        let alone = runtime.block_on(Alone::begin(directory.path()));
        // Past the first turn of the side files, which grow during it.
        runtime.block_on(alone.propose(6000, 256, ENTRY_BYTES));
        let idle = cpu_over(|| runtime.block_on(async { tokio::time::sleep(QUIET).await }));
        let busy = cpu_over(|| runtime.block_on(alone.propose_at(rate, 4 * rate, ENTRY_BYTES)));
        let each = busy.saturating_sub(idle) / (4 * rate);
        println!(
            "{rate} entries/s: {each:.0?} of CPU for an entry, {idle:.0?} in {QUIET:?} without any"
        );
        runtime.block_on(alone.end());
    }
}

/// How large the files get of a log that is purged whenever it has twice the bytes that it keeps.
fn space(runtime: &Runtime) {
    const KEPT_BYTES: usize = 64 * 1024 * 1024;
    let kept = (KEPT_BYTES / ENTRY_BYTES) as u64;
    let directory = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let mut store = open(directory.path()).await;
        let mut disk_bytes_max = 0;
        for first in (0..20 * kept).step_by(64) {
            append(&mut store, first..first + 64).await;
            if first % kept == 0 && kept < first {
                store.purge(log_id(first - kept)).await.expect("an open store");
            }
            disk_bytes_max = disk_bytes_max.max(disk_bytes(directory.path()));
        }
        let [kept, max] = [KEPT_BYTES as u64, disk_bytes_max].map(|bytes| bytes / 1_000_000);
        println!("a log of {kept} to {} MB takes at most {max} MB of disk", 2 * kept);
        store.close().await;
    });
}

fn disk_bytes(directory: &Path) -> u64 {
    let log = directory.join("log");
    let files = [log.join("sled/db"), log.join("side-0"), log.join("side-1")];
    files.iter().map(|file| file.metadata().expect("a file of the log").blocks() * 512).sum()
}

fn recovery(runtime: &Runtime) {
    let directory = large_log(runtime);
    for _ in 0..3 {
        let begun = Instant::now();
        let store = runtime.block_on(open(&directory));
        println!("a log of 1 GB opens in {:.2?}", begun.elapsed());
        runtime.block_on(store.close());
    }
}

/// Made once, and kept.
fn large_log(runtime: &Runtime) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("large-log");
    let finished = directory.join("finished");
    if finished.exists() {
        return directory;
    }
    if directory.exists() {
        fs::remove_dir_all(&directory).expect("what another run left is removable");
    }
    let begun = Instant::now();
    runtime.block_on(async {
        let mut store = open(&directory).await;
        let entries = (LARGE_LOG_BYTES / ENTRY_BYTES) as u64;
        for first in (0..entries).step_by(256) {
            append(&mut store, first..first + 256).await;
        }
        println!("a log of 1 GB was made in {:.0?}: {:?}", begun.elapsed(), store.figures());
        store.close().await;
    });
    fs::write(finished, "").expect("a writable disk");
    directory
}

/// Appends entries with these indexes, and waits until they are on disk.
async fn append(store: &mut LogStore, indexes: Range<u64>) {
    let (sender, flushed) = Types::oneshot();
    let entry = |index| {
        let payload = EntryPayload::Normal(payload(ENTRY_BYTES));
        Entry { log_id: log_id(index), payload }
    };
    store.append(indexes.map(entry), IOFlushed::signal(sender)).await.expect("an open store");
    flushed.await.expect("an answer").expect("a writable disk");
}

fn log_id(index: u64) -> LogId {
    let leader_id = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: 1 };
    LogId { leader_id, index }
}

/// Hashes do not compress, and neither does this.
fn payload(bytes: usize) -> Payload {
    let mut payload = vec![0; bytes];
    fastrand::fill(&mut payload);
    Payload(Bytes::from(payload))
}

async fn open(directory: &Path) -> LogStore {
    let place = Place::Directory(directory.to_owned());
    LogStore::open(Settings { place, clock: Instant::now }).await.expect("a log").store
}

/// CPU time of this process while `work` runs.
fn cpu_over(work: impl FnOnce()) -> Duration {
    let begun = cpu();
    work();
    cpu().saturating_sub(begun)
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
