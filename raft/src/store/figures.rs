//! What the store counts, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the store was opened, and the last values of gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub commits: u64,
    pub entries: u64,
    /// Bytes that commits handed to sled, and once more to the side file.
    pub bytes: u64,
    /// Time from the first write of a commit to the last sync, in all.
    pub commit_time: Duration,
    /// The same, of the commit that took longest.
    pub commit_time_max: Duration,
    /// Entries that were read from disk, as they were no longer in memory.
    pub entries_from_disk: u64,
    /// Records of purged entries that were removed.
    pub swept: u64,
    /// Requests that wait for the writing thread.
    pub waiting: u64,
    /// Entries in memory.
    pub kept_bytes: u64,
    /// sled's file and the side files.
    pub disk_bytes: u64,
}

/// Where the figures are kept: written by the store, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) commit_nanos: AtomicU64,
    pub(super) commit_nanos_max: AtomicU64,
    pub(super) entries_from_disk: AtomicU64,
    pub(super) swept: AtomicU64,
    pub(super) kept_bytes: AtomicU64,
    pub(super) disk_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, bytes: usize, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        Self::add(&self.commits, 1);
        Self::add(&self.bytes, bytes);
        self.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.commit_nanos_max.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(super) fn read(&self, waiting: usize) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            commits: read(&self.commits),
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            commit_time: Duration::from_nanos(read(&self.commit_nanos)),
            commit_time_max: Duration::from_nanos(read(&self.commit_nanos_max)),
            entries_from_disk: read(&self.entries_from_disk),
            swept: read(&self.swept),
            waiting: waiting as u64,
            kept_bytes: read(&self.kept_bytes),
            disk_bytes: read(&self.disk_bytes),
        }
    }
}
