//! A machine as a stream of bytes, and back.
//!
//! `[magic, format, length, checksum, record]`, then the index's own chunks, each with a checksum of
//! its own; the index's last record ends the snapshot. The record begins with the digest of the
//! whole, which what was restored must have. Canonical: equal machines give equal bytes.
//!
//! Freezing copies what the index stores, which takes a few milliseconds for each million
//! memberships, and as much memory as the index while the copy lives. Encoding is for another
//! thread.
//!
//! The bytes hold the key of the block hashes: a file with them is its owner's alone.

use convoy_prefix_index::{Index, Restore, RestoreError, Snapshot, SnapshotChunks};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{LogPosition, Machine, MachineDigest, Membership, SEMANTICS_KNOWN, Semantics, record};

/// The first bytes of a snapshot.
const MAGIC: [u8; 4] = *b"CvMS";

/// The format that is written, and the only one that is read.
const FORMAT: u16 = 1;

/// Magic (4), format (2), length of the record (4), checksum (8).
const HEAD_BYTES: usize = 18;

/// The digest in front of the record.
const DIGEST_BYTES: usize = 8;

/// No snapshot chunk is longer: an index's chunk with its longest record, or the head.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024 + 64;

/// A machine as it was between two entries. Send it to another thread and take its
/// [`FrozenMachine::chunks`] there.
#[derive(Debug)]
pub struct FrozenMachine {
    position: Option<LogPosition>,
    membership: Membership,
    digest: MachineDigest,
    head: Vec<u8>,
    index: Snapshot,
}

/// Why bytes are no snapshot of a machine, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineRestoreError {
    #[error("the first bytes are {found:02x?}, not those of a snapshot")]
    Magic { found: [u8; 4] },
    #[error("format {found}, where this version reads {FORMAT}; a newer one is needed")]
    Format { found: u16 },
    #[error("the record's length is {bytes} bytes, which none has")]
    Length { bytes: u32 },
    #[error("the record's checksum is {found:016x}, not {expected:016x}")]
    Checksum { found: u64, expected: u64 },
    #[error("the record is not what format {FORMAT} has: {what}")]
    Record { what: String },
    #[error("semantics {} are active in it; this version knows {} at most", found.0, SEMANTICS_KNOWN.0)]
    Semantics { found: Semantics },
    #[error("the index is damaged")]
    Index(#[source] RestoreError),
    #[error("the snapshot ends within its first {bytes} bytes")]
    Truncated { bytes: usize },
    #[error("the record and the index name different endpoints")]
    Endpoints,
    #[error("the content has digest {:016x}, not {:016x} as the snapshot says", found.0, said.0)]
    Digest { found: MachineDigest, said: MachineDigest },
}

impl Machine {
    /// Copies the machine, to be encoded elsewhere while it goes on.
    pub fn freeze(&self) -> FrozenMachine {
        let record = record::encode(self);
        let digest = record::digest_of(&record, self);
        let length = u32::try_from(DIGEST_BYTES + record.len()).expect("a record is short");
        let body: Vec<u8> = digest.0.to_le_bytes().into_iter().chain(record).collect();
        let mut head = Vec::with_capacity(HEAD_BYTES + body.len());
        head.extend(MAGIC);
        head.extend(FORMAT.to_le_bytes());
        head.extend(length.to_le_bytes());
        head.extend(checksum(FORMAT, &body).to_le_bytes());
        head.extend(body);
        FrozenMachine {
            position: self.applied,
            membership: self.facts.membership.clone(),
            digest,
            head,
            index: self.index.snapshot(),
        }
    }
}

impl FrozenMachine {
    /// The last entry that was applied.
    pub fn position(&self) -> Option<LogPosition> {
        self.position
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    pub fn digest(&self) -> MachineDigest {
        self.digest
    }

    /// The snapshot's bytes, in chunks of at most [`SNAPSHOT_CHUNK_BYTES_MAX`].
    pub fn chunks(self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::once(self.head).chain(Lazily::Frozen(Box::new(self.index)))
    }
}

/// Sorts what the index holds only when the head has been taken.
enum Lazily {
    Frozen(Box<Snapshot>),
    Chunks(Box<SnapshotChunks>),
    Done,
}

impl Iterator for Lazily {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        *self = match std::mem::replace(self, Self::Done) {
            Self::Frozen(snapshot) => Self::Chunks(Box::new(snapshot.chunks())),
            other @ (Self::Chunks(_) | Self::Done) => other,
        };
        match self {
            Self::Chunks(chunks) => chunks.next(),
            Self::Frozen(_) | Self::Done => None,
        }
    }
}

/// Takes a snapshot's bytes, in any pieces, and makes a machine of them. Nothing in them is trusted.
#[derive(Debug, Default)]
pub struct MachineRestore {
    head: Vec<u8>,
    rest: Option<(MachineDigest, record::Rest)>,
    index: Restore,
}

impl MachineRestore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), MachineRestoreError> {
        while self.rest.is_none() && !bytes.is_empty() {
            let wanted = self.head_bytes()?;
            let (taken, left) = bytes.split_at(bytes.len().min(wanted - self.head.len()));
            self.head.extend_from_slice(taken);
            bytes = left;
            if HEAD_BYTES < wanted && self.head.len() == wanted {
                self.rest = Some(self.read_head()?);
                self.head = Vec::new();
            }
        }
        self.index.push(bytes).map_err(MachineRestoreError::Index)
    }

    /// The machine, when all bytes were pushed.
    pub fn finish(self) -> Result<Machine, MachineRestoreError> {
        let truncated = MachineRestoreError::Truncated { bytes: self.head.len() + 1 };
        let (said, rest) = self.rest.ok_or(truncated)?;
        let index = self.index.finish().map_err(MachineRestoreError::Index)?;
        if !same_endpoints(&index, &rest) {
            return Err(MachineRestoreError::Endpoints);
        }
        let record::Rest { applied, time, joined, facts } = rest;
        let machine = Machine { index, facts, applied, time, joined };
        let found = machine.digest();
        if found == said { Ok(machine) } else { Err(MachineRestoreError::Digest { found, said }) }
    }

    /// How long the head is, as far as it is known; more than [`HEAD_BYTES`] when it is.
    fn head_bytes(&self) -> Result<usize, MachineRestoreError> {
        let Some((magic, rest)) = self.head.split_first_chunk::<4>() else {
            return Ok(HEAD_BYTES);
        };
        if *magic != MAGIC {
            return Err(MachineRestoreError::Magic { found: *magic });
        }
        let Some((format, rest)) = rest.split_first_chunk::<2>() else { return Ok(HEAD_BYTES) };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(MachineRestoreError::Format { found });
        }
        let Some(length) = rest.first_chunk::<4>() else { return Ok(HEAD_BYTES) };
        let bytes = u32::from_le_bytes(*length);
        if (DIGEST_BYTES..=DIGEST_BYTES + record::RECORD_BYTES_MAX).contains(&(bytes as usize)) {
            Ok(HEAD_BYTES + bytes as usize)
        } else {
            Err(MachineRestoreError::Length { bytes })
        }
    }

    fn read_head(&self) -> Result<(MachineDigest, record::Rest), MachineRestoreError> {
        let truncated = || MachineRestoreError::Truncated { bytes: self.head.len() };
        let (head, body) = self.head.split_at_checked(HEAD_BYTES).ok_or_else(truncated)?;
        let found = u64::from_le_bytes(*head.last_chunk().ok_or_else(truncated)?);
        let expected = checksum(FORMAT, body);
        if found != expected {
            return Err(MachineRestoreError::Checksum { found, expected });
        }
        let (digest, record) = body.split_first_chunk().ok_or_else(truncated)?;
        let rest = record::decode(record).map_err(|what| MachineRestoreError::Record { what })?;
        let found = rest.facts.semantics;
        if SEMANTICS_KNOWN < found {
            return Err(MachineRestoreError::Semantics { found });
        }
        Ok((MachineDigest(u64::from_le_bytes(*digest)), rest))
    }
}

fn same_endpoints(index: &Index, rest: &record::Rest) -> bool {
    index.endpoints().map(|(endpoint, ..)| endpoint.address()).eq(rest.joined.keys().copied())
}

fn checksum(format: u16, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, format.into())
}
