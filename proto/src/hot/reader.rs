//! Reads protobuf's wire format from a slice, and says what was wrong and where.

use std::fmt;
use std::ops::Range;

/// How deep messages and groups may nest, as in every protobuf implementation.
const DEPTH_MAX: u32 = 100;

/// Headers in one message at most. Envoy itself takes a hundred unless it is told otherwise; an empty
/// header is two bytes, so without a bound a message of 4 MB would be a list of 2,000,000.
pub const HEADERS_MAX: usize = 4096;

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{} at byte {offset}: {fault}", FieldSuffix(*.field))]
pub struct DecodeError {
    /// The message that was being read, by its name in the schema.
    pub message: &'static str,
    /// The field of it, or zero if its number could not be read.
    pub field: u32,
    /// Where reading stopped, in bytes from the start of what was to be decoded.
    pub offset: usize,
    pub fault: Fault,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the bytes end within the field")]
    Truncated,
    #[error("an integer does not fit 64 bits")]
    IntegerTooLong,
    #[error("{key:#x} names no field")]
    InvalidKey { key: u64 },
    #[error("wire type {found} where {expected} is due")]
    WireType { found: u8, expected: u8 },
    #[error("a length of {length} with {left} bytes left")]
    PastEnd { length: u64, left: usize },
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("a group ends that did not begin")]
    GroupEnd,
    #[error("nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    #[error("{length} bytes are more than a message may have")]
    TooLong { length: usize },
}

/// Writes the field number of an error, if there is one.
struct FieldSuffix(u32);

impl fmt::Display for FieldSuffix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            number => write!(out, " field {number}"),
        }
    }
}

/// How a field's value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    GroupStart = 3,
    GroupEnd = 4,
    Fixed32 = 5,
}

/// The number and layout of the field at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) number: u32,
    wire_type: WireType,
}

/// Reads the fields of one message, front to back.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the start of the outermost message.
    end: usize,
    depth_left: u32,
    message: &'static str,
    field: u32,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as a `message`.
    pub(super) fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { rest: bytes, end: bytes.len(), depth_left: DEPTH_MAX, message, field: 0 }
    }

    /// The error of `fault` here.
    #[cold]
    pub(super) fn error(&self, fault: Fault) -> DecodeError {
        let offset = self.offset();
        DecodeError { message: self.message, field: self.field, offset, fault }
    }

    /// The next field, or `None` at the end of the message.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Option<Key>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.field = 0;
        self.key_here().map(Some)
    }

    /// A `bool`.
    #[inline]
    pub(super) fn boolean(&mut self, key: Key) -> Result<bool, DecodeError> {
        self.expect(key, WireType::Varint)?;
        Ok(self.varint()? != 0)
    }

    /// An `int32` or an enum.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the wire widens an int32 to 64 bits")]
    pub(super) fn int32(&mut self, key: Key) -> Result<i32, DecodeError> {
        self.expect(key, WireType::Varint)?;
        Ok(self.varint()? as i32)
    }

    /// Where the value of a `bytes` field lies, counted from the start of the outermost message.
    #[inline]
    pub(super) fn bytes(&mut self, key: Key) -> Result<Range<usize>, DecodeError> {
        let value = self.delimited(key)?;
        let end = self.offset();
        Ok(end - value.len()..end)
    }

    /// Where the value of a `string` field lies, counted from the start of the outermost message.
    #[inline]
    pub(super) fn string(&mut self, key: Key) -> Result<Range<usize>, DecodeError> {
        let value = self.delimited(key)?;
        if str::from_utf8(value).is_err() {
            return Err(self.error(Fault::NotUtf8));
        }
        let end = self.offset();
        Ok(end - value.len()..end)
    }

    /// The message in a field.
    #[inline]
    pub(super) fn nested(&mut self, key: Key, message: &'static str) -> Result<Self, DecodeError> {
        let rest = self.delimited(key)?;
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.error(Fault::TooDeep));
        };
        Ok(Self { rest, end: self.offset(), depth_left, message, field: 0 })
    }

    /// Passes over a field, whatever it holds.
    pub(super) fn skip(&mut self, key: Key) -> Result<(), DecodeError> {
        self.skip_within(key, self.depth_left)
    }

    fn skip_within(&mut self, key: Key, depth_left: u32) -> Result<(), DecodeError> {
        let Some(below) = depth_left.checked_sub(1) else {
            return Err(self.error(Fault::TooDeep));
        };
        match key.wire_type {
            WireType::Varint => self.varint().map(|_| ()),
            WireType::Fixed64 => self.take(8).map(|_| ()),
            WireType::Delimited => self.delimited(key).map(|_| ()),
            WireType::Fixed32 => self.take(4).map(|_| ()),
            WireType::GroupEnd => Err(self.error(Fault::GroupEnd)),
            WireType::GroupStart => loop {
                let inner = self.key_here()?;
                if inner.wire_type != WireType::GroupEnd {
                    self.skip_within(inner, below)?;
                } else if inner.number == key.number {
                    return Ok(());
                } else {
                    return Err(self.error(Fault::GroupEnd));
                }
            },
        }
    }

    fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    #[inline]
    fn key_here(&mut self) -> Result<Key, DecodeError> {
        let key = self.varint()?;
        let invalid = Fault::InvalidKey { key };
        let number = match u32::try_from(key) {
            Ok(narrow) if narrow >> 3 != 0 => narrow >> 3,
            Ok(_) | Err(_) => return Err(self.error(invalid)),
        };
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(self.error(invalid)),
        };
        self.field = number;
        Ok(Key { number, wire_type })
    }

    #[inline]
    fn expect(&self, key: Key, expected: WireType) -> Result<(), DecodeError> {
        if key.wire_type == expected {
            return Ok(());
        }
        Err(self.error(Fault::WireType { found: key.wire_type as u8, expected: expected as u8 }))
    }

    #[inline]
    fn delimited(&mut self, key: Key) -> Result<&'a [u8], DecodeError> {
        self.expect(key, WireType::Delimited)?;
        let length = self.varint()?;
        self.take(length)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let within = usize::try_from(length).ok().and_then(|at| self.rest.split_at_checked(at));
        let Some((taken, rest)) = within else {
            return Err(self.error(Fault::PastEnd { length, left: self.rest.len() }));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            Some(_) | None => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte holds one bit.
                if index == 9 && 1 < byte {
                    break;
                }
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let fault = if self.rest.len() < 10 { Fault::Truncated } else { Fault::IntegerTooLong };
        Err(self.error(fault))
    }
}
