//! Snapshots on their way between replicas: read and taken in, in bounded chunks.
//!
//! The network asks for one chunk after another and waits between them as long as the other side
//! does, so neither holds more than a few. The receiver restores while it receives: a snapshot
//! that is damaged is refused before the log's engine hears of it, and one that is whole needs no
//! second reading.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    LogPosition, Machine, MachineDigest, MachineRestore, MachineRestoreError,
    files::{Files, READ_BYTES, Stored, Unfinished},
};
use crate::types::SnapshotMeta;

/// Bytes of a chunk on its way.
pub const TRANSFER_CHUNK_BYTES: usize = READ_BYTES;

/// Bytes of a snapshot that is taken in. The largest index takes less, even if every block in it is
/// the end of a chain.
pub const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// A snapshot: in a file, and if it was just received, restored too.
#[derive(Debug)]
pub struct SnapshotData {
    pub(super) stored: Stored,
    pub(super) received: Option<Received>,
}

/// What a snapshot from another replica was made into.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) machine: Box<Machine>,
    pub(super) unfinished: Unfinished,
    /// Its memory is a second index's until it is installed or dropped.
    pub(super) _place: OwnedSemaphorePermit,
}

/// Why a snapshot from another replica was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("cannot write the snapshot, after {bytes} bytes")]
    Write { bytes: u64, source: io::Error },
    #[error("the snapshot is damaged, within its first {bytes} bytes")]
    Damaged { bytes: u64, source: MachineRestoreError },
    #[error("the snapshot has more than {SNAPSHOT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the snapshot's sender was cut off after {bytes} bytes")]
    CutOff { bytes: u64 },
}

impl SnapshotData {
    pub(super) fn of(stored: Stored) -> Self {
        Self { stored, received: None }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.stored.bytes
    }

    /// The last entry in it.
    pub fn position(&self) -> Option<LogPosition> {
        self.stored.position
    }

    /// The digest of the machine that it was taken of.
    pub fn digest(&self) -> MachineDigest {
        self.stored.digest
    }

    /// What the log's engine wants to know of it.
    pub fn meta(&self) -> SnapshotMeta {
        super::engine::meta(&self.stored)
    }

    /// Its bytes, from the first on.
    pub fn outgoing(&self) -> Outgoing {
        Outgoing { file: Arc::clone(&self.stored.file), at: 0, end: self.stored.bytes }
    }
}

/// The bytes of a snapshot, chunk after chunk. Reading blocks, for as long as a disk takes.
#[derive(Debug)]
pub struct Outgoing {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Outgoing {
    /// The next chunk, of at most [`TRANSFER_CHUNK_BYTES`]; `None` after the last.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; left.min(TRANSFER_CHUNK_BYTES)];
        self.file.read_exact_at(&mut chunk, self.at)?;
        self.at += chunk.len() as u64;
        Ok(Some(chunk.into()))
    }

    /// Sends all chunks, and waits whenever the channel is full. For a thread that may block. False
    /// when the receiver is gone.
    pub fn send_all(mut self, chunks: &mpsc::Sender<Bytes>) -> io::Result<bool> {
        while let Some(chunk) = self.next_chunk()? {
            if chunks.blocking_send(chunk).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A snapshot that is being received. Dropping it forgets it.
#[derive(Debug)]
pub struct Incoming {
    unfinished: Unfinished,
    restore: MachineRestore,
    bytes: u64,
    place: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn begin(files: &Files, place: OwnedSemaphorePermit) -> io::Result<Self> {
        let (unfinished, restore) = (files.begin()?, MachineRestore::new());
        Ok(Self { unfinished, restore, bytes: 0, place })
    }

    /// Takes the next bytes. Blocks for as long as a disk takes, and to restore: a few milliseconds
    /// for a chunk.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.bytes += bytes.len() as u64;
        if SNAPSHOT_BYTES_MAX < self.bytes {
            return Err(ReceiveError::TooLarge);
        }
        let so_far = self.bytes;
        let mut file = &*self.unfinished.file;
        file.write_all(bytes).map_err(|source| ReceiveError::Write { bytes: so_far, source })?;
        self.restore.push(bytes).map_err(|source| ReceiveError::Damaged { bytes: so_far, source })
    }

    /// The snapshot, when all bytes were pushed; whole, and not installed yet.
    pub fn finish(self) -> Result<SnapshotData, ReceiveError> {
        let Self { unfinished, restore, bytes, place } = self;
        let machine = restore.finish().map_err(|source| ReceiveError::Damaged { bytes, source })?;
        let stored = Stored {
            file: Arc::clone(&unfinished.file),
            bytes,
            position: machine.applied(),
            membership: machine.facts().membership.clone(),
            digest: machine.digest(),
        };
        let received = Received { machine: Box::new(machine), unfinished, _place: place };
        Ok(SnapshotData { stored, received: Some(received) })
    }

    /// Takes all chunks in, waiting for each. For a thread that may block. The sender closes the
    /// channel after the last; `None` in its place says that the sender was cut off.
    pub fn receive_all(
        mut self,
        mut chunks: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<SnapshotData, ReceiveError> {
        while let Some(chunk) = chunks.blocking_recv() {
            let Some(chunk) = chunk else {
                return Err(ReceiveError::CutOff { bytes: self.bytes });
            };
            self.push(&chunk)?;
        }
        self.finish()
    }
}
