//! One connection: bytes in, events out, answers in, bytes out.

mod control;
mod reading;
mod requests;
mod sending;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;

use self::reading::Reading;
use super::error::{ConnectionError, ErrorCode, StreamFault};
use super::flood::Flood;
use super::frame::{self, setting};
use super::head::RequestHead;
use super::hpack::Decoder;
use super::limits::Limits;
use super::outbound::Outbound;
use super::streams::{Phase, StreamId, Streams};
use crate::budget::{Budget, Share};

/// What may wait for the socket beside data: headers, resets, acknowledgements. A client that makes
/// more and reads none of it loses its connection.
const CONTROL_BYTES_MAX: usize = 1 << 20;

/// Sent with the first GOAWAY; its acknowledgement shows that the client has seen that.
const LEAVING_PING: [u8; 8] = *b"leaving?";

/// The window of a connection, and of each stream until settings say otherwise (RFC 9113 section
/// 6.9.2).
const INITIAL_WINDOW: i64 = 65_535;

/// What a client did.
///
/// A stream's events are: one [`Opened`](Event::Opened), its messages, then
/// [`HalfClosed`](Event::HalfClosed) or [`Ended`](Event::Ended) or first the one and then the
/// other. `Ended` is the last. After an own `finish` or `reset` nothing more is heard of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Opened {
        stream: StreamId,
        head: Box<RequestHead>,
    },
    /// One whole gRPC message, without the five bytes before it. It shares the memory of the bytes
    /// received where it lies whole in them, so keeping a small one keeps a large buffer.
    Message {
        stream: StreamId,
        message: Bytes,
    },
    /// The client has sent all that it will; it still listens.
    HalfClosed {
        stream: StreamId,
    },
    /// The stream is over, and nothing sent on it will arrive.
    Ended {
        stream: StreamId,
        cause: Cause,
    },
    /// A stream was answered with a fault in place of being opened.
    Refused {
        fault: StreamFault,
    },
    /// The client will open no further stream.
    GoAway {
        code: ErrorCode,
    },
}

/// Why a stream ended without our doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("reset by the client: {0}")]
    Reset(ErrorCode),
    /// The client broke a rule, and has been told.
    #[error("refused: {0}")]
    Fault(#[source] StreamFault),
}

/// How far the end of the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client was told that it should open no further stream; those it had on the way are
    /// served.
    Announced,
    /// Streams after `last` are refused.
    Final {
        last: u32,
    },
}

/// The server's side of one HTTP/2 connection that carries gRPC.
///
/// It does no I/O. Whoever drives it repeats: read, [`receive`](Self::receive), take every event
/// with [`poll_event`](Self::poll_event) and answer it, write what [`output`](Self::output_slices)
/// holds.
///
/// The client's windows are obeyed: what may not be sent waits, counted, with its stream. Its own
/// windows are given back as soon as data was received, in steps of half a window; but a stream on
/// which more than a window's worth of answers waits gets nothing back until the client has taken
/// them.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    reading: Reading,
    hpack: Decoder,
    streams: Streams,
    events: VecDeque<Event>,
    out: Outbound,
    /// What the client may still send, on all streams together.
    receive_window: i64,
    /// Received and not yet given back.
    unreturned_bytes: u32,
    /// The window that each stream begins with towards here: what the client last acknowledged.
    stream_receive_window: i64,
    settings_acknowledged: bool,
    /// Highest number of a stream that the client opened.
    highest: u32,
    leaving: Leaving,
    failed: Option<ConnectionError>,
    /// Announced lengths of all messages of which a part has arrived.
    assembling: Share,
    flood: Flood,
}

impl Connection {
    /// A connection just accepted. Its settings are in the output. What it holds of messages that
    /// came in part, and of answers that the client has not taken, counts in `transit`.
    pub fn new(limits: Limits, transit: &Budget) -> Self {
        let limits = limits.legal();
        let mut connection = Self {
            reading: Reading::default(),
            hpack: Decoder::default(),
            streams: Streams::default(),
            events: VecDeque::new(),
            out: Outbound::new(limits.output_bytes_max, transit.share()),
            receive_window: i64::from(limits.connection_window_bytes),
            unreturned_bytes: 0,
            stream_receive_window: INITIAL_WINDOW,
            settings_acknowledged: false,
            highest: 0,
            leaving: Leaving::No,
            failed: None,
            assembling: transit.share(),
            flood: Flood::default(),
            limits,
        };
        let limits = &connection.limits;
        connection.out.rope.push(&frame::settings(&[
            (setting::MAX_CONCURRENT_STREAMS, limits.streams_max),
            (setting::INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (setting::MAX_FRAME_SIZE, limits.frame_bytes_max),
            (setting::MAX_HEADER_LIST_SIZE, limits.header_list_bytes_max),
        ]));
        let more = limits.connection_window_bytes - 65_535;
        if 0 < more {
            connection.out.rope.push(&frame::window_update(0, more));
        }
        connection
    }

    /// Takes what the socket gave, in any portions.
    ///
    /// Take all events before the next call. After an error the events up to it can still be taken,
    /// the output ends in a GOAWAY, and all streams are over without an event each: write the
    /// output and close.
    pub fn receive(&mut self, input: Bytes, now: Instant) -> Result<(), ConnectionError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.flood.at(now);
        let outcome = self.read(input).and_then(|()| {
            self.pump();
            self.flood.check(&self.limits)?;
            let bytes_max = self.limits.output_bytes_max + CONTROL_BYTES_MAX;
            let bytes = self.out.rope.len();
            if bytes_max < bytes {
                return Err(ConnectionError::Unread { bytes, bytes_max });
            }
            Ok(())
        });
        outcome.inspect_err(|error| {
            let last = match self.leaving {
                Leaving::Final { last } => last,
                Leaving::No | Leaving::Announced => self.highest,
            };
            self.out.rope.push(&frame::go_away(last, error.code(), &error.to_string()));
            self.failed = Some(error.clone());
        })
    }

    /// The next thing a client did.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = self.events.pop_front()?;
            let (Event::Opened { stream, .. }
            | Event::Message { stream, .. }
            | Event::HalfClosed { stream }
            | Event::Ended { stream, .. }) = event
            else {
                return Some(event);
            };
            match self.streams.get(stream).map(|found| found.phase) {
                None | Some(Phase::Finishing) => {}
                Some(Phase::Open) => return Some(event),
                Some(Phase::Ended) => {
                    if matches!(event, Event::Ended { .. }) {
                        self.streams.remove(stream);
                    }
                    return Some(event);
                }
            }
        }
    }

    /// Fills `slices` with the front of what is to be written; returns how many it filled.
    pub fn output_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.out.rope.slices(slices)
    }

    /// How many bytes wait for the socket. While it is more than [`Limits::output_bytes_max`], do
    /// not read: the client makes work and does not take the results.
    pub fn output_bytes(&self) -> usize {
        self.out.rope.len()
    }

    /// Notes that the first `count` bytes of the output were written. Data that waited for room
    /// takes their place.
    pub fn wrote(&mut self, count: usize) {
        self.out.rope.advance(count);
        self.pump();
    }

    /// What waits on `stream` for the client's flow control or for the socket, in bytes.
    pub fn pending_bytes(&self, stream: StreamId) -> usize {
        self.streams.get(stream).map_or(0, super::streams::Stream::pending_bytes)
    }

    /// The same on all streams together.
    pub fn all_pending_bytes(&self) -> usize {
        self.out.pending.bytes()
    }

    /// How many streams the client has open.
    pub fn active_streams(&self) -> usize {
        self.streams.open()
    }

    /// Asks the client to open no further stream; those that are open go on.
    ///
    /// The first call announces it, and serves what the client had already sent. The client's
    /// answer makes it final; so does a second call, for a client that does not answer.
    pub fn go_away(&mut self) {
        if self.failed.is_some() {
            return;
        }
        match self.leaving {
            Leaving::No => {
                self.leaving = Leaving::Announced;
                let announcement = frame::go_away(u32::MAX >> 1, ErrorCode::NO_ERROR, "");
                self.out.rope.push(&announcement);
                self.out.rope.push(&frame::ping(0, LEAVING_PING));
            }
            Leaving::Announced => {
                self.leaving = Leaving::Final { last: self.highest };
                self.out.rope.push(&frame::go_away(self.highest, ErrorCode::NO_ERROR, ""));
            }
            Leaving::Final { .. } => {}
        }
    }

    /// True when the client knows that it should go, no stream is open, and everything was written.
    pub fn is_drained(&self) -> bool {
        matches!(self.leaving, Leaving::Final { .. })
            && self.active_streams() == 0
            && self.out.rope.is_empty()
    }
}

#[cfg(test)]
mod tests;
