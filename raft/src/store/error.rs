//! What can go wrong with the store, and what helps.

use std::io;
use std::path::PathBuf;

use super::record::{ENTRY_BYTES_MAX, RecordError};
use super::state::StateError;

/// Why the store could not be opened. Damage is no reason: it is set aside.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot keep the log in {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot open the log in {}, which was made afresh: {found}", path.display())]
    Fresh { path: PathBuf, found: Damage },
}

/// What helps against an [`OpenError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRemedy {
    /// Run on a temporary directory, and say so.
    Temporary,
    /// End, and be started again: the cause may pass, and nothing is lost meanwhile.
    Stop,
}

impl OpenError {
    pub fn remedy(&self) -> OpenRemedy {
        match self {
            Self::Directory { .. } => OpenRemedy::Temporary,
            Self::InUse { .. } | Self::Io { .. } | Self::Fresh { .. } => OpenRemedy::Stop,
        }
    }
}

/// What was found in a log that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("sled cannot open it: {said}")]
    Engine { said: String },
    #[error("sled panicked over it: {said}")]
    Panic { said: String },
    #[error("{count} openings in a row ended before they were through")]
    Openings { count: u8 },
    #[error("sled holds commit {engine} and the side file {side}, but not all between")]
    Behind { engine: u64, side: u64 },
    #[error("the state cannot be read")]
    State(#[from] StateError),
    #[error("sled holds entries, and no state")]
    Stateless,
    #[error("an entry cannot be read")]
    Record(#[from] RecordError),
    #[error("the log ends at {found:?}, not at {expected:?}")]
    End { found: Option<u64>, expected: Option<u64> },
    #[error("the named values are not those that were written last")]
    Notes,
}

/// Why something could not be written. The store then writes nothing more; open it again.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("entry {found} does not follow on the log, which ends before {expected}")]
    Hole { expected: u64, found: u64 },
    #[error("an entry of {bytes} bytes is larger than {ENTRY_BYTES_MAX}")]
    EntryTooLarge { bytes: usize },
    #[error("cannot write commit {commit} to the side file")]
    Side { commit: u64, source: io::Error },
    #[error("sled cannot {doing}")]
    Engine { doing: &'static str, source: sled::Error },
    #[error("cannot sync sled's file after commit {commit}")]
    Sync { commit: u64, source: io::Error },
    #[error("sled panicked while the log was written: {said}")]
    Panic { said: String },
    #[error("entry {index} is missing, or cannot be read")]
    Missing { index: u64, source: Option<RecordError> },
    #[error("the store is closed")]
    Closed,
}

/// What helps against a [`WriteError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRemedy {
    /// The caller broke the rules of the log; nothing was written.
    Refuse,
    /// What is on disk is not known any more. Open the store again: it checks, and heals or sets
    /// aside.
    Reopen,
}

impl WriteError {
    pub fn remedy(&self) -> WriteRemedy {
        match self {
            Self::Hole { .. } | Self::EntryTooLarge { .. } => WriteRemedy::Refuse,
            Self::Side { .. }
            | Self::Engine { .. }
            | Self::Sync { .. }
            | Self::Panic { .. }
            | Self::Missing { .. }
            | Self::Closed => WriteRemedy::Reopen,
        }
    }
}

/// Why entries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("entry {index} is missing")]
    Missing { index: u64 },
    #[error("an entry cannot be read")]
    Record(#[from] RecordError),
    #[error("sled cannot read")]
    Engine(#[from] sled::Error),
    #[error("the reading thread ended: {said}")]
    Thread { said: String },
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("nothing").to_owned()
}
