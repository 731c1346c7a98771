//! What a client says on its streams: heads, data, trailers.

use bytes::{Buf, Bytes};

use super::super::error::{Answer, ConnectionError, ErrorCode, StreamFault};
use super::super::frame::{self, FrameHead, flag};
use super::super::grpc::{self, MessageLimits};
use super::super::head::{Collector, Section};
use super::super::streams::{Phase, Stream, StreamId};
use super::reading::Data;
use super::{Cause, Connection, Event, Leaving};

/// What a header list beyond its limit counts for among the frames that move nothing: it may have
/// cost a thousand times its size to decode.
const LONG_LIST_WEIGHT: u32 = 100;

impl Connection {
    /// Takes a whole header block: a request's head, or its trailers.
    pub(super) fn header_block(
        &mut self,
        number: u32,
        end_stream: bool,
        block: &[u8],
    ) -> Result<(), ConnectionError> {
        let section = if self.highest < number { Section::Request } else { Section::Trailers };
        let mut collector = Collector::new(section, self.limits.header_list_bytes_max);
        let bytes_max = self.limits.header_block_bytes_max();
        self.hpack
            .decode(block, bytes_max as usize, |field| collector.take(field))
            .map_err(|source| ConnectionError::Compression { stream: number, source })?;
        if collector.is_too_long() {
            self.flood.idle(LONG_LIST_WEIGHT);
        }
        match section {
            Section::Request => self.open(number, end_stream, collector),
            Section::Trailers => self.trailers(number, end_stream, collector),
        }
        Ok(())
    }

    fn open(&mut self, number: u32, end_stream: bool, collector: Collector) {
        self.highest = number;
        let streams_max = self.limits.streams_max;
        let opened = match self.leaving {
            Leaving::Final { .. } => Err(StreamFault::Leaving),
            Leaving::No | Leaving::Announced if streams_max as usize <= self.streams.open() => {
                Err(StreamFault::TooManyStreams { streams_max })
            }
            Leaving::No | Leaving::Announced => collector.into_head(),
        };
        let (head, content_length) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                self.answer_fault(&mut Stream::new(number, end_stream, None), &fault);
                self.events.push_back(Event::Refused { fault });
                return;
            }
        };
        let stream = self.streams.insert(Stream::new(number, false, content_length));
        self.events.push_back(Event::Opened { stream, head: Box::new(head) });
        if end_stream {
            self.request_ended(stream);
        }
    }

    fn trailers(&mut self, number: u32, end_stream: bool, collector: Collector) {
        // A stream that is not found has ended; what was on its way is dropped.
        let Some(stream) = self.streams.find(number) else { return };
        let Some(found) = self.streams.get(stream) else { return };
        let fault = match collector.into_fault() {
            _ if found.request_ended => Some(StreamFault::AfterEnd),
            None if !end_stream => {
                Some(StreamFault::Headers("trailers that do not end the stream"))
            }
            fault => fault,
        };
        match fault {
            Some(fault) => self.fault(stream, fault),
            None => self.request_ended(stream),
        }
    }

    /// Counts a DATA frame against the windows; the stream that its `data_bytes` are for, if it
    /// still takes any.
    pub(super) fn admit_data(
        &mut self,
        head: FrameHead,
        data_bytes: usize,
    ) -> Result<Option<StreamId>, ConnectionError> {
        self.check_not_idle(head)?;
        let bytes = head.length;
        if self.receive_window < i64::from(bytes) {
            return Err(ConnectionError::FlowControl { bytes, window: self.receive_window });
        }
        self.receive_window -= i64::from(bytes);
        self.unreturned_bytes += bytes;
        if self.limits.connection_window_bytes / 2 <= self.unreturned_bytes {
            self.out.rope.push(&frame::window_update(0, self.unreturned_bytes));
            self.receive_window += i64::from(self.unreturned_bytes);
            self.unreturned_bytes = 0;
        }
        if data_bytes == 0 && !head.has(flag::END_STREAM) {
            self.flood.idle(1);
        }
        let Some(stream) = self.streams.find(head.stream) else { return Ok(None) };
        let Some(found) = self.streams.get_mut(stream) else { return Ok(None) };
        let window = self.stream_receive_window + found.receive_credit;
        let fault = if found.request_ended {
            StreamFault::AfterEnd
        } else if window < i64::from(bytes) {
            StreamFault::FlowControl { bytes, window }
        } else if found.content_left.is_some_and(|left| left < data_bytes as u64) {
            StreamFault::ContentLength
        } else {
            found.receive_credit -= i64::from(bytes);
            found.unreturned_bytes += bytes;
            if let Some(left) = &mut found.content_left {
                *left -= data_bytes as u64;
            }
            let due = self.limits.stream_window_bytes / 2 <= found.unreturned_bytes;
            if due && !head.has(flag::END_STREAM) {
                self.return_window(stream);
            }
            return Ok(Some(stream));
        };
        self.fault(stream, fault);
        Ok(None)
    }

    /// Gives a stream's window back, in steps of half of it, unless the client leaves our answers
    /// lying.
    pub(super) fn return_window(&mut self, stream: StreamId) {
        let window = self.limits.stream_window_bytes;
        let Some(found) = self.streams.get_mut(stream) else { return };
        if found.unreturned_bytes < window.div_ceil(2)
            || found.request_ended
            || (window as usize) < found.pending_bytes()
            || found.unreturned_bytes == 0
        {
            return;
        }
        found.receive_credit += i64::from(found.unreturned_bytes);
        self.out.rope.push(&frame::window_update(found.number, found.unreturned_bytes));
        found.unreturned_bytes = 0;
    }

    /// Takes what `input` has of a DATA frame; true when all of the frame's data was taken.
    pub(super) fn read_data(&mut self, input: &mut Bytes, data: &mut Data) -> bool {
        let mut available = data.left.min(input.len());
        data.left -= available;
        while 0 < available {
            match self.next_message(data.stream, input, &mut available) {
                Ok(Some(message)) => {
                    self.events.push_back(Event::Message { stream: data.stream, message });
                }
                Ok(None) => break,
                Err(fault) => {
                    self.fault(data.stream, fault);
                    break;
                }
            }
        }
        input.advance(available);
        if 0 < data.left {
            return false;
        }
        if data.end_stream {
            self.request_ended(data.stream);
        }
        true
    }

    fn next_message(
        &mut self,
        stream: StreamId,
        input: &mut Bytes,
        available: &mut usize,
    ) -> Result<Option<Bytes>, StreamFault> {
        let Some(found) = self.streams.get_mut(stream) else { return Ok(None) };
        if found.phase != Phase::Open {
            return Ok(None);
        }
        let limits = MessageLimits {
            message_bytes_max: self.limits.message_bytes_max,
            assembling_bytes_max: self.limits.assembling_bytes_max,
        };
        found.deframer.next(input, available, limits, &mut self.assembling)
    }

    fn request_ended(&mut self, stream: StreamId) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        found.request_ended = true;
        if found.phase != Phase::Open {
            return;
        }
        if found.content_left.is_some_and(|left| 0 < left) {
            self.fault(stream, StreamFault::ContentLength);
        } else if found.deframer.is_between() {
            self.events.push_back(Event::HalfClosed { stream });
        } else {
            self.fault(stream, StreamFault::MessageCut);
        }
    }

    /// Ends a stream whose client broke a rule.
    pub(super) fn fault(&mut self, stream: StreamId, fault: StreamFault) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        let told = found.phase == Phase::Open;
        if !found.headers_sent {
            self.flood.reset();
        }
        let mut ended = std::mem::replace(found, Stream::new(found.number, true, None));
        self.end_for_client(stream);
        self.answer_fault(&mut ended, &fault);
        self.assembling.shrink(ended.deframer.assembling_bytes());
        if told {
            self.events.push_back(Event::Ended { stream, cause: Cause::Fault(fault) });
        } else {
            self.streams.remove(stream);
        }
    }

    /// Tells the client what it did wrong, by a status unless it is past hearing one.
    fn answer_fault(&mut self, stream: &mut Stream, fault: &StreamFault) {
        let waiting = stream.pending.is_some();
        self.out.discard(stream);
        let block = match fault.answer() {
            Answer::Reset(code) => return self.out.rope.push(&frame::reset(stream.number, code)),
            Answer::Status(_) | Answer::Http(_) if waiting => {
                return self.out.rope.push(&frame::reset(stream.number, ErrorCode::CANCEL));
            }
            Answer::Status(status) => grpc::ending(stream.headers_sent, status, &fault.to_string()),
            Answer::Http(code) => grpc::plain_http(code),
        };
        self.out.headers(stream.number, flag::END_HEADERS | flag::END_STREAM, &block);
        if !stream.request_ended {
            self.out.rope.push(&frame::reset(stream.number, ErrorCode::NO_ERROR));
        }
    }

    /// Drops what a stream holds; the client may not speak of it any more, and its event is still
    /// to be taken.
    pub(super) fn end_for_client(&mut self, stream: StreamId) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        found.phase = Phase::Ended;
        self.out.discard(found);
        self.assembling.shrink(found.deframer.assembling_bytes());
        found.deframer = grpc::Deframer::default();
        self.streams.retire(stream);
    }
}
