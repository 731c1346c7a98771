//! Which bound was reached when the transport refused something.

use crate::{
    http2::{ConnectionError, HpackError, SendError, StreamFault},
    metrics::Bound,
};

/// The bound that ended a stream, or kept it from being opened; `None` if the gateway broke a rule.
pub(super) fn of_stream(fault: &StreamFault) -> Option<Bound> {
    match fault {
        StreamFault::TooManyStreams { .. } => Some(Bound::ConnectionStreams),
        StreamFault::HeadersTooLong { .. } => Some(Bound::HeaderBytes),
        StreamFault::MessageTooLong { .. } => Some(Bound::MessageBytes),
        StreamFault::Assembling { .. } | StreamFault::NoRoom { .. } => Some(Bound::ArrivingBytes),
        StreamFault::Headers(_)
        | StreamFault::Method
        | StreamFault::ContentType
        | StreamFault::Timeout
        | StreamFault::Leaving
        | StreamFault::AfterEnd
        | StreamFault::ContentLength
        | StreamFault::FlowControl { .. }
        | StreamFault::WindowIncrement { .. }
        | StreamFault::Compressed { .. }
        | StreamFault::MessageCut => None,
    }
}

/// The bound that ended a connection; `None` if the gateway broke a rule.
pub(super) fn of_connection(error: &ConnectionError) -> Option<Bound> {
    match error {
        ConnectionError::HeaderBlockTooLong { .. }
        | ConnectionError::Compression { source: HpackError::TooLong(_), .. } => {
            Some(Bound::HeaderBytes)
        }
        ConnectionError::Flood { .. } => Some(Bound::Frames),
        ConnectionError::Unread { .. } => Some(Bound::WaitingBytes),
        ConnectionError::Preface
        | ConnectionError::FirstFrame { .. }
        | ConnectionError::FrameTooLong { .. }
        | ConnectionError::FrameLength { .. }
        | ConnectionError::WrongStream { .. }
        | ConnectionError::IdleStream { .. }
        | ConnectionError::EvenStream { .. }
        | ConnectionError::Padding { .. }
        | ConnectionError::HeaderBlockCut { .. }
        | ConnectionError::StrayContinuation { .. }
        | ConnectionError::Push
        | ConnectionError::Compression { .. }
        | ConnectionError::FlowControl { .. }
        | ConnectionError::WindowIncrement { .. }
        | ConnectionError::Setting { .. } => None,
    }
}

/// The bound that kept an answer from being sent; `None` if nobody waits for it.
pub(super) fn of_answer(error: &SendError) -> Option<Bound> {
    match error {
        SendError::ClientTooSlow { .. } | SendError::NoRoom { .. } => Some(Bound::WaitingBytes),
        SendError::Ended { .. } | SendError::TooLong { .. } => None,
    }
}
