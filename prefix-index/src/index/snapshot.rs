//! Snapshots: an index as a stream of bytes, and back.
//!
//! A snapshot is canonical: equal indexes give equal bytes, however their runs happen to be cut.
//! It is a sequence of chunks, each with its number, length and checksum; a chunk holds whole
//! records. The records, in this order:
//!
//! - head: magic, format version, parameters, the youngest stamp;
//! - one for each endpoint, in order, and one for each origin, in order;
//! - the forest of blocks, root first, siblings by name: one record for each stretch without a
//!   branch, with the names of its blocks, the leaves in it, and how many stretches follow it;
//! - pending stamps, by endpoint and name;
//! - end: the digest.
//!
//! Leaves say all about holdings: an endpoint holds what lies before its leaves.
//!
//! The head holds the key of the block hashes: a file with a snapshot is its owner's alone.

mod frozen;

mod restore;

mod wire;

pub(super) use frozen::{FrozenCell, FrozenRun};
pub use frozen::{Snapshot, SnapshotChunks};
pub use restore::{Restore, RestoreError};

use super::Index;

/// The first bytes of a snapshot.
const MAGIC: [u8; 4] = *b"CvPX";

/// The format that is written, and the only one that is read.
const FORMAT: u16 = 1;

/// A chunk is closed by the record that makes it at least this long.
const CHUNK_BYTES: usize = 256 * 1024;

/// No chunk is longer: the longest record is a chain of blocks, and a leaf of each endpoint.
const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a record is; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Head = 1,
    Endpoint = 2,
    Origin = 3,
    Stretch = 4,
    Pending = 5,
    End = 6,
}

impl Record {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Head, Self::Endpoint, Self::Origin, Self::Stretch, Self::Pending, Self::End]
            .into_iter()
            .find(|record| *record as u8 == byte)
    }
}

impl Index {
    /// Takes a snapshot: copies what is stored, which takes a few milliseconds for each million
    /// memberships. Encode it on another thread, while this index goes on.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self)
    }
}
