//! How entries are written: in parts, each with a checksum, and chained to what stands before.
//!
//! An entry's chain is a hash of its bytes, seeded with the chain of the entry before it. A store
//! that gives back something older in the middle of the log so cannot pass for whole.

use std::mem;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::impls::leader_id_adv::LeaderId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::binary;
use super::state::Position;
use crate::types::{Entry, LogId, Payload};

/// The most bytes of a part. sled moves a leaf of up to twenty such values as one, and must not put
/// it into a file beside its log, which it never syncs: that happens beyond a quarter of
/// [`super::engine::SEGMENT_BYTES`].
pub(super) const PART_BYTES_MAX: usize = 48 * 1024;

/// The most bytes of an entry's payload.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The hash that stands before the first entry.
pub(super) const ROOT: u64 = 0;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 10;
/// Format, number of this part, number of parts, chain.
const HEAD_BYTES: usize = 1 + 2 + 2 + 8;
const SUM_BYTES: usize = 8;
/// Kind, term, leader, index.
const BODY_HEAD_BYTES: usize = 1 + 8 + 8 + 8;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a key of {bytes} bytes is not that of an entry")]
    Key { bytes: usize },
    #[error("entry {index}: part {part} has a wrong checksum")]
    Checksum { index: u64, part: u16 },
    #[error("entry {index}: part {part} has format {found}, not {FORMAT}")]
    Format { index: u64, part: u16, found: u8 },
    #[error("entry {index}: part {part} stands where part {expected} of {parts} should")]
    Part { index: u64, part: u16, expected: u16, parts: u16 },
    #[error("entry {index}: its last parts are missing")]
    Cut { index: u64 },
    #[error("entry {index}: its content cannot be read")]
    Content { index: u64 },
    #[error("entry {index} does not continue the one before it")]
    Chain { index: u64 },
    #[error("entry {expected} is missing before entry {found}")]
    Hole { expected: u64, found: u64 },
}

/// An entry as it is written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) chain: u64,
    pub(super) parts: Vec<(Key, Vec<u8>)>,
}

pub(super) type Key = [u8; KEY_BYTES];

/// Keys sort as the log does.
pub(super) fn key(index: u64, part: u16) -> Key {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Splits a key into index and part.
pub(super) fn parse_key(key: &[u8]) -> Result<(u64, u16), RecordError> {
    let wrong = RecordError::Key { bytes: key.len() };
    let (index, part) = key.split_at_checked(8).ok_or_else(|| wrong.clone())?;
    let index = index.try_into().map_err(|_| wrong.clone())?;
    let part = part.try_into().map_err(|_| wrong)?;
    Ok((u64::from_be_bytes(index), u16::from_be_bytes(part)))
}

/// Writes `entry` after one whose chain is `parent`.
pub(super) fn write(entry: &Entry, parent: u64) -> Written {
    let body = body(entry);
    let chain = xxh3_64_with_seed(&body, parent);
    let count = u16::try_from(body.len().div_ceil(PART_BYTES_MAX))
        .expect("the largest entry has fewer parts than a u16 counts");
    let parts = (0..count).zip(body.chunks(PART_BYTES_MAX)).map(|(part, bytes)| {
        let key = key(entry.log_id.index, part);
        let mut value = Vec::with_capacity(HEAD_BYTES + bytes.len() + SUM_BYTES);
        value.push(FORMAT);
        value.extend(part.to_le_bytes());
        value.extend(count.to_le_bytes());
        value.extend(chain.to_le_bytes());
        value.extend(bytes);
        value.extend(checksum(&key, &value).to_le_bytes());
        (key, value)
    });
    Written { chain, parts: parts.collect() }
}

/// Where an entry stands, from its first part.
pub(super) fn position(key: &[u8], value: &[u8]) -> Result<Position, RecordError> {
    let part = Part::read(key, value)?;
    let content = RecordError::Content { index: part.index };
    let log_id = parse_log_id(part.bytes).filter(|log_id| log_id.index == part.index);
    Ok(Position { log_id: log_id.ok_or(content)?, chain: part.chain })
}

/// The chain that goes on from a position of which the log holds no entry: a snapshot covers it.
pub(super) fn root(log_id: LogId) -> u64 {
    xxh3_64(&binary::write(&log_id))
}

fn body(entry: &Entry) -> Vec<u8> {
    let membership;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (0, &[]),
        EntryPayload::Normal(payload) => (1, &payload.0),
        EntryPayload::Membership(members) => {
            membership = binary::write(members);
            (2, &membership)
        }
    };
    let mut body = Vec::with_capacity(BODY_HEAD_BYTES + payload.len());
    body.push(kind);
    body.extend(entry.log_id.leader_id.term.to_le_bytes());
    body.extend(entry.log_id.leader_id.node_id.to_le_bytes());
    body.extend(entry.log_id.index.to_le_bytes());
    body.extend(payload);
    body
}

fn parse_body(index: u64, body: Vec<u8>) -> Option<Entry> {
    let body = Bytes::from(body);
    let log_id = parse_log_id(&body).filter(|log_id| log_id.index == index)?;
    let payload = body.slice(BODY_HEAD_BYTES..);
    let payload = match body.first()? {
        0 => EntryPayload::Blank,
        1 => EntryPayload::Normal(Payload(payload)),
        2 => EntryPayload::Membership(binary::read(&payload).ok()?),
        _ => return None,
    };
    Some(Entry { log_id, payload })
}

fn parse_log_id(body: &[u8]) -> Option<LogId> {
    let number = |at: usize| body.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    let leader_id = LeaderId { term: number(1)?, node_id: number(9)? };
    Some(LogId { leader_id, index: number(17)? })
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

/// One part, checked on its own.
struct Part<'a> {
    index: u64,
    number: u16,
    count: u16,
    chain: u64,
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    fn read(key: &[u8], value: &'a [u8]) -> Result<Self, RecordError> {
        let (index, part) = parse_key(key)?;
        Self::read_value(key, value, (index, part))
            .ok_or(RecordError::Checksum { index, part })
            .and_then(|(format, read)| match format {
                FORMAT => Ok(read),
                found => Err(RecordError::Format { index, part, found }),
            })
    }

    fn read_value(key: &[u8], value: &'a [u8], named: (u64, u16)) -> Option<(u8, Self)> {
        let (written, sum) = value.split_last_chunk::<SUM_BYTES>()?;
        if checksum(key, written) != u64::from_le_bytes(*sum) {
            return None;
        }
        let (head, bytes) = written.split_first_chunk::<HEAD_BYTES>()?;
        let &[format, number_low, number_high, count_low, count_high, ref chain @ ..] = head;
        let (index, number) = named;
        let count = u16::from_le_bytes([count_low, count_high]);
        let chain = u64::from_le_bytes(*chain);
        (u16::from_le_bytes([number_low, number_high]) == number)
            .then_some((format, Self { index, number, count, chain, bytes }))
    }
}

/// An entry that was read, and its chain.
#[derive(Debug)]
pub(super) struct Chained {
    pub(super) entry: Entry,
    pub(super) chain: u64,
}

/// Puts entries together from their parts, in the order of their keys, and checks that each
/// continues the one before it.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Chain and index of the entry before, if known.
    parent: Option<u64>,
    expected: Option<u64>,
    chain: u64,
    /// Parts of the entry that is being read, and how many were.
    count: u16,
    read: u16,
    body: Vec<u8>,
    index: u64,
}

impl Assembly {
    /// `parent` is the chain before the first entry and `expected` its index, as far as known.
    pub(super) fn after(parent: Option<u64>, expected: Option<u64>) -> Self {
        Self { parent, expected, chain: 0, count: 0, read: 0, body: Vec::new(), index: 0 }
    }

    /// Takes the next part. An entry comes back with its last one.
    pub(super) fn take(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<Chained>, RecordError> {
        let part = Part::read(key, value)?;
        if self.read == 0 {
            self.begin(&part)?;
        }
        let continues = part.index == self.index && part.chain == self.chain;
        if !continues && self.read != 0 {
            return Err(RecordError::Cut { index: self.index });
        }
        if part.number != self.read || part.count != self.count {
            let Part { index, number: part, .. } = part;
            let (expected, parts) = (self.read, self.count);
            return Err(RecordError::Part { index, part, expected, parts });
        }
        self.body.extend(part.bytes);
        self.read += 1;
        if self.read < self.count {
            return Ok(None);
        }
        self.read = 0;
        self.end().map(Some)
    }

    /// Says whether the last entry was whole.
    pub(super) fn finish(&self) -> Result<(), RecordError> {
        if self.read == 0 { Ok(()) } else { Err(RecordError::Cut { index: self.index }) }
    }

    fn begin(&mut self, part: &Part<'_>) -> Result<(), RecordError> {
        if let Some(expected) = self.expected.filter(|&expected| expected != part.index) {
            return Err(RecordError::Hole { expected, found: part.index });
        }
        (self.index, self.chain, self.count) = (part.index, part.chain, part.count);
        Ok(())
    }

    fn end(&mut self) -> Result<Chained, RecordError> {
        let (index, chain) = (self.index, self.chain);
        let body = mem::take(&mut self.body);
        let parent = self.parent.replace(chain);
        if parent.is_some_and(|parent| xxh3_64_with_seed(&body, parent) != chain) {
            return Err(RecordError::Chain { index });
        }
        self.expected = index.checked_add(1);
        let entry = parse_body(index, body).ok_or(RecordError::Content { index })?;
        Ok(Chained { entry, chain })
    }
}

#[cfg(test)]
mod tests;
