//! Conversations: what a client sends, what the handler hears and says, and what the client gets.

mod abuse;
mod answers;
mod flow;
mod requests;
mod splits;

use super::super::error::SendError;
use super::super::frame::{FrameHead, HEAD_BYTES, PREFACE, flag, kind, ping, settings, whole};
use super::super::grpc;
use super::super::grpc::Status;
use super::*;

/// A client that writes frames by hand, and the server it talks to.
struct Pair {
    server: Connection,
    now: Instant,
    error: Option<ConnectionError>,
    /// Handles by number.
    streams: Vec<StreamId>,
}

impl Pair {
    /// After both have said their settings.
    fn new(limits: Limits) -> Self {
        let mut pair = Self::raw(limits);
        pair.greet();
        pair
    }

    /// Before anything was said.
    fn raw(limits: Limits) -> Self {
        Self::of(Connection::new(limits, &Budget::default()))
    }

    /// A connection that shares `transit` with others.
    fn counted_in(limits: Limits, transit: &Budget) -> Self {
        let mut pair = Self::of(Connection::new(limits, transit));
        pair.greet();
        pair
    }

    fn of(server: Connection) -> Self {
        let now = crate::clock::now();
        Self { server, now, error: None, streams: Vec::new() }
    }

    fn greet(&mut self) {
        self.send(&[PREFACE.to_vec(), settings(&[]), frame::settings_ack().to_vec()]);
        self.frames();
    }

    fn send(&mut self, frames: &[Vec<u8>]) {
        self.error = self.server.receive(frames.concat().into(), self.now).err();
    }

    /// What the handler has heard since the last call, a line each.
    fn events(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = self.server.poll_event() {
            lines.push(match event {
                Event::Opened { stream, head } => {
                    self.streams.push(stream);
                    format!("{stream} opened {}", String::from_utf8_lossy(head.path()))
                }
                Event::Message { stream, message } => {
                    format!("{stream} message {}", String::from_utf8_lossy(&message))
                }
                Event::HalfClosed { stream } => format!("{stream} half-closed"),
                Event::Ended { stream, cause } => format!("{stream} ended: {cause}"),
                Event::Refused { fault } => format!("refused: {fault}"),
                Event::GoAway { code } => format!("go away: {code}"),
            });
        }
        lines
    }

    /// What the client has got since the last call, a line each.
    fn frames(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = self.server.output_slices(&mut slices);
            let chunk = slices[..filled]
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect::<Vec<u8>>();
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
            self.server.wrote(chunk.len());
        }
        described(&bytes)
    }

    fn stream(&self, number: u32) -> StreamId {
        let found = self.streams.iter().rev().find(|stream| stream.number() == number);
        *found.expect("the handler has heard of it")
    }

    /// Opens `number`, drains events and output, and returns its handle.
    fn open(&mut self, number: u32) -> StreamId {
        self.send(&[request(number, false)]);
        self.events();
        self.frames();
        self.stream(number)
    }
}

fn described(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut hpack = Decoder::default();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let head = FrameHead::parse(*head);
        let (payload, rest) = rest.split_at(head.length as usize);
        bytes = rest;
        let end = if head.has(flag::END_STREAM) { " end" } else { "" };
        let stream = head.stream;
        lines.push(match head.kind {
            kind::SETTINGS if head.has(flag::ACK) => "SETTINGS ack".into(),
            kind::SETTINGS => "SETTINGS".into(),
            kind::PING => {
                format!("PING{} {}", if end.is_empty() { "" } else { " ack" }, text(payload))
            }
            kind::WINDOW_UPDATE => format!("WINDOW_UPDATE {stream} {}", number(payload)),
            kind::RST_STREAM => format!("RST_STREAM {stream} {}", ErrorCode(number(payload))),
            kind::GOAWAY => {
                format!("GOAWAY {} {}", number(payload), ErrorCode(number(&payload[4..])))
            }
            kind::DATA => format!("DATA {stream} {}{end}", text(payload)),
            kind::HEADERS => {
                let mut fields = String::new();
                hpack
                    .decode(payload, 10_000, |field| {
                        fields.extend([" ", &text(field.name()), "=", &text(field.value())]);
                    })
                    .unwrap();
                format!("HEADERS {stream}{fields}{end}")
            }
            other => panic!("frame of kind {other}"),
        });
    }
    assert!(bytes.is_empty(), "whole frames only");
    lines
}

/// Readable where it can be; the five bytes before a message as `<length>`.
fn text(bytes: &[u8]) -> String {
    match bytes {
        [0, rest @ ..] if 4 <= rest.len() => {
            format!("<{}>{}", number(rest), String::from_utf8_lossy(&rest[4..]))
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().unwrap())
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short texts"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const HEAD: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/echo"),
    (":authority", "picker"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];

fn headers(number: u32, end_stream: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let end = if end_stream { flag::END_STREAM } else { 0 };
    whole(kind::HEADERS, flag::END_HEADERS | end, number, &block(fields))
}

fn request(number: u32, end_stream: bool) -> Vec<u8> {
    headers(number, end_stream, HEAD)
}

fn data(number: u32, end_stream: bool, payload: &[u8]) -> Vec<u8> {
    whole(kind::DATA, u8::from(end_stream), number, payload)
}

fn message(text: &[u8]) -> Vec<u8> {
    [&grpc::prefix(u32::try_from(text.len()).unwrap())[..], text].concat()
}

fn rst_stream(number: u32, code: ErrorCode) -> Vec<u8> {
    frame::reset(number, code)
}

fn settings_then_request() -> Vec<Vec<u8>> {
    vec![PREFACE.to_vec(), settings(&[]), request(1, false)]
}

#[test]
fn the_server_speaks_first_and_acknowledges_settings() {
    let mut pair = Pair::raw(Limits::default());
    assert_eq!(pair.frames(), ["SETTINGS", "WINDOW_UPDATE 0 16711681"]);
    pair.send(&[PREFACE.to_vec(), settings(&[(1, 0)])]);
    assert_eq!(pair.frames(), ["SETTINGS ack"]);
}

#[test]
fn pings_are_answered() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[ping(0, *b"12345678"), ping(flag::ACK, *b"12345678")]);
    assert_eq!(pair.frames(), ["PING ack 12345678"]);
}

#[test]
fn a_call_goes_from_head_to_trailers() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[
        request(1, false),
        data(1, false, &message(b"ask")),
        data(1, true, &message(b"more")),
    ]);
    let expected = ["1 opened /echo", "1 message ask", "1 message more", "1 half-closed"];
    assert_eq!(pair.events(), expected);
    let stream = pair.stream(1);
    let payload = [Bytes::from_static(b"swe"), Bytes::from_static(b"r")];
    pair.server.send_message(stream, b"an", &payload, b"!").unwrap();
    pair.server.finish(stream, Status::Ok, "");
    assert_eq!(
        pair.frames(),
        [
            "HEADERS 1 :status=200 content-type=application/grpc",
            "DATA 1 <7>answer!",
            "HEADERS 1 grpc-status=0 end",
        ]
    );
    assert_eq!(pair.server.active_streams(), 0);
}
