//! What can go wrong with one request.

use std::borrow::Cow;

/// Why a request was not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot connect: {cause}")]
    Connect { cause: String },
    #[error("the connection was lost: {cause}")]
    ConnectionLost { cause: String },
    #[error("the picker reset the stream: {reason}")]
    Reset { reason: String },
    #[error("HTTP status {code} instead of 200")]
    HttpStatus { code: u16 },
    #[error("the stream ended with gRPC status {code}: {text}")]
    Status { code: u32, text: String },
    #[error("the stream ended without a gRPC status")]
    NoStatus,
    #[error("refused with {status}: {body}")]
    Refused { status: i32, body: String },
    #[error("a message that cannot be read: {cause}")]
    Unreadable { cause: String },
    #[error("an answer to the {answered} {when}")]
    OutOfOrder { answered: Part, when: &'static str },
    #[error("an answer without the header x-gateway-destination-endpoint")]
    NoPickInHeader,
    #[error("an answer without envoy.lb x-gateway-destination-endpoint in its dynamic metadata")]
    NoPickInMetadata,
    #[error("the header picks {header:?}, the metadata {metadata:?}")]
    TwoPicks { header: String, metadata: String },
    #[error("the pick {pick:?} is not a list of ip:port")]
    NoAddress { pick: String },
    #[error("the {part} was answered, but not by a streamed body")]
    NotStreamed { part: Part },
    #[error("the {part} came back changed, from byte {at} on")]
    WrongEcho { part: Part, at: usize },
    #[error("the {part} came back with end_of_stream after {at} of {length} bytes")]
    EndsEarly { part: Part, at: usize, length: usize },
    #[error("OK before the request had come back: Envoy would send a cut body to any endpoint")]
    LeftEarly,
    #[error(
        "OK after the request, and the answer was to be observed; does the picker run with --response-observation \
         off? Then say so with --observation off"
    )]
    LeftBeforeAnswer,
    #[error("OK amid the answer: Envoy would lose a part of it")]
    LeftAmidAnswer,
    #[error(
        "the stream was to end after the request, and did not within a second; does the picker observe responses?"
    )]
    Stayed,
    #[error("not in time: {waiting_for}")]
    TimedOut { waiting_for: &'static str },
}

/// A part of an exchange that is sent and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RequestHeaders => "request's headers",
            Self::RequestBody => "request's body",
            Self::RequestTrailers => "request's trailers",
            Self::ResponseHeaders => "answer's headers",
            Self::ResponseBody => "answer's body",
            Self::ResponseTrailers => "answer's trailers",
        })
    }
}

impl Fault {
    /// The name under which it is counted.
    pub(super) fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Connect { .. } => "connect",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::Reset { .. } => "reset",
            Self::HttpStatus { code } => return format!("http_status_{code}").into(),
            Self::Status { code, .. } => return format!("grpc_status_{code}").into(),
            Self::NoStatus => "no_grpc_status",
            Self::Refused { status, .. } => return format!("refused_{status}").into(),
            Self::Unreadable { .. } => "unreadable",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::NoPickInHeader => "no_pick_in_header",
            Self::NoPickInMetadata => "no_pick_in_metadata",
            Self::TwoPicks { .. } => "two_picks",
            Self::NoAddress { .. } => "no_address",
            Self::NotStreamed { .. } => "not_streamed",
            Self::WrongEcho { .. } => "wrong_echo",
            Self::EndsEarly { .. } => "ends_early",
            Self::LeftEarly => "left_early",
            Self::LeftBeforeAnswer => "left_before_answer",
            Self::LeftAmidAnswer => "left_amid_answer",
            Self::Stayed => "stayed",
            Self::TimedOut { .. } => "timed_out",
        })
    }
}
