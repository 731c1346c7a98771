//! The decoder of header blocks: instructions in, fields out, and the dynamic table between blocks.

use std::collections::VecDeque;
use std::mem;

use super::Field;
use super::field::STATIC;
use super::huffman;

/// Size of the dynamic table, in bytes as RFC 7541 section 4.1 counts them. This is the protocol's
/// initial value, so nothing has to be announced.
const TABLE_BYTES_MAX: usize = 4096;

/// Literals that the peer does not want in the table (nghttp2 treats `:path` so) and sends again
/// and again.
const RECENT_MAX: usize = 4;
const RECENT_BYTES_MAX: usize = 1024;

/// Why a header block cannot be decoded. The connection cannot go on after it: the tables differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    #[error("the block ends within an instruction")]
    Truncated,
    #[error("an integer does not fit in 28 bits")]
    IntegerTooLarge,
    #[error("index {0} is in neither table")]
    NoSuchIndex(usize),
    #[error("a Huffman string is malformed")]
    Huffman,
    #[error("the table is resized to {0} bytes; the limit is {TABLE_BYTES_MAX}")]
    TableTooLarge(usize),
    #[error("the table is resized after the first field of a block")]
    LateResize,
    #[error("the block stands for more than {0} bytes")]
    TooLong(usize),
}

/// The decoder of one connection's header blocks.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Youngest first, as the index counts.
    table: VecDeque<Field>,
    table_bytes: usize,
    /// The peer's choice; no more than [`TABLE_BYTES_MAX`]. `None` until it makes one.
    table_bytes_max: Option<usize>,
    recent: VecDeque<Field>,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// What the peer wants done with a literal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Index,
    Plain,
    /// A secret: kept nowhere.
    NeverIndex,
}

impl Decoder {
    /// Decodes one whole block, giving each field to `take` in order.
    ///
    /// A field may be as long as the table while the block names it by a byte, so `bytes_max`
    /// bounds what the block stands for.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        bytes_max: usize,
        mut take: impl FnMut(&Field),
    ) -> Result<(), HpackError> {
        let mut bytes_left = Some(bytes_max);
        let mut take = |field: &Field| {
            bytes_left = bytes_left.and_then(|left| left.checked_sub(field.weight()));
            take(field);
            bytes_left.map(|_| ()).ok_or(HpackError::TooLong(bytes_max))
        };
        let mut rest = block;
        let mut fields_seen = false;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    take(self.field(index)?)?;
                }
                0x40..0x80 => self.literal(&mut rest, 6, Literal::Index, &mut take)?,
                0x20..0x40 if fields_seen => return Err(HpackError::LateResize),
                0x20..0x40 => {
                    self.resize(integer(&mut rest, 5)?)?;
                    continue;
                }
                0x10..0x20 => self.literal(&mut rest, 4, Literal::NeverIndex, &mut take)?,
                0x00..0x10 => self.literal(&mut rest, 4, Literal::Plain, &mut take)?,
            }
            fields_seen = true;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        prefix_bits: u8,
        literal: Literal,
        take: &mut impl FnMut(&Field) -> Result<(), HpackError>,
    ) -> Result<(), HpackError> {
        let mut name = mem::take(&mut self.name);
        let mut value = mem::take(&mut self.value);
        name.clear();
        value.clear();
        match integer(rest, prefix_bits)? {
            0 => string(rest, &mut name)?,
            index => name.extend_from_slice(self.field(index)?.name()),
        }
        string(rest, &mut value)?;
        match literal {
            Literal::Index => {
                let field = Field::new(&name, &value);
                take(&field)?;
                self.insert(field);
            }
            Literal::Plain => take(&self.remembered(&name, &value))?,
            Literal::NeverIndex => take(&Field::new(&name, &value))?,
        }
        self.name = name;
        self.value = value;
        Ok(())
    }

    /// The field of `name` and `value`, from the last few literals if it was among them.
    fn remembered(&mut self, name: &[u8], value: &[u8]) -> Field {
        let same = |field: &&Field| field.value() == value && field.name() == name;
        if let Some(field) = self.recent.iter().find(same) {
            return field.clone();
        }
        let field = Field::new(name, value);
        if field.weight() <= RECENT_BYTES_MAX {
            self.recent.truncate(RECENT_MAX - 1);
            self.recent.push_front(field.clone());
        }
        field
    }

    fn field(&self, index: usize) -> Result<&Field, HpackError> {
        let none = HpackError::NoSuchIndex(index);
        let place = index.checked_sub(1).ok_or(none)?;
        let fixed: &[Field] = &STATIC;
        match place.checked_sub(fixed.len()) {
            Some(place) => self.table.get(place),
            None => fixed.get(place),
        }
        .ok_or(none)
    }

    fn resize(&mut self, bytes_max: usize) -> Result<(), HpackError> {
        if TABLE_BYTES_MAX < bytes_max {
            return Err(HpackError::TableTooLarge(bytes_max));
        }
        self.table_bytes_max = Some(bytes_max);
        self.evict(0);
        Ok(())
    }

    fn insert(&mut self, field: Field) {
        self.evict(field.weight());
        if field.weight() <= self.bytes_max() {
            self.table_bytes += field.weight();
            self.table.push_front(field);
        }
    }

    /// Drops the oldest until `arriving` more bytes have room, or nothing is left.
    fn evict(&mut self, arriving: usize) {
        while self.bytes_max() < self.table_bytes + arriving {
            let Some(field) = self.table.pop_back() else { return };
            self.table_bytes -= field.weight();
        }
    }

    fn bytes_max(&self) -> usize {
        self.table_bytes_max.unwrap_or(TABLE_BYTES_MAX)
    }
}

/// An integer whose first byte shares its upper bits with something else (RFC 7541 section 5.1).
fn integer(rest: &mut &[u8], prefix_bits: u8) -> Result<usize, HpackError> {
    let mut value = usize::from(next(rest)?) & ((1 << prefix_bits) - 1);
    if value < (1 << prefix_bits) - 1 {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next(rest)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::IntegerTooLarge)
}

/// Appends a string literal (RFC 7541 section 5.2) to `out`.
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let huffman_coded = rest.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = after;
    if huffman_coded {
        return huffman::decode(text, out).ok_or(HpackError::Huffman);
    }
    out.extend_from_slice(text);
    Ok(())
}

fn next(rest: &mut &[u8]) -> Result<u8, HpackError> {
    let (&byte, after) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = after;
    Ok(byte)
}

#[cfg(test)]
mod tests;
