//! gRPC's framing on HTTP/2: messages cut from a stream's data, statuses, timeouts.

use std::time::Duration;

use bytes::{Buf, Bytes};

use super::error::StreamFault;
use crate::budget::Share;

/// Flag and length before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Longest text of a status that is sent, in bytes before encoding.
const STATUS_TEXT_BYTES_MAX: usize = 1024;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// Where a stream stands between messages.
#[derive(Debug)]
pub(crate) enum Deframer {
    /// `have` bytes of a prefix have arrived.
    Prefix { bytes: [u8; PREFIX_BYTES], have: usize },
    /// A part of a message has arrived.
    Body { message: Vec<u8>, length: usize },
}

impl Default for Deframer {
    fn default() -> Self {
        Self::Prefix { bytes: [0; PREFIX_BYTES], have: 0 }
    }
}

/// What bounds the messages of one stream.
#[derive(Clone, Copy)]
pub(crate) struct MessageLimits {
    pub(crate) message_bytes_max: u32,
    /// For all unfinished messages of the connection.
    pub(crate) assembling_bytes_max: usize,
}

impl Deframer {
    /// Takes the next message from the first `available` bytes of `input`, which become less by
    /// what was taken.
    ///
    /// A message that lies whole in `input` shares its memory. One that does not is copied once,
    /// into a buffer of its exact length, which counts in `assembling` until it is whole.
    pub(crate) fn next(
        &mut self,
        input: &mut Bytes,
        available: &mut usize,
        limits: MessageLimits,
        assembling: &mut Share,
    ) -> Result<Option<Bytes>, StreamFault> {
        if let Self::Prefix { bytes, have } = self {
            if *have == 0
                && let Some(&prefix) = input.first_chunk().filter(|_| PREFIX_BYTES <= *available)
            {
                *bytes = prefix;
                *have = PREFIX_BYTES;
                input.advance(PREFIX_BYTES);
                *available -= PREFIX_BYTES;
            }
            while *have < PREFIX_BYTES {
                if *available == 0 {
                    return Ok(None);
                }
                if let Some(place) = bytes.get_mut(*have) {
                    *place = input.get_u8();
                }
                *available -= 1;
                *have += 1;
            }
            let length = checked_length(*bytes, limits)?;
            if length <= *available {
                *self = Self::default();
                *available -= length;
                return Ok(Some(input.split_to(length)));
            }
            let bytes = assembling.bytes().saturating_add(length);
            if limits.assembling_bytes_max < bytes {
                let bytes_max = limits.assembling_bytes_max;
                return Err(StreamFault::Assembling { bytes, bytes_max });
            }
            assembling.grow(length).map_err(|_spent| StreamFault::NoRoom { bytes: length })?;
            *self = Self::Body { message: Vec::with_capacity(length), length };
        }
        let message = self.assemble(input, available);
        assembling.shrink(message.as_ref().map_or(0, Bytes::len));
        Ok(message)
    }

    fn assemble(&mut self, input: &mut Bytes, available: &mut usize) -> Option<Bytes> {
        let Self::Body { message, length } = self else { return None };
        let count = (*length - message.len()).min(*available);
        message.extend_from_slice(input.get(..count).unwrap_or_default());
        input.advance(count);
        *available -= count;
        if message.len() < *length {
            return None;
        }
        let message = std::mem::take(message);
        *self = Self::default();
        Some(message.into())
    }

    /// True between two messages, where a request may end.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self, Self::Prefix { have: 0, .. })
    }

    /// Announced length of the message of which a part has arrived, else 0.
    pub(crate) fn assembling_bytes(&self) -> usize {
        match self {
            Self::Prefix { .. } => 0,
            Self::Body { length, .. } => *length,
        }
    }
}

fn checked_length(
    [flag, l0, l1, l2, l3]: [u8; PREFIX_BYTES],
    limits: MessageLimits,
) -> Result<usize, StreamFault> {
    let bytes = u32::from_be_bytes([l0, l1, l2, l3]);
    if flag != 0 {
        return Err(StreamFault::Compressed { flag });
    }
    if limits.message_bytes_max < bytes {
        return Err(StreamFault::MessageTooLong { bytes, bytes_max: limits.message_bytes_max });
    }
    Ok(usize::try_from(bytes).expect("32 bits fit"))
}

/// The five bytes before a message of `length` bytes.
pub(crate) fn prefix(length: u32) -> [u8; PREFIX_BYTES] {
    let [l0, l1, l2, l3] = length.to_be_bytes();
    [0, l0, l1, l2, l3]
}

/// Header block of the response: `:status: 200`, `content-type: application/grpc`, as literals that
/// leave the client's table alone.
pub(crate) const RESPONSE_HEADERS: &[u8] = b"\x88\x0f\x10\x10application/grpc";

/// The header block that ends a stream, alone or after others.
pub(crate) fn ending(headers_sent: bool, status: Status, text: &str) -> Vec<u8> {
    let mut block = Vec::with_capacity(64);
    if !headers_sent {
        block.extend_from_slice(RESPONSE_HEADERS);
    }
    push_trailers(&mut block, status, text);
    block
}

/// A header block that is a whole response to a client that does not speak gRPC.
pub(crate) fn plain_http(code: u16) -> Vec<u8> {
    let mut block = Vec::with_capacity(16);
    push_literal(&mut block, b":status", code.to_string().as_bytes());
    block
}

/// Appends the header block of trailers to `block`.
fn push_trailers(block: &mut Vec<u8>, status: Status, text: &str) {
    if status == Status::Ok && text.is_empty() {
        block.extend_from_slice(b"\x00\x0bgrpc-status\x010");
        return;
    }
    push_literal(block, b"grpc-status", (status as u8).to_string().as_bytes());
    if !text.is_empty() {
        push_literal(block, b"grpc-message", percent_encoded(text).as_bytes());
    }
    if status == Status::Unimplemented {
        push_literal(block, b"grpc-accept-encoding", b"identity");
    }
}

/// A literal field that is not indexed; the name is shorter than 127 bytes.
fn push_literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    push_string(block, name);
    push_string(block, value);
}

/// A string literal without Huffman coding (RFC 7541 section 5.2).
fn push_string(block: &mut Vec<u8>, text: &[u8]) {
    let mut left = text.len();
    if left < 0x7f {
        block.push(u8::try_from(left).unwrap_or_default());
    } else {
        block.push(0x7f);
        left -= 0x7f;
        while 0x80 <= left {
            block.push(0x80 | u8::try_from(left & 0x7f).unwrap_or_default());
            left >>= 7;
        }
        block.push(u8::try_from(left).unwrap_or_default());
    }
    block.extend_from_slice(text);
}

/// As gRPC writes `grpc-message`: printable ASCII but for `%` stands for itself.
fn percent_encoded(text: &str) -> String {
    let text = text.trim();
    let end = text.floor_char_boundary(STATUS_TEXT_BYTES_MAX);
    let mut encoded = String::with_capacity(end);
    for byte in text.bytes().take(end) {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            encoded.extend(['%', char::from(digit(byte >> 4)), char::from(digit(byte & 15))]);
        }
    }
    encoded
}

/// Reads `grpc-timeout`: at most eight digits and a unit. `None` if it is malformed.
pub(crate) fn timeout(text: &[u8]) -> Option<Duration> {
    let (&unit, digits) = text.split_last()?;
    if digits.is_empty() || 8 < digits.len() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
