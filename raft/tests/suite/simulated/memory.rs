//! Logs in memory that outlive the replicas that write them.

use std::{
    collections::BTreeMap,
    io,
    ops::{Bound, RangeBounds},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use convoy_raft::{
    cluster::{OpenedLog, Storage},
    types::{Entry, LogId, Payload, Types, Vote},
};
use futures_util::{FutureExt, future::BoxFuture};
use openraft::{
    EntryPayload, LogState, OptionalSend,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage},
};

/// All logs, by directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    logs: Arc<Mutex<BTreeMap<PathBuf, MemoryLog>>>,
}

/// A log. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    vote: Option<Vote>,
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    /// What is written in place of the next batch, as a fault of memory or disk would.
    twist: Option<Payload>,
}

impl Memory {
    pub(crate) fn forget(&self, directory: &Path) {
        self.logs.lock().unwrap().retain(|path, _| !path.starts_with(directory));
    }
}

impl Memory {
    /// Has the next batch that is written below `directory` be another.
    pub(crate) fn twist(&self, directory: &Path, batch: &Bytes) {
        for (path, log) in self.logs.lock().unwrap().iter() {
            if path.starts_with(directory) {
                log.state().twist = Some(Payload(batch.clone()));
            }
        }
    }
}

impl Storage for Memory {
    type Log = MemoryLog;

    fn open(&self, directory: PathBuf) -> BoxFuture<'static, io::Result<OpenedLog<MemoryLog>>> {
        let log = self.logs.lock().unwrap().entry(directory).or_default().clone();
        std::future::ready(Ok(OpenedLog { log, forgotten: false })).boxed()
    }

    fn close(&self, _log: MemoryLog) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl RaftLogReader<Types> for MemoryLog {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend,
    {
        Ok(self.state().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.state().vote)
    }
}

impl RaftLogStorage<Types> for MemoryLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.state();
        let last = state.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: last.or(state.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.state().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.state().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.state();
        for mut entry in entries {
            if let EntryPayload::Normal(payload) = &mut entry.payload
                && let Some(twisted) = state.twist.take()
            {
                *payload = twisted;
            }
            state.entries.insert(entry.log_id.index, entry);
        }
        drop(state);
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(Bound::Unbounded, |id| Bound::Excluded(id.index));
        let mut state = self.state();
        let gone: Vec<_> =
            state.entries.range((from, Bound::Unbounded)).map(|(&index, _)| index).collect();
        for index in gone {
            state.entries.remove(&index);
        }
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut state = self.state();
        state.purged = Some(upto);
        state.entries.retain(|&index, _| upto.index < index);
        Ok(())
    }
}
