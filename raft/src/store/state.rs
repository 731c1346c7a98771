//! What the store knows besides entries, as every commit leaves it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::binary;
use super::record::ROOT;
use crate::types::{LogId, Vote};

/// An entry's place in the log, and the hash of all that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) log_id: LogId,
    pub(super) chain: u64,
}

/// Vote and positions. Written with every commit, into sled and into the side file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Counts commits of this store, from one.
    pub(super) commit: u64,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// All up to here is forgotten. It need not have been in this log: a snapshot covers it.
    pub(super) purged: Option<Position>,
    /// The last entry, while there is one.
    pub(super) last: Option<Position>,
    /// [`note_digest`] of all notes, combined by exclusive or.
    pub(super) notes: u64,
}

/// Why a state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("it has a wrong checksum")]
    Checksum,
    #[error("it has format {found}, not {FORMAT}")]
    Format { found: u8 },
    #[error("its content cannot be read")]
    Content,
}

const FORMAT: u8 = 1;

impl State {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut written = vec![FORMAT];
        written.extend(binary::write(self));
        written.extend(xxh3_64(&written).to_le_bytes());
        written
    }

    pub(super) fn read(written: &[u8]) -> Result<Self, StateError> {
        let (checked, sum) = written.split_last_chunk().ok_or(StateError::Checksum)?;
        if xxh3_64(checked) != u64::from_le_bytes(*sum) {
            return Err(StateError::Checksum);
        }
        match checked.split_first() {
            Some((&FORMAT, content)) => binary::read(content).map_err(|_| StateError::Content),
            Some((&found, _)) => Err(StateError::Format { found }),
            None => Err(StateError::Content),
        }
    }

    /// The chain that the next entry continues.
    pub(super) fn chain(&self) -> u64 {
        self.last.or(self.purged).map_or(ROOT, |position| position.chain)
    }

    /// The index that the next entry must have. An empty log begins where it is told to.
    pub(super) fn next_index(&self) -> Option<u64> {
        self.last.or(self.purged).map(|position| position.log_id.index + 1)
    }
}

/// The share of one note in [`State::notes`].
pub(super) fn note_digest(name: &str, value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(name.as_bytes()))
}
