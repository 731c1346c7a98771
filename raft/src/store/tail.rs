//! What readers see: the log's bounds, the vote, and the youngest entries, in memory.
//!
//! An entry is here from the moment it is appended until it is on disk and the bound is reached.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;

use super::error::WriteError;
use crate::types::{Entry, LogId, Vote};

/// The most bytes of entries kept in memory once they are on disk.
pub(super) const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an entry costs beside its payload.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// The youngest end of the log, and its bounds.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) purged: Option<LogId>,
    /// No entry stands before this index.
    first_index: u64,
    /// The last entry, while there is one.
    last: Option<LogId>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) notes: BTreeMap<String, Bytes>,
    entries: VecDeque<Entry>,
    entries_bytes: usize,
    /// The first index that is not on disk.
    durable_before: u64,
    /// Counts truncations, so that a reader notices one that went on beside it.
    pub(super) truncations: u64,
    /// Why nothing more is written.
    pub(super) failed: Option<Arc<WriteError>>,
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) purged: Option<LogId>,
    /// No entry stands before this index.
    pub(super) first_index: u64,
    /// The last entry, while there is one.
    pub(super) last: Option<LogId>,
}

/// What is in memory of a range, and what has to be read from disk before it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) on_disk: Range<u64>,
    pub(super) in_memory: Vec<Entry>,
    pub(super) truncations: u64,
}

impl Tail {
    /// A log that was read from disk; `entries` are its youngest.
    pub(super) fn recovered(log: Bounds, entries: VecDeque<Entry>) -> Self {
        let Bounds { purged, first_index, last } = log;
        let entries_bytes = entries.iter().map(bytes_of).sum();
        let durable_before = last.map_or(0, |last| last.index + 1);
        Self {
            purged,
            first_index,
            last,
            entries,
            entries_bytes,
            durable_before,
            ..Self::default()
        }
    }

    /// No entry stands before this index.
    pub(super) fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The last entry, or where the log was purged to if there is none.
    pub(super) fn last_or_purged(&self) -> Option<LogId> {
        self.last.or(self.purged)
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.last
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.entries_bytes
    }

    /// The index that the next entry must have, if the log says so.
    pub(super) fn next_index(&self) -> Option<u64> {
        self.last_or_purged().map(|log_id| log_id.index + 1)
    }

    pub(super) fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.last.is_none() {
                self.first_index = entry.log_id.index;
            }
            self.entries_bytes += bytes_of(entry);
            self.last = Some(entry.log_id);
            self.entries.push_back(entry.clone());
        }
    }

    /// Forgets all entries after `last`, which stays.
    pub(super) fn truncate(&mut self, last: Option<LogId>) {
        let keep_before = last.map_or(0, |last| last.index + 1);
        if self.last.is_none_or(|end| end.index < keep_before) {
            return;
        }
        while self.entries.back().is_some_and(|entry| keep_before <= entry.log_id.index) {
            self.entries_bytes -= self.entries.pop_back().as_ref().map_or(0, bytes_of);
        }
        self.last = last.filter(|last| self.purged.is_none_or(|purged| purged.index < last.index));
        self.durable_before = self.durable_before.min(keep_before);
        self.truncations += 1;
    }

    pub(super) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| upto.index <= purged.index) {
            return;
        }
        self.purged = Some(upto);
        self.first_index = upto.index + 1;
        self.last = self.last.filter(|last| upto.index < last.index);
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            self.drop_oldest();
        }
    }

    /// Notes that all before index `before` is on disk.
    pub(super) fn durable(&mut self, before: u64) {
        self.durable_before = before;
        while KEPT_BYTES_MAX < self.entries_bytes
            && self.entries.front().is_some_and(|entry| entry.log_id.index < before)
        {
            self.drop_oldest();
        }
    }

    /// Reads entries of `range`, at least one, until `bytes_max` are found. If the first of them are
    /// on disk, says which, and reads none.
    pub(super) fn find(&self, range: &Range<u64>, bytes_max: usize) -> Found {
        let from = self.first_index.max(range.start);
        let end = self.last.map_or(from, |last| last.index + 1).min(range.end).max(from);
        let first = self.entries.front().map_or(end, |entry| entry.log_id.index).clamp(from, end);
        let mut bytes_left = bytes_max;
        let in_memory = self
            .entries
            .iter()
            .skip_while(|entry| entry.log_id.index < first)
            .take_while(|entry| entry.log_id.index < end)
            .take_while(|entry| {
                let enough = bytes_left == 0;
                bytes_left = bytes_left.saturating_sub(bytes_of(entry));
                !enough
            });
        let in_memory = if first == from { in_memory.cloned().collect() } else { Vec::new() };
        Found { on_disk: from..first, in_memory, truncations: self.truncations }
    }

    fn drop_oldest(&mut self) {
        self.entries_bytes -= self.entries.pop_front().as_ref().map_or(0, bytes_of);
    }
}

/// Roughly what an entry takes in memory.
pub(super) fn bytes_of(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Membership(members) => {
            members.nodes().map(|(_, node)| node.name.len() + 64).sum()
        }
    };
    ENTRY_OVERHEAD_BYTES + payload
}
