//! Frames that steer: settings, windows, resets, pings.

use bytes::Bytes;

use super::super::error::{ConnectionError, ErrorCode, StreamFault};
use super::super::frame::{self, FrameHead, flag, kind, setting};
use super::super::limits::{FRAME_BYTES_MAX, WINDOW_MAX};
use super::super::streams::Phase;
use super::{Cause, Connection, Event, LEAVING_PING, Leaving};

/// What a SETTINGS frame counts for among the frames that move nothing: it can make every stream be
/// looked at.
const SETTINGS_WEIGHT: u32 = 1000;

impl Connection {
    /// Handles a frame other than DATA.
    pub(super) fn frame(
        &mut self,
        head: FrameHead,
        payload: &Bytes,
    ) -> Result<(), ConnectionError> {
        match head.kind {
            kind::HEADERS => {
                let fragment = without_padding_and_priority(head, payload)?;
                check_request_stream(head)?;
                self.header_fragment(head, fragment)
            }
            kind::CONTINUATION => self.header_fragment(head, payload),
            kind::RST_STREAM => self.rst_stream(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.client_goes(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::PUSH_PROMISE => Err(ConnectionError::Push),
            _ => {
                exactly::<5>(head, payload, "5 bytes")?;
                self.flood.idle(1);
                Ok(())
            }
        }
    }

    /// A frame that only an opened stream may get.
    pub(super) fn check_not_idle(&self, head: FrameHead) -> Result<(), ConnectionError> {
        match head.stream {
            0 => Err(wrong_stream(head, "a stream")),
            stream if self.highest < stream || stream.is_multiple_of(2) => {
                Err(ConnectionError::IdleStream { frame: head.name(), stream })
            }
            _ => Ok(()),
        }
    }

    fn rst_stream(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let code = ErrorCode(u32::from_be_bytes(exactly(head, payload, "4 bytes")?));
        self.check_not_idle(head)?;
        let Some(stream) = self.streams.find(head.stream) else { return Ok(()) };
        let Some(found) = self.streams.get_mut(stream) else { return Ok(()) };
        let unanswered = !found.headers_sent;
        let finishing = found.phase == Phase::Finishing;
        self.end_for_client(stream);
        if finishing {
            self.streams.remove(stream);
        } else {
            self.events.push_back(Event::Ended { stream, cause: Cause::Reset(code) });
        }
        if unanswered {
            self.flood.reset();
        }
        Ok(())
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        on_connection(head)?;
        if head.has(flag::ACK) {
            self.flood.idle(1);
            let [] = exactly(head, payload, "empty")?;
            if !self.settings_acknowledged {
                self.settings_acknowledged = true;
                self.stream_receive_window = i64::from(self.limits.stream_window_bytes);
            }
            return Ok(());
        }
        self.flood.idle(SETTINGS_WEIGHT);
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            let (frame, bytes) = (head.name(), head.length);
            return Err(ConnectionError::FrameLength {
                frame,
                bytes,
                right: "a multiple of 6 bytes",
            });
        }
        for &[i0, i1, v0, v1, v2, v3] in entries {
            self.setting(u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))?;
        }
        if 0 < self.out.pending.bytes() {
            self.enlist_all();
        }
        self.out.rope.push(&frame::settings_ack());
        Ok(())
    }

    fn setting(&mut self, id: u16, value: u32) -> Result<(), ConnectionError> {
        let wrong = |name, right| Err(ConnectionError::Setting { name, value, right });
        match id {
            setting::ENABLE_PUSH if 1 < value => wrong("ENABLE_PUSH", "0 or 1"),
            setting::INITIAL_WINDOW_SIZE if WINDOW_MAX < value => {
                wrong("INITIAL_WINDOW_SIZE", "less than 2^31")
            }
            setting::INITIAL_WINDOW_SIZE => {
                self.out.initial_window = i64::from(value);
                Ok(())
            }
            setting::MAX_FRAME_SIZE if !FRAME_BYTES_MAX.contains(&value) => {
                wrong("MAX_FRAME_SIZE", "16384 to 16777215")
            }
            setting::MAX_FRAME_SIZE => {
                self.out.frame_bytes_max = value as usize;
                Ok(())
            }
            // The size of its table, of its header list, of its pushes: nothing that is sent
            // depends on them.
            _ => Ok(()),
        }
    }

    fn ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        on_connection(head)?;
        let text = exactly(head, payload, "8 bytes")?;
        self.flood.idle(1);
        if !head.has(flag::ACK) {
            self.out.rope.push(&frame::ping(flag::ACK, text));
        } else if text == LEAVING_PING && self.leaving == Leaving::Announced {
            self.go_away();
        }
        Ok(())
    }

    fn client_goes(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        on_connection(head)?;
        self.flood.idle(1);
        let Some((&[_, _, _, _, code @ ..], _)) = payload.split_first_chunk::<8>() else {
            return Err(ConnectionError::FrameLength {
                frame: head.name(),
                bytes: head.length,
                right: "at least 8 bytes",
            });
        };
        self.events.push_back(Event::GoAway { code: ErrorCode(u32::from_be_bytes(code)) });
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let bytes = exactly(head, payload, "4 bytes")?;
        let increment = u32::from_be_bytes(bytes) & WINDOW_MAX;
        if head.stream == 0 {
            self.out.window += i64::from(increment);
            if increment == 0 || i64::from(WINDOW_MAX) < self.out.window {
                return Err(ConnectionError::WindowIncrement { increment });
            }
            return Ok(());
        }
        self.check_not_idle(head)?;
        let Some(stream) = self.streams.find(head.stream) else { return Ok(()) };
        let Some(found) = self.streams.get_mut(stream) else { return Ok(()) };
        found.send_credit += i64::from(increment);
        let window = self.out.initial_window + found.send_credit;
        if increment == 0 || i64::from(WINDOW_MAX) < window {
            self.fault(stream, StreamFault::WindowIncrement { increment });
        } else {
            self.out.enlist(stream, found);
        }
        Ok(())
    }
}

/// The payload as an array, if it has that length.
fn exactly<const BYTES: usize>(
    head: FrameHead,
    payload: &[u8],
    right: &'static str,
) -> Result<[u8; BYTES], ConnectionError> {
    payload.try_into().map_err(|_| ConnectionError::FrameLength {
        frame: head.name(),
        bytes: head.length,
        right,
    })
}

/// HEADERS belong to a stream that a client can have opened.
fn check_request_stream(head: FrameHead) -> Result<(), ConnectionError> {
    match head.stream {
        0 => Err(wrong_stream(head, "a stream")),
        stream if stream.is_multiple_of(2) => Err(ConnectionError::EvenStream { stream }),
        _ => Ok(()),
    }
}

fn wrong_stream(head: FrameHead, right: &'static str) -> ConnectionError {
    ConnectionError::WrongStream { frame: head.name(), stream: head.stream, right }
}

fn on_connection(head: FrameHead) -> Result<(), ConnectionError> {
    if head.stream != 0 {
        return Err(wrong_stream(head, "stream 0"));
    }
    Ok(())
}

/// A HEADERS frame's part of the header block.
fn without_padding_and_priority(head: FrameHead, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    let mut rest = payload;
    let too_short =
        |right| ConnectionError::FrameLength { frame: head.name(), bytes: head.length, right };
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let Some((&length, after)) = rest.split_first() else {
            return Err(too_short("at least 1 byte when padded"));
        };
        (padding, rest) = (length, after);
    }
    if head.has(flag::PRIORITY) {
        let Some((_, after)) = rest.split_first_chunk::<5>() else {
            return Err(too_short("at least 5 bytes when it carries a priority"));
        };
        rest = after;
    }
    let fragment_bytes = rest.len().checked_sub(usize::from(padding));
    fragment_bytes.and_then(|bytes| rest.get(..bytes)).ok_or(ConnectionError::Padding {
        frame: head.name(),
        bytes: head.length,
        padding,
    })
}
