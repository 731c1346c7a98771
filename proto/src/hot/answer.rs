//! Encodes answers.
//!
//! Each function appends one encoded `ProcessingResponse` to `out`. Where an answer carries a body, it
//! appends what goes before the body: protobuf lets fields stand in any order, so the body stands
//! last, and `out` followed by the body is the message. The lengths in it already count the body.
//!
//! Header values are written as `raw_value`. How to put a header among those there is left to Envoy's
//! default, which for an external processor is to overwrite.

use super::Direction;
use super::metadata::{DESTINATION, DESTINATION_SCORES, LB_NAMESPACE};

/// A header to set: its name, which must be UTF-8, and its value.
pub type SetHeader<'a> = (&'a [u8], &'a [u8]);

/// What an answer changes beside the headers it sets and the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'a> {
    /// Names of headers to remove.
    pub remove_headers: &'a [&'a str],
    /// Envoy shall choose the route again, with the changed headers.
    pub clear_route_cache: bool,
    /// Told to Envoy as dynamic metadata.
    pub picked: Option<Picked<'a>>,
}

/// A pick, as Envoy's load balancer reads it.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'a> {
    /// `ip:port`, or several of them, best first, with commas between.
    pub endpoint: &'a str,
    /// Endpoints and their scores; left out if empty.
    pub scores: &'a [(&'a str, f64)],
}

/// Answers headers: set these, change that, and go on.
pub fn headers<'h>(
    direction: Direction,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    changes: &Changes<'_>,
    out: &mut Vec<u8>,
) {
    let number = match direction {
        Direction::Request => 1,
        Direction::Response => 2,
    };
    common_response(number, set, changes, BodyChange::Unchanged, out);
}

/// Answers a body chunk, or a whole body, that passes as it came: STREAMED and BUFFERED modes.
pub fn body_unchanged<'h>(
    direction: Direction,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    changes: &Changes<'_>,
    out: &mut Vec<u8>,
) {
    common_response(body_number(direction), set, changes, BodyChange::Unchanged, out);
}

/// Answers a body chunk, or a whole body, by another: STREAMED and BUFFERED modes. The
/// `body_bytes` of the new one follow `out`.
pub fn body_replaced<'h>(
    direction: Direction,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    changes: &Changes<'_>,
    body_bytes: usize,
    out: &mut Vec<u8>,
) {
    common_response(body_number(direction), set, changes, BodyChange::Replaced(body_bytes), out);
}

/// Sends a chunk of the body that the picker owns: `FULL_DUPLEX_STREAMED` mode. The
/// `body_bytes` of the chunk follow `out`.
pub fn streamed_body(
    direction: Direction,
    body_bytes: usize,
    end_of_stream: bool,
    out: &mut Vec<u8>,
) {
    let body_field = if body_bytes == 0 { 0 } else { field_bytes(body_bytes) };
    let streamed = body_field + if end_of_stream { 2 } else { 0 };
    let mutation = field_bytes(streamed);
    let common = field_bytes(mutation);
    let answer = field_bytes(common);
    delimited(body_number(direction), answer, out);
    delimited(COMMON_RESPONSE, common, out);
    delimited(BODY_MUTATION, mutation, out);
    delimited(STREAMED_RESPONSE, streamed, out);
    if end_of_stream {
        boolean(2, out);
    }
    if body_bytes != 0 {
        delimited(1, body_bytes, out);
    }
}

/// Answers trailers that pass as they came.
pub fn trailers(direction: Direction, out: &mut Vec<u8>) {
    let number = match direction {
        Direction::Request => 5,
        Direction::Response => 6,
    };
    delimited(number, 0, out);
}

/// Ends the request here, with a reply of the picker's own.
pub fn immediate<'h>(
    status: u16,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    nested(7, 0, out, |out| {
        nested(1, 0, out, |out| {
            out.push(1 << 3);
            varint(usize::from(status), out);
        });
        header_mutation(2, set, &[], out);
        if !body.is_empty() {
            string(3, body, out);
        }
    });
}

/// The field of `HeadersResponse` and `BodyResponse`.
const COMMON_RESPONSE: u8 = 1;
const HEADER_MUTATION: u8 = 2;
const BODY_MUTATION: u8 = 3;
const CLEAR_ROUTE_CACHE: u8 = 5;
const DYNAMIC_METADATA: u8 = 8;
/// The fields of `BodyMutation`.
const BODY: u8 = 1;
const STREAMED_RESPONSE: u8 = 3;

#[derive(Clone, Copy)]
enum BodyChange {
    Unchanged,
    /// By so many bytes.
    Replaced(usize),
}

fn body_number(direction: Direction) -> u8 {
    match direction {
        Direction::Request => 3,
        Direction::Response => 4,
    }
}

fn common_response<'h>(
    number: u8,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    changes: &Changes<'_>,
    body: BodyChange,
    out: &mut Vec<u8>,
) {
    if let Some(picked) = changes.picked {
        dynamic_metadata(picked, out);
    }
    let follows = match body {
        BodyChange::Unchanged => 0,
        BodyChange::Replaced(bytes) => bytes,
    };
    nested(number, follows, out, |out| {
        nested(COMMON_RESPONSE, follows, out, |out| {
            header_mutation(HEADER_MUTATION, set, changes.remove_headers, out);
            if changes.clear_route_cache {
                boolean(CLEAR_ROUTE_CACHE, out);
            }
            if let BodyChange::Replaced(bytes) = body {
                delimited(BODY_MUTATION, field_bytes(bytes), out);
                delimited(BODY, bytes, out);
            }
        });
    });
}

/// Writes a `HeaderMutation`, or nothing if nothing changes.
fn header_mutation<'h>(
    number: u8,
    set: impl IntoIterator<Item = SetHeader<'h>>,
    remove: &[&str],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut changes = false;
    nested(number, 0, out, |out| {
        for (name, value) in set {
            changes = true;
            let value_field = if value.is_empty() { 0 } else { field_bytes(value.len()) };
            let header = field_bytes(name.len()) + value_field;
            delimited(1, field_bytes(header), out);
            delimited(1, header, out);
            string(1, name, out);
            if !value.is_empty() {
                string(3, value, out);
            }
        }
        for name in remove {
            changes = true;
            string(2, name.as_bytes(), out);
        }
    });
    if !changes {
        out.truncate(start);
    }
}

/// Writes `{"envoy.lb": {"x-gateway-destination-endpoint": ...}}`.
fn dynamic_metadata(picked: Picked<'_>, out: &mut Vec<u8>) {
    nested(DYNAMIC_METADATA, 0, out, |out| {
        struct_entry(LB_NAMESPACE, out, |out| {
            nested(STRUCT_VALUE, 0, out, |out| {
                struct_entry(DESTINATION, out, |out| {
                    string(STRING_VALUE, picked.endpoint.as_bytes(), out);
                });
                if !picked.scores.is_empty() {
                    struct_entry(DESTINATION_SCORES, out, |out| scores(picked.scores, out));
                }
            });
        });
    });
}

fn scores(scores: &[(&str, f64)], out: &mut Vec<u8>) {
    nested(STRUCT_VALUE, 0, out, |out| {
        for (endpoint, score) in scores {
            struct_entry(endpoint, out, |out| {
                out.push(NUMBER_VALUE << 3 | FIXED64);
                out.extend_from_slice(&score.to_le_bytes());
            });
        }
    });
}

/// The fields of `google.protobuf.Value`.
const NUMBER_VALUE: u8 = 2;
const STRING_VALUE: u8 = 3;
const STRUCT_VALUE: u8 = 5;

/// Writes one entry of a `google.protobuf.Struct`.
fn struct_entry(name: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    nested(1, 0, out, |out| {
        string(1, name.as_bytes(), out);
        nested(2, 0, out, value);
    });
}

const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;

/// The bytes of a whole field whose value has `value_bytes`. All field numbers here are below 16, so
/// a key is one byte.
fn field_bytes(value_bytes: usize) -> usize {
    1 + varint_bytes(value_bytes) + value_bytes
}

fn varint_bytes(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(mut value: usize, out: &mut Vec<u8>) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field up to its value.
fn delimited(number: u8, value_bytes: usize, out: &mut Vec<u8>) {
    out.push(number << 3 | DELIMITED);
    varint(value_bytes, out);
}

fn string(number: u8, value: &[u8], out: &mut Vec<u8>) {
    delimited(number, value.len(), out);
    out.extend_from_slice(value);
}

/// Writes a `bool` that is true. One that is false is not written.
fn boolean(number: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[number << 3, 1]);
}

/// Writes an embedded message. Its length is known once `write` is done, and counts the `follows`
/// bytes that are not in `out`.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn nested(number: u8, follows: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // Two bytes are room for the lengths that most header lists have; others are moved.
    let start = out.len();
    delimited(number, ROOM_FOR_LENGTH, out);
    let room = start + 3;
    write(out);
    let end = out.len();
    let mut length = end - room + follows;
    let content = start + 1 + varint_bytes(length);
    if content != room {
        out.resize(end.max(end + content - room), 0);
        out.copy_within(room..end, content);
        out.truncate(end + content - room);
    }
    for byte in out.iter_mut().take(content).skip(start + 1) {
        let more = if length < 0x80 { 0 } else { 0x80 };
        *byte = length as u8 & 0x7f | more;
        length >>= 7;
    }
}

/// A length that takes two bytes.
const ROOM_FOR_LENGTH: usize = 0x80;
