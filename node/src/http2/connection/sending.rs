//! What the handler says on a stream.

use bytes::Bytes;

use super::super::error::{ErrorCode, SendError};
use super::super::frame::{self, flag};
use super::super::grpc::{self, Status};
use super::super::outbound::{Pieces, Turn};
use super::super::streams::{Phase, StreamId};
use super::Connection;

impl Connection {
    /// Sends one gRPC message: the bytes of `head`, the pieces of `payload` and the bytes of
    /// `tail`, end to end.
    ///
    /// Large pieces are kept by reference until they are written. What the client's windows do not
    /// yet allow waits with the stream, up to a limit beyond which the stream is reset.
    pub fn send_message(
        &mut self,
        stream: StreamId,
        head: &[u8],
        payload: &[Bytes],
        tail: &[u8],
    ) -> Result<(), SendError> {
        let message = Pieces { head, payload, tail };
        let bytes = message.len();
        let length = u32::try_from(bytes).map_err(|_| SendError::TooLong { bytes })?;
        let found = self.streams.get_mut(stream).filter(|found| found.phase == Phase::Open);
        let Some(found) = found.filter(|_| self.failed.is_none()) else {
            return Err(SendError::Ended { stream });
        };
        self.out.begin(found);
        if self.out.message_at_once(found, message) {
            return Ok(());
        }
        let limits = &self.limits;
        let waiting = [
            (found.pending_bytes() + bytes, limits.stream_pending_bytes_max),
            (self.out.pending.bytes() + bytes, limits.pending_bytes_max),
        ];
        for (bytes, bytes_max) in waiting {
            if bytes_max < bytes {
                self.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
                return Err(SendError::ClientTooSlow { stream, bytes, bytes_max });
            }
        }
        if self.out.message_later(found, message, length).is_err() {
            self.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
            return Err(SendError::NoRoom { stream, bytes });
        }
        self.out.enlist(stream, found);
        self.pump();
        Ok(())
    }

    /// Ends a stream with a status and, unless it is empty, a text that says why. Data that waits
    /// goes first. A client that has not ended its request is asked to stop. Nothing happens if the
    /// stream has ended.
    pub fn finish(&mut self, stream: StreamId, status: Status, text: &str) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        match found.phase {
            Phase::Finishing => return,
            Phase::Ended => return self.streams.remove(stream),
            Phase::Open => {}
        }
        let trailers = grpc::ending(found.headers_sent, status, text);
        found.headers_sent = true;
        match &mut found.pending {
            Some(pending) => {
                pending.trailers = Some(trailers);
                found.phase = Phase::Finishing;
            }
            None => self.end(stream, &trailers),
        }
    }

    /// Ends a stream at once, dropping what waits. Nothing happens if it has ended.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        let Some(found) = self.streams.get(stream) else { return };
        if found.phase != Phase::Ended && self.failed.is_none() {
            self.out.rope.push(&frame::reset(stream.number(), code));
        }
        self.end_for_client(stream);
        self.streams.remove(stream);
    }

    fn end(&mut self, stream: StreamId, trailers: &[u8]) {
        let request_ended = self.streams.get(stream).is_none_or(|found| found.request_ended);
        if self.failed.is_none() {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            self.out.headers(stream.number(), flags, trailers);
            if !request_ended {
                self.out.rope.push(&frame::reset(stream.number(), ErrorCode::NO_ERROR));
            }
        }
        self.end_for_client(stream);
        self.streams.remove(stream);
    }

    /// Lets the streams with waiting data send in turn, a frame each, as far as windows and room
    /// allow.
    pub(super) fn pump(&mut self) {
        if self.failed.is_some() {
            return;
        }
        while let Some(stream) = self.out.next_ready() {
            let Some(found) = self.streams.get_mut(stream) else { continue };
            found.ready = false;
            match self.out.turn(found) {
                Turn::Again => self.out.enlist(stream, found),
                Turn::Blocked => {}
                Turn::Drained => {
                    let trailers = found.pending.take().and_then(|pending| pending.trailers);
                    if let Some(trailers) = trailers {
                        self.end(stream, &trailers);
                        continue;
                    }
                }
            }
            self.return_window(stream);
        }
    }

    /// Notes that every stream's window may have grown.
    pub(super) fn enlist_all(&mut self) {
        let waiting: Vec<StreamId> = self
            .streams
            .handles()
            .filter(|(_, found)| found.pending.is_some())
            .map(|(stream, _)| stream)
            .collect();
        for stream in waiting {
            if let Some(found) = self.streams.get_mut(stream) {
                self.out.enlist(stream, found);
            }
        }
    }
}
