//! From bytes to frames, however they are cut. Data is passed on as it comes; other frames are
//! gathered whole.

use bytes::{Buf, Bytes};

use super::super::error::ConnectionError;
use super::super::frame::{FrameHead, HEAD_BYTES, PREFACE, flag, kind};
use super::super::limits::FRAME_BYTES_MAX;
use super::super::streams::StreamId;
use super::Connection;

/// CONTINUATION frames in one header block beyond those that a block of the greatest length needs.
const CONTINUATIONS_SPARE: u32 = 32;

/// How far the input has been read.
#[derive(Debug)]
pub(super) struct Reading {
    place: Place,
    /// The part of a frame's head, or of a gathered frame, that came with earlier input.
    partial: Vec<u8>,
    block: Option<HeaderBlock>,
    settings_seen: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            place: Place::Preface { matched: 0 },
            partial: Vec::new(),
            block: None,
            settings_seen: false,
        }
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Place {
    Preface { matched: usize },
    Head,
    Payload(FrameHead),
    PadLength(FrameHead),
    Data(Data),
    Skipped { left: usize },
}

/// The rest of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) stream: StreamId,
    pub(super) left: usize,
    pub(super) padding: usize,
    pub(super) end_stream: bool,
}

/// A header block that continues in a further frame.
#[derive(Debug)]
struct HeaderBlock {
    stream: u32,
    end_stream: bool,
    fragments: Vec<u8>,
    continuations: u32,
}

impl Connection {
    pub(super) fn read(&mut self, mut input: Bytes) -> Result<(), ConnectionError> {
        loop {
            match self.reading.place {
                Place::Preface { matched } => {
                    let Some(matched) = self.read_preface(&mut input, matched)? else {
                        return Ok(());
                    };
                    debug_assert_eq!(matched, PREFACE.len());
                    self.reading.place = Place::Head;
                }
                Place::Head => {
                    let Some(head) = self.reading.head(&mut input) else { return Ok(()) };
                    self.reading.place = self.begin_frame(head)?;
                }
                Place::Payload(head) => {
                    let length = head.length as usize;
                    let Some(payload) = self.reading.gather(&mut input, length) else {
                        return Ok(());
                    };
                    self.reading.place = Place::Head;
                    self.frame(head, &payload)?;
                }
                Place::PadLength(head) => {
                    let Some(&padding) = input.first() else { return Ok(()) };
                    input.advance(1);
                    self.reading.place = self.begin_data(head, Some(padding))?;
                }
                Place::Data(mut data) => {
                    let done = self.read_data(&mut input, &mut data);
                    if !done {
                        self.reading.place = Place::Data(data);
                        return Ok(());
                    }
                    self.reading.place = match data.padding {
                        0 => Place::Head,
                        left => Place::Skipped { left },
                    };
                }
                Place::Skipped { left } => {
                    let count = left.min(input.len());
                    input.advance(count);
                    if count < left {
                        self.reading.place = Place::Skipped { left: left - count };
                        return Ok(());
                    }
                    self.reading.place = Place::Head;
                }
            }
        }
    }

    fn read_preface(
        &mut self,
        input: &mut Bytes,
        matched: usize,
    ) -> Result<Option<usize>, ConnectionError> {
        let wanted = PREFACE.get(matched..).unwrap_or_default();
        let count = wanted.len().min(input.len());
        if input.get(..count) != wanted.get(..count) {
            return Err(ConnectionError::Preface);
        }
        input.advance(count);
        let matched = matched + count;
        self.reading.place = Place::Preface { matched };
        Ok((matched == PREFACE.len()).then_some(matched))
    }

    /// Looks at a frame's head and says where its payload goes.
    fn begin_frame(&mut self, head: FrameHead) -> Result<Place, ConnectionError> {
        let bytes_max = self.limits.frame_bytes_max;
        if bytes_max < head.length {
            let (frame, bytes) = (head.name(), head.length);
            return Err(ConnectionError::FrameTooLong { frame, bytes, bytes_max });
        }
        if !self.reading.settings_seen {
            if head.kind != kind::SETTINGS || head.has(flag::ACK) {
                return Err(ConnectionError::FirstFrame { found: head.name() });
            }
            self.reading.settings_seen = true;
        }
        if let Some(block) = &self.reading.block
            && (head.kind != kind::CONTINUATION || head.stream != block.stream)
        {
            let stream = block.stream;
            return Err(ConnectionError::HeaderBlockCut { frame: head.name(), stream });
        }
        match head.kind {
            kind::DATA if head.has(flag::PADDED) => match head.length {
                0 => Err(ConnectionError::FrameLength {
                    frame: "padded DATA",
                    bytes: 0,
                    right: "at least 1 byte",
                }),
                _ => Ok(Place::PadLength(head)),
            },
            kind::DATA => self.begin_data(head, None),
            kind::HEADERS..=kind::CONTINUATION => Ok(Place::Payload(head)),
            _ => {
                self.flood.idle(1);
                Ok(Place::Skipped { left: head.length as usize })
            }
        }
    }

    fn begin_data(
        &mut self,
        head: FrameHead,
        padding: Option<u8>,
    ) -> Result<Place, ConnectionError> {
        let padding_bytes = usize::from(padding.unwrap_or(0));
        let rest = head.length as usize - usize::from(padding.is_some());
        let Some(data_bytes) = rest.checked_sub(padding_bytes) else {
            return Err(ConnectionError::Padding {
                frame: head.name(),
                bytes: head.length,
                padding: padding.unwrap_or(0),
            });
        };
        let place = match self.admit_data(head, data_bytes)? {
            Some(stream) => Place::Data(Data {
                stream,
                left: data_bytes,
                padding: padding_bytes,
                end_stream: head.has(flag::END_STREAM),
            }),
            None => Place::Skipped { left: rest },
        };
        Ok(place)
    }

    /// Takes a header block's part; decodes the block if it is the last.
    pub(super) fn header_fragment(
        &mut self,
        head: FrameHead,
        fragment: &[u8],
    ) -> Result<(), ConnectionError> {
        let bytes_max = self.limits.header_block_bytes_max();
        let frames_max = bytes_max / *FRAME_BYTES_MAX.start() + CONTINUATIONS_SPARE;
        let too_long =
            |stream| ConnectionError::HeaderBlockTooLong { stream, bytes_max, frames_max };
        if head.kind == kind::HEADERS {
            let end_stream = head.has(flag::END_STREAM);
            if (bytes_max as usize) < fragment.len() {
                return Err(too_long(head.stream));
            }
            if head.has(flag::END_HEADERS) {
                return self.header_block(head.stream, end_stream, fragment);
            }
            let (stream, fragments) = (head.stream, fragment.to_vec());
            self.reading.block =
                Some(HeaderBlock { stream, end_stream, fragments, continuations: 0 });
            return Ok(());
        }
        let Some(mut block) = self.reading.block.take() else {
            return Err(ConnectionError::StrayContinuation { stream: head.stream });
        };
        block.continuations += 1;
        if frames_max < block.continuations
            || (bytes_max as usize) < block.fragments.len() + fragment.len()
        {
            return Err(too_long(block.stream));
        }
        block.fragments.extend_from_slice(fragment);
        if head.has(flag::END_HEADERS) {
            return self.header_block(block.stream, block.end_stream, &block.fragments);
        }
        self.reading.block = Some(block);
        Ok(())
    }
}

impl Reading {
    fn head(&mut self, input: &mut Bytes) -> Option<FrameHead> {
        if self.partial.is_empty()
            && let Some(&bytes) = input.first_chunk::<HEAD_BYTES>()
        {
            input.advance(HEAD_BYTES);
            return Some(FrameHead::parse(bytes));
        }
        let bytes = self.gather(input, HEAD_BYTES)?;
        bytes.first_chunk().copied().map(FrameHead::parse)
    }

    /// The next `length` bytes when all are there; shares the input's memory when they came at
    /// once.
    fn gather(&mut self, input: &mut Bytes, length: usize) -> Option<Bytes> {
        if self.partial.is_empty() && length <= input.len() {
            return Some(input.split_to(length));
        }
        let count = (length - self.partial.len()).min(input.len());
        self.partial.extend_from_slice(input.get(..count).unwrap_or_default());
        input.advance(count);
        (self.partial.len() == length).then(|| Bytes::from(std::mem::take(&mut self.partial)))
    }
}
