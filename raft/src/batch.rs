//! Batches: what one entry of the log says.
//!
//! The leader merges what all origins offer for some 40 ms into one batch and stamps it. A batch is
//! bounded by count and bytes, and so is each item, so that applying one takes a bounded time.
//! The same form carries items from an origin to the leader.
//!
//! Bytes are `[magic, format, checksum, body]`: the envelope is checked before bincode looks at
//! the body, and decoding is total. Bytes from anywhere give a batch or an error, in memory that is
//! a small multiple of their length.

mod item;

mod builder;

mod envelope;

mod wire;

pub use builder::{BatchBuilder, ItemRefused};
use convoy_prefix_index::Stamp;
pub use envelope::{BatchDecodeError, BatchEncodeError};
pub use item::{ClusterChange, EndpointChange, Formed, Item, Seen, Sighted};

/// The format that is written, and the only one that is read.
pub const BATCH_FORMAT: u16 = 1;

/// Items of a batch. At 500 requests a second and 40 ms to a batch there are 20; this many come
/// when a cluster was without a leader for a while.
pub const BATCH_ITEMS_MAX: usize = 4096;

/// Bytes of an encoded batch: 32,000 blocks, which an index takes in in less than 10 ms.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an encoded item. Whoever proposes a longer chain cuts it first.
pub const ITEM_BYTES_MAX: usize = 64 * 1024;

/// Hashes of one [`Seen::Held`]: as many as fit in [`ITEM_BYTES_MAX`].
pub const HELD_HASHES_MAX: usize = (ITEM_BYTES_MAX - 128) / 8;

/// What one entry of the log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The leader's logical time, in milliseconds, when it closed the batch.
    pub stamp: Stamp,
    pub items: Vec<Item>,
}
