//! A batch's bytes: the envelope, and what can be wrong with it.

use bincode::Options;
use bytes::Bytes;
use convoy_prefix_index::Stamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{BATCH_BYTES_MAX, BATCH_FORMAT, BATCH_ITEMS_MAX, Batch, wire};

/// The first bytes of a batch.
const MAGIC: [u8; 4] = *b"CvBt";

/// Magic (4), format (2), checksum of the body (8).
pub(super) const HEAD_BYTES: usize = 14;

/// The stamp and the number of items: what a body has before its first item.
pub(super) const BODY_HEAD_BYTES: usize = 16;

/// Why a batch has no encoding.
#[derive(Debug, thiserror::Error)]
pub enum BatchEncodeError {
    #[error("a batch of {items} items; at most {BATCH_ITEMS_MAX} go into one")]
    Items { items: usize },
    #[error("a batch does not fit in {BATCH_BYTES_MAX} bytes")]
    Bytes { source: bincode::Error },
}

/// Why bytes are no batch that this version reads.
#[derive(Debug, thiserror::Error)]
pub enum BatchDecodeError {
    #[error("{bytes} bytes, where a batch has {HEAD_BYTES} to {BATCH_BYTES_MAX}")]
    Length { bytes: usize },
    #[error("the first bytes are {found:02x?}, not those of a batch")]
    Magic { found: [u8; 4] },
    #[error("format {found}, where this version reads {BATCH_FORMAT}; a newer one is needed")]
    Format { found: u16 },
    #[error("checksum {found:016x}, where the body has {expected:016x}")]
    Checksum { found: u64, expected: u64 },
    #[error("the body is not what format {BATCH_FORMAT} has")]
    Body { source: bincode::Error },
    #[error("{items} items, where a batch has at most {BATCH_ITEMS_MAX}")]
    Items { items: usize },
    #[error("item {item}: {what}")]
    Item { item: usize, what: &'static str },
}

impl Batch {
    /// The batch as bytes.
    pub fn encode(&self) -> Result<Bytes, BatchEncodeError> {
        if BATCH_ITEMS_MAX < self.items.len() {
            return Err(BatchEncodeError::Items { items: self.items.len() });
        }
        let body = wire::Body::of(self);
        let mut bytes = vec![0; HEAD_BYTES];
        body_options()
            .serialize_into(&mut bytes, &body)
            .map_err(|source| BatchEncodeError::Bytes { source })?;
        let (head, body) = bytes.split_at_mut(HEAD_BYTES);
        let checksum = checksum(BATCH_FORMAT, body);
        let parts = MAGIC.into_iter().chain(BATCH_FORMAT.to_le_bytes());
        for (byte, part) in head.iter_mut().zip(parts.chain(checksum.to_le_bytes())) {
            *byte = part;
        }
        Ok(bytes.into())
    }

    /// The batch that `bytes` are. Total: whatever they are, memory is bounded by their length.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchDecodeError> {
        let length = BatchDecodeError::Length { bytes: bytes.len() };
        if BATCH_BYTES_MAX < bytes.len() {
            return Err(length);
        }
        let Some((magic, rest)) = bytes.split_first_chunk::<4>() else { return Err(length) };
        let Some((format, rest)) = rest.split_first_chunk::<2>() else { return Err(length) };
        let Some((found, body)) = rest.split_first_chunk::<8>() else { return Err(length) };
        if *magic != MAGIC {
            return Err(BatchDecodeError::Magic { found: *magic });
        }
        let (format, found) = (u16::from_le_bytes(*format), u64::from_le_bytes(*found));
        let expected = checksum(format, body);
        if found != expected {
            return Err(BatchDecodeError::Checksum { found, expected });
        }
        if format != BATCH_FORMAT {
            return Err(BatchDecodeError::Format { found: format });
        }
        let body: wire::Body =
            body_options().deserialize(body).map_err(|source| BatchDecodeError::Body { source })?;
        if BATCH_ITEMS_MAX < body.items.len() {
            return Err(BatchDecodeError::Items { items: body.items.len() });
        }
        let items = (0..).zip(body.items).map(|(item, record)| {
            record.into_item().map_err(|what| BatchDecodeError::Item { item, what })
        });
        Ok(Self { stamp: Stamp(body.stamp), items: items.collect::<Result<_, _>>()? })
    }
}

/// Covers the format too, so that damage to it is not taken for a newer version.
fn checksum(format: u16, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, format.into())
}

fn body_options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit((BATCH_BYTES_MAX - HEAD_BYTES) as u64)
        .reject_trailing_bytes()
}
