//! What can go wrong, and how far it reaches: an operation's error here, a stream's fault, or the
//! connection's end.

use std::fmt;

use super::grpc::Status;
use super::hpack::HpackError;
use super::streams::StreamId;

/// An error code of HTTP/2 (RFC 9113 section 7). Any number can arrive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub const NO_ERROR: Self = Self(0x0);
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    pub const INTERNAL_ERROR: Self = Self(0x2);
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub const STREAM_CLOSED: Self = Self(0x5);
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub const REFUSED_STREAM: Self = Self(0x7);
    pub const CANCEL: Self = Self(0x8);
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            other => return write!(f, "code {other}"),
        })
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why [`Connection::receive`](super::Connection::receive) gave the connection up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error(
        "the connection does not begin with the HTTP/2 preface: the client speaks TLS or HTTP/1 to a port that \
         expects plaintext HTTP/2"
    )]
    Preface,
    #[error("the first frame is {found}; it has to be SETTINGS")]
    FirstFrame { found: &'static str },
    #[error("a {frame} frame of {bytes} bytes; at most {bytes_max} are accepted")]
    FrameTooLong { frame: &'static str, bytes: u32, bytes_max: u32 },
    #[error("a {frame} frame of {bytes} bytes; it has to be {right}")]
    FrameLength { frame: &'static str, bytes: u32, right: &'static str },
    #[error("a {frame} frame on stream {stream}; it has to be on {right}")]
    WrongStream { frame: &'static str, stream: u32, right: &'static str },
    #[error("a {frame} frame on stream {stream}, which was never opened")]
    IdleStream { frame: &'static str, stream: u32 },
    #[error("stream {stream} opened by a client; a client's streams have odd numbers")]
    EvenStream { stream: u32 },
    #[error("a {frame} frame of {bytes} bytes is padded by {padding}, more than it holds")]
    Padding { frame: &'static str, bytes: u32, padding: u8 },
    #[error(
        "a {frame} frame within the header block of stream {stream}; it has to be CONTINUATION on that stream"
    )]
    HeaderBlockCut { frame: &'static str, stream: u32 },
    #[error("a CONTINUATION frame on stream {stream} outside of a header block")]
    StrayContinuation { stream: u32 },
    #[error("a PUSH_PROMISE frame; only servers send them")]
    Push,
    #[error("a header block on stream {stream} exceeds {bytes_max} bytes or {frames_max} frames")]
    HeaderBlockTooLong { stream: u32, bytes_max: u32, frames_max: u32 },
    #[error("a header block on stream {stream} cannot be decoded")]
    Compression { stream: u32, source: HpackError },
    #[error("{bytes} bytes of data exceed the connection's window of {window}")]
    FlowControl { bytes: u32, window: i64 },
    #[error(
        "the connection's window cannot grow by {increment}: the increment is 0 or the sum exceeds 2^31-1"
    )]
    WindowIncrement { increment: u32 },
    #[error("the setting {name} is {value}; it has to be {right}")]
    Setting { name: &'static str, value: u32, right: &'static str },
    #[error("more than {count_max} {what} in one second")]
    Flood { what: &'static str, count_max: u32 },
    #[error("{bytes} bytes are waiting for a client that does not read; at most {bytes_max} may")]
    Unread { bytes: usize, bytes_max: usize },
}

impl ConnectionError {
    /// What the client is told in GOAWAY.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Preface
            | Self::FirstFrame { .. }
            | Self::WrongStream { .. }
            | Self::IdleStream { .. }
            | Self::EvenStream { .. }
            | Self::Padding { .. }
            | Self::HeaderBlockCut { .. }
            | Self::StrayContinuation { .. }
            | Self::Push
            | Self::WindowIncrement { increment: 0 } => ErrorCode::PROTOCOL_ERROR,
            Self::FrameTooLong { .. } | Self::FrameLength { .. } => ErrorCode::FRAME_SIZE_ERROR,
            Self::HeaderBlockTooLong { .. }
            | Self::Compression { source: HpackError::TooLong(_), .. }
            | Self::Flood { .. }
            | Self::Unread { .. } => ErrorCode::ENHANCE_YOUR_CALM,
            Self::Compression { .. } => ErrorCode::COMPRESSION_ERROR,
            Self::FlowControl { .. } | Self::WindowIncrement { .. } => {
                ErrorCode::FLOW_CONTROL_ERROR
            }
            Self::Setting { name: "INITIAL_WINDOW_SIZE", .. } => ErrorCode::FLOW_CONTROL_ERROR,
            Self::Setting { .. } => ErrorCode::PROTOCOL_ERROR,
        }
    }
}

/// What a client did wrong on one stream. The stream ends; the connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    #[error("malformed headers: {0}")]
    Headers(&'static str),
    #[error("the request headers exceed {bytes_max} bytes")]
    HeadersTooLong { bytes_max: u32 },
    #[error("the method is not POST, which every gRPC call is")]
    Method,
    #[error("the content-type is not application/grpc")]
    ContentType,
    #[error(
        "grpc-timeout is malformed; it has to be at most eight digits and one of H, M, S, m, u, n"
    )]
    Timeout,
    #[error("{streams_max} streams are open, as many as one connection may have")]
    TooManyStreams { streams_max: u32 },
    #[error("the connection is being closed; the request can be sent again on another")]
    Leaving,
    #[error("data or trailers after the end of the request")]
    AfterEnd,
    #[error("content-length and data differ in length")]
    ContentLength,
    #[error("{bytes} bytes of data exceed the stream's window of {window}")]
    FlowControl { bytes: u32, window: i64 },
    #[error(
        "the stream's window cannot grow by {increment}: the increment is 0 or the sum exceeds 2^31-1"
    )]
    WindowIncrement { increment: u32 },
    #[error(
        "a compressed message; only uncompressed ones (flag 0) are accepted, the flag is {flag}"
    )]
    Compressed { flag: u8 },
    #[error("a message of {bytes} bytes; at most {bytes_max} are accepted")]
    MessageTooLong { bytes: u32, bytes_max: u32 },
    #[error(
        "unfinished messages would take {bytes} bytes; at most {bytes_max} may be on one connection"
    )]
    Assembling { bytes: usize, bytes_max: usize },
    #[error(
        "a message of {bytes} bytes, and no room for it: other messages take all that there is"
    )]
    NoRoom { bytes: usize },
    #[error("the request ended within a message")]
    MessageCut,
}

/// How a client learns of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Reset(ErrorCode),
    Status(Status),
    /// A code of plain HTTP, for those who do not speak gRPC.
    Http(u16),
}

impl StreamFault {
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Headers(_) | Self::ContentLength | Self::WindowIncrement { increment: 0 } => {
                Answer::Reset(ErrorCode::PROTOCOL_ERROR)
            }
            Self::FlowControl { .. } | Self::WindowIncrement { .. } => {
                Answer::Reset(ErrorCode::FLOW_CONTROL_ERROR)
            }
            Self::AfterEnd => Answer::Reset(ErrorCode::STREAM_CLOSED),
            Self::TooManyStreams { .. } | Self::Leaving => Answer::Reset(ErrorCode::REFUSED_STREAM),
            Self::Method => Answer::Http(405),
            Self::ContentType => Answer::Http(415),
            Self::Timeout | Self::MessageCut => Answer::Status(Status::Internal),
            Self::Compressed { .. } => Answer::Status(Status::Unimplemented),
            Self::HeadersTooLong { .. }
            | Self::MessageTooLong { .. }
            | Self::Assembling { .. }
            | Self::NoRoom { .. } => Answer::Status(Status::ResourceExhausted),
        }
    }
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Ended by the client, by an error, or by an own `finish` or `reset`.
    #[error("stream {stream} has ended")]
    Ended { stream: StreamId },
    #[error("a message of {bytes} bytes; gRPC's length field ends at {}", u32::MAX)]
    TooLong { bytes: usize },
    /// The stream was reset.
    #[error(
        "stream {stream} was reset: {bytes} bytes would wait for its client, at most {bytes_max} may"
    )]
    ClientTooSlow { stream: StreamId, bytes: usize, bytes_max: usize },
    /// The stream was reset.
    #[error(
        "stream {stream} was reset: {bytes} bytes would wait for its client, and there is no room: \
         other messages take all that there is"
    )]
    NoRoom { stream: StreamId, bytes: usize },
}
