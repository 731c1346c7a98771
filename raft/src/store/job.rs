//! What the writing thread is asked for, and who waits for the answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::IOFlushed;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::WriteError;
use crate::types::{Entry, LogId, Types, Vote};

/// One request.
pub(super) enum Job {
    Append {
        entries: Vec<Entry>,
        flushed: IOFlushed<Types>,
        room: OwnedSemaphorePermit,
    },
    Vote {
        vote: Vote,
        done: Done,
    },
    /// Forget all entries after this one.
    Truncate {
        after: Option<LogId>,
        done: Done,
    },
    /// Forget all entries up to this one.
    Purge {
        upto: LogId,
        done: Done,
    },
    /// Keep a value under a name, or forget it.
    Note {
        name: String,
        value: Option<Bytes>,
        done: Done,
    },
    /// Write what waits, and end.
    Close {
        done: Done,
    },
}

pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// Who waits for a commit.
pub(super) enum Waiting {
    Append { flushed: IOFlushed<Types>, _room: OwnedSemaphorePermit },
    Other(Done),
}

impl Waiting {
    /// Who waits for `job`, or who asks to close.
    pub(super) fn of(job: Job) -> Result<Self, Done> {
        match job {
            Job::Append { flushed, room, .. } => Ok(Self::Append { flushed, _room: room }),
            Job::Vote { done, .. }
            | Job::Truncate { done, .. }
            | Job::Purge { done, .. }
            | Job::Note { done, .. } => Ok(Self::Other(done)),
            Job::Close { done } => Err(done),
        }
    }

    pub(super) fn answer(self, outcome: Result<(), Arc<WriteError>>) {
        let outcome = outcome.map_err(io::Error::other);
        match self {
            Self::Append { flushed, .. } => flushed.io_completed(outcome),
            // Whoever asked may have gone; the write stands.
            Self::Other(done) => drop(done.send(outcome)),
        }
    }
}
