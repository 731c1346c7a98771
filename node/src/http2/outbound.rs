//! What goes out: frames ready for the socket, and the windows within which data may join them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{FrameHead, HEAD_BYTES, flag, kind};
use super::grpc::{self, PREFIX_BYTES};
use super::rope::Rope;
use super::streams::{Stream, StreamId};
use crate::budget::{Share, Spent};

/// One gRPC message in pieces, so that a large body inside of it need not be copied to stand in
/// one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a [Bytes],
    pub(crate) tail: &'a [u8],
}

impl Pieces<'_> {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.payload.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    fn push_to(&self, rope: &mut Rope) {
        rope.push(self.head);
        for piece in self.payload {
            rope.push_bytes(piece);
        }
        rope.push(self.tail);
    }
}

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) rope: Rope,
    /// The connection's window towards the client.
    pub(crate) window: i64,
    /// The window that each stream begins with, as the client sets it.
    pub(crate) initial_window: i64,
    /// Longest frame the client accepts.
    pub(crate) frame_bytes_max: usize,
    /// Data joins the rope while the rope is shorter.
    pub(crate) bytes_max: usize,
    /// Waiting in all streams together.
    pub(crate) pending: Share,
    /// Streams whose own window allows them to send.
    ready: VecDeque<StreamId>,
}

/// How a stream stands after its turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// More waits and may go.
    Again,
    /// More waits for the stream's window.
    Blocked,
    /// Nothing waits.
    Drained,
}

impl Outbound {
    pub(crate) fn new(bytes_max: usize, pending: Share) -> Self {
        Self {
            rope: Rope::default(),
            window: 65_535,
            initial_window: 65_535,
            frame_bytes_max: 16_384,
            bytes_max,
            pending,
            ready: VecDeque::new(),
        }
    }

    /// Sends the response's headers if they were not sent.
    pub(crate) fn begin(&mut self, stream: &mut Stream) {
        if !stream.headers_sent {
            stream.headers_sent = true;
            self.headers(stream.number, flag::END_HEADERS, grpc::RESPONSE_HEADERS);
        }
    }

    /// Sends a header block, which is shorter than the smallest limit of frames.
    pub(crate) fn headers(&mut self, stream: u32, flags: u8, block: &[u8]) {
        let length = u32::try_from(block.len()).expect("blocks made here are short");
        self.rope.push(&FrameHead { length, kind: kind::HEADERS, flags, stream }.encode());
        self.rope.push(block);
    }

    /// Sends a message in one frame if windows and limits allow and nothing is before it; else
    /// false.
    pub(crate) fn message_at_once(&mut self, stream: &mut Stream, message: Pieces<'_>) -> bool {
        let length = message.len() + PREFIX_BYTES;
        if stream.pending.is_some()
            || self.budget() < length
            || self.stream_window(stream) < length
            || self.frame_bytes_max < length
        {
            return false;
        }
        self.charge(stream, length);
        let length = u32::try_from(length).expect("frames are shorter");
        let head = FrameHead { length, kind: kind::DATA, flags: 0, stream: stream.number };
        let mut start = [0; HEAD_BYTES + PREFIX_BYTES];
        if let Some((frame, prefix)) = start.split_first_chunk_mut::<HEAD_BYTES>() {
            *frame = head.encode();
            prefix.copy_from_slice(&grpc::prefix(length - 5));
        }
        self.rope.push(&start);
        message.push_to(&mut self.rope);
        true
    }

    /// Lets a message of `length` bytes wait its turn, if there is room.
    pub(crate) fn message_later(
        &mut self,
        stream: &mut Stream,
        message: Pieces<'_>,
        length: u32,
    ) -> Result<(), Spent> {
        self.pending.grow(PREFIX_BYTES + message.len())?;
        let pending = stream.pending.get_or_insert_default();
        pending.data.push(&grpc::prefix(length));
        message.push_to(&mut pending.data);
        Ok(())
    }

    /// Notes that `stream` may have something to send.
    pub(crate) fn enlist(&mut self, id: StreamId, stream: &mut Stream) {
        if !stream.ready && stream.pending.is_some() {
            stream.ready = true;
            self.ready.push_back(id);
        }
    }

    /// The stream whose turn it is; none while nothing may be sent.
    pub(crate) fn next_ready(&mut self) -> Option<StreamId> {
        if self.budget() == 0 {
            return None;
        }
        self.ready.pop_front()
    }

    /// Sends at most one frame of what `stream` has waiting.
    pub(crate) fn turn(&mut self, stream: &mut Stream) -> Turn {
        let window = self.stream_window(stream);
        let Some(pending) = stream.pending.as_mut() else { return Turn::Drained };
        let count = pending.data.len().min(window).min(self.frame_bytes_max).min(self.budget());
        if 0 < count {
            let length = u32::try_from(count).expect("frames are shorter");
            let head = FrameHead { length, kind: kind::DATA, flags: 0, stream: stream.number };
            self.rope.push(&head.encode());
            pending.data.move_to(&mut self.rope, count);
            self.pending.shrink(count);
        }
        let drained = pending.data.is_empty();
        self.charge(stream, count);
        if drained {
            Turn::Drained
        } else if count < window {
            Turn::Again
        } else {
            Turn::Blocked
        }
    }

    /// Forgets what `stream` has waiting.
    pub(crate) fn discard(&mut self, stream: &mut Stream) {
        self.pending.shrink(stream.pending_bytes());
        stream.pending = None;
    }

    fn charge(&mut self, stream: &mut Stream, count: usize) {
        let count = i64::try_from(count).expect("windows have 31 bits");
        self.window -= count;
        stream.send_credit -= count;
    }

    /// How much data the connection as a whole may still take.
    fn budget(&self) -> usize {
        let window = usize::try_from(self.window).unwrap_or(0);
        window.min(self.bytes_max.saturating_sub(self.rope.len()))
    }

    fn stream_window(&self, stream: &Stream) -> usize {
        usize::try_from(self.initial_window + stream.send_credit).unwrap_or(0)
    }
}
