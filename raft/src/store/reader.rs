//! Reading entries: from memory where they are young, else from sled, on a thread that may block.

use std::collections::Bound;
use std::fmt::Debug;
use std::io;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use openraft::{OptionalSend, RaftLogReader};

use super::engine::Engine;
use super::error::{ReadError, WriteError, panic_text};
use super::figures::Counters;
use super::record::Assembly;
use super::tail::{Found, bytes_of};
use super::{Shared, lock};
use crate::types::{Entry, Types, Vote};

/// The most bytes that are read at once where the reader takes what it is given.
const STEP_BYTES: usize = 1024 * 1024;

/// Reads entries and the vote. Any number may read beside the writer.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Reads entries of `range` from its start on: at least one, if the log holds any.
    ///
    /// `truncations` is what the caller knows of them; `None` comes back if it is outdated.
    async fn step(
        &self,
        range: Range<u64>,
        truncations: Option<u64>,
    ) -> io::Result<Option<(Vec<Entry>, u64)>> {
        let found = lock(&self.shared.tail).find(&range, STEP_BYTES);
        let Found { on_disk, in_memory, truncations: now } = found;
        if truncations.is_some_and(|before| before != now) {
            return Ok(None);
        }
        if on_disk.is_empty() {
            return Ok(Some((in_memory, now)));
        }
        let mut entries = self.read_disk(on_disk.clone()).await?;
        let tail = lock(&self.shared.tail);
        if tail.truncations != now {
            return Ok(None);
        }
        // What was purged meanwhile may be missing.
        let from = on_disk.start.max(tail.first_index());
        drop(tail);
        entries.retain(|entry| from <= entry.log_id.index);
        let mut expected = from..on_disk.end;
        for entry in &entries {
            match expected.next() {
                Some(index) if index == entry.log_id.index => {}
                Some(index) => return Err(other(ReadError::Missing { index })),
                None => break,
            }
        }
        if entries.is_empty() && !expected.is_empty() {
            return Err(other(ReadError::Missing { index: expected.start }));
        }
        Ok(Some((entries, now)))
    }

    async fn read_disk(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let Some(engine) = lock(&self.shared.engine).clone() else {
            return Err(other(WriteError::Closed));
        };
        let read = tokio::task::spawn_blocking(move || read_entries(&engine, range)).await;
        let entries = match read {
            Ok(read) => read.map_err(other)?,
            Err(error) => {
                let said = error
                    .try_into_panic()
                    .map_or_else(|error| error.to_string(), |panic| panic_text(&*panic));
                return Err(other(ReadError::Thread { said }));
            }
        };
        Counters::add(&self.shared.counters.entries_from_disk, entries.len());
        Ok(entries)
    }

    async fn read_all(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        'again: loop {
            let mut all: Vec<Entry> = Vec::new();
            let mut known = None;
            let mut rest = range.clone();
            while !rest.is_empty() {
                let Some((entries, truncations)) = self.step(rest.clone(), known).await? else {
                    continue 'again;
                };
                let Some(last) = entries.last() else {
                    break;
                };
                rest.start = last.log_id.index + 1;
                known = Some(truncations);
                all.extend(entries);
            }
            return Ok(all);
        }
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read_all(bounds(&range)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(lock(&self.shared.tail).vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        loop {
            if let Some((entries, _)) = self.step(start..end, None).await? {
                return Ok(entries);
            }
        }
    }

    /// Reads as the stream is read: a log may be larger than memory is meant to be.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let rest = bounds(&range);
        let unread = Vec::new().into_iter();
        Box::pin(stream::try_unfold(
            (reader, rest, unread),
            |(reader, mut rest, mut unread)| async move {
                loop {
                    if let Some(entry) = unread.next() {
                        return Ok(Some((entry, (reader, rest, unread))));
                    }
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let Some((entries, _)) = reader.step(rest.clone(), None).await? else {
                        continue;
                    };
                    let Some(last) = entries.last() else {
                        return Ok(None);
                    };
                    rest.start = last.log_id.index + 1;
                    unread = entries.into_iter();
                }
            },
        ))
    }
}

/// Reads from sled until the range ends or enough is read.
fn read_entries(engine: &Engine, range: Range<u64>) -> Result<Vec<Entry>, ReadError> {
    let mut assembly = Assembly::after(None, None);
    let mut entries = Vec::new();
    let mut bytes = 0;
    for part in engine.parts(range.start) {
        let (key, value) = part?;
        let Some(read) = assembly.take(&key, &value)? else {
            continue;
        };
        if range.end <= read.entry.log_id.index {
            break;
        }
        bytes += bytes_of(&read.entry);
        entries.push(read.entry);
        if STEP_BYTES <= bytes {
            break;
        }
    }
    Ok(entries)
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
