//! openraft's view of the store.

use std::io;
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};

use super::error::WriteError;
use super::job::Job;
use super::reader::LogReader;
use super::record::ENTRY_BYTES_MAX;
use super::tail::bytes_of;
use super::{LogStore, WAITING_BYTES_MAX, lock};
use crate::types::{Entry, LogId, Types, Vote};

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let tail = lock(&self.shared.tail);
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last_or_purged() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.ask(|done| Job::Vote { vote, done }).await
    }

    /// Goes to disk with the next commit, since it may be older than the truth: a replica that
    /// starts applies up to here, and learns the rest from the leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        lock(&self.shared.tail).committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(lock(&self.shared.tail).committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let bytes = entries.iter().map(bytes_of).sum::<usize>();
        let permits = bytes.min(WAITING_BYTES_MAX).div_ceil(1024);
        let permits = u32::try_from(permits).map_err(io::Error::other)?;
        let closed = || io::Error::other(WriteError::Closed);
        let room =
            Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| closed())?;
        let place = self.jobs.reserve().await.map_err(|_| closed())?;
        let mut tail = lock(&self.shared.tail);
        if let Some(failed) = &tail.failed {
            return Err(io::Error::other(Arc::clone(failed)));
        }
        check(tail.next_index(), &entries).map_err(io::Error::other)?;
        // Readable from here on, as openraft demands; on disk when the callback is called.
        tail.append(&entries);
        drop(tail);
        place.send(Job::Append { entries, flushed: callback, room });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        lock(&self.shared.tail).truncate(last_log_id);
        self.ask(|done| Job::Truncate { after: last_log_id, done }).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        lock(&self.shared.tail).purge(log_id);
        self.ask(|done| Job::Purge { upto: log_id, done }).await
    }
}

/// Refuses what would leave a hole, or could not be written.
fn check(mut expected: Option<u64>, entries: &[Entry]) -> Result<(), WriteError> {
    for entry in entries {
        let found = entry.log_id.index;
        if let Some(expected) = expected.filter(|&expected| expected != found) {
            return Err(WriteError::Hole { expected, found });
        }
        if let EntryPayload::Normal(payload) = &entry.payload
            && ENTRY_BYTES_MAX < payload.0.len()
        {
            return Err(WriteError::EntryTooLarge { bytes: payload.0.len() });
        }
        expected = Some(found + 1);
    }
    Ok(())
}
