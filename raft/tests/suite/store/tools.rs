//! What the tests of the store share: opening one, entries, and asking for things.

use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use convoy_raft::Payload;
use convoy_raft::store::{LogStore, OpenError, Opened, Place, Settings};
use convoy_raft::types::{Entry, LogId, Vote};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};
use tokio::runtime::Runtime;

#[expect(clippy::disallowed_methods, reason = "the clock that the store is given")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) async fn try_open(path: &Path) -> Result<Opened, OpenError> {
    LogStore::open(Settings { place: Place::Directory(path.to_owned()), clock }).await
}

pub(super) async fn open(path: &Path) -> LogStore {
    let opened = try_open(path).await.unwrap();
    assert!(opened.set_aside.is_none(), "set aside: {:?}", opened.set_aside);
    opened.store
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    let leader_id = openraft::impls::leader_id_adv::LeaderId { term, node_id: 1 };
    LogId { leader_id, index }
}

pub(super) fn vote(term: u64, node: u64) -> Vote {
    Vote::new(term, node)
}

pub(super) fn entry(log_id: LogId, payload: impl Into<Bytes>) -> Entry {
    Entry { log_id, payload: EntryPayload::Normal(Payload(payload.into())) }
}

/// Bytes that differ between any two (term, index).
pub(super) fn content(log_id: LogId, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(log_id.leader_id.term << 32 | log_id.index);
    (0..bytes).map(|_| random.u8(..)).collect()
}

pub(super) fn entries(term: u64, range: std::ops::Range<u64>, bytes: usize) -> Vec<Entry> {
    range.map(|index| log_id(term, index)).map(|id| entry(id, content(id, bytes))).collect()
}

/// Appends, and waits until it is on disk.
pub(super) async fn append(store: &mut LogStore, entries: Vec<Entry>) -> io::Result<()> {
    let (sender, flushed) = convoy_raft::Types::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await?;
    flushed.await.map_err(io::Error::other)?
}

pub(super) async fn read(
    store: &mut LogStore,
    range: impl RangeBounds<u64> + Clone + std::fmt::Debug + Send,
) -> Vec<Entry> {
    store.get_log_reader().await.try_get_log_entries(range).await.unwrap()
}

/// A number from the environment.
pub(super) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

pub(super) fn random_seed() -> u64 {
    fastrand::u64(..1 << 32)
}

/// What to run to see a failure of `seed` again.
pub(super) fn replay(module: &str, seed: u64) -> String {
    format!(
        "replay with: CONVOY_STORE_SEED={seed} cargo test -p convoy-raft --test suite \
         store::{module}"
    )
}

/// Waits until `condition` holds.
pub(super) fn eventually(mut condition: impl FnMut() -> bool) {
    let begun = clock();
    while !condition() {
        assert!(clock() - begun < std::time::Duration::from_mins(2), "it does not come about");
        std::thread::yield_now();
    }
}
