//! The open streams of a connection: where each stands, found by number or by handle.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;
use slab::Slab;

use super::grpc::Deframer;
use super::rope::Rope;

/// A stream of one connection.
///
/// Its number is never used again on the connection, so a handle kept for too long names nothing
/// else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    number: u32,
    slot: u32,
}

impl StreamId {
    /// The stream's number on the wire.
    pub fn number(self) -> u32 {
        self.number
    }

    /// A small number that no other stream of the connection has until this one has ended: a place
    /// in a table.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.number)
    }
}

/// Who still has something to do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handler may send.
    Open,
    /// The handler has finished; its data waits for the client.
    Finishing,
    /// Ended by the client or by a fault; the events about it have not all been taken.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: u32,
    pub(crate) phase: Phase,
    /// The client has said all that it will.
    pub(crate) request_ended: bool,
    pub(crate) headers_sent: bool,
    /// In the queue of those that may send.
    pub(crate) ready: bool,
    /// Window towards the client, without the initial size, which the client may change for all
    /// streams.
    pub(crate) send_credit: i64,
    /// Window of the client towards here, without the initial size.
    pub(crate) receive_credit: i64,
    /// Received and not yet given back to the client's window.
    pub(crate) unreturned_bytes: u32,
    /// What `content-length` still allows.
    pub(crate) content_left: Option<u64>,
    pub(crate) deframer: Deframer,
    pub(crate) pending: Option<Box<Pending>>,
}

/// What waits for the client's flow control, or for the socket.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) data: Rope,
    /// Header block that ends the stream after the data.
    pub(crate) trailers: Option<Vec<u8>>,
}

impl Stream {
    pub(crate) fn new(number: u32, request_ended: bool, content_length: Option<u64>) -> Self {
        Self {
            number,
            phase: Phase::Open,
            request_ended,
            headers_sent: false,
            ready: false,
            send_credit: 0,
            receive_credit: 0,
            unreturned_bytes: 0,
            content_left: content_length,
            deframer: Deframer::default(),
            pending: None,
        }
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.data.len())
    }
}

/// All streams that are not wholly gone.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Slab<Stream>,
    /// Streams the client may speak of, by number. Seeded, since the client chooses the numbers.
    by_number: HashMap<u32, u32, RandomState>,
}

impl Streams {
    pub(crate) fn insert(&mut self, stream: Stream) -> StreamId {
        let number = stream.number;
        let slot = u32::try_from(self.slots.insert(stream)).expect("fewer streams than numbers");
        self.by_number.insert(number, slot);
        StreamId { number, slot }
    }

    /// The stream that the client calls `number`, unless it has ended.
    pub(crate) fn find(&self, number: u32) -> Option<StreamId> {
        self.by_number.get(&number).map(|&slot| StreamId { number, slot })
    }

    pub(crate) fn get(&self, stream: StreamId) -> Option<&Stream> {
        self.slots.get(stream.slot()).filter(|found| found.number == stream.number)
    }

    pub(crate) fn get_mut(&mut self, stream: StreamId) -> Option<&mut Stream> {
        self.slots.get_mut(stream.slot()).filter(|found| found.number == stream.number)
    }

    /// Ends `stream` for the client. Its slot stays until it is removed.
    pub(crate) fn retire(&mut self, stream: StreamId) {
        self.by_number.remove(&stream.number);
    }

    pub(crate) fn remove(&mut self, stream: StreamId) {
        if self.get(stream).is_some() {
            self.retire(stream);
            self.slots.remove(stream.slot());
        }
    }

    /// How many streams the client has open.
    pub(crate) fn open(&self) -> usize {
        self.by_number.len()
    }

    /// Every stream in the order of slots, which is the same wherever the same has happened.
    pub(crate) fn handles(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.slots.iter().map(|(slot, stream)| {
            let slot = u32::try_from(slot).expect("fewer streams than numbers");
            (StreamId { number: stream.number, slot }, stream)
        })
    }
}
