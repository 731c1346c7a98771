//! Refusals: the answers that pick nobody. One place turns them into HTTP.

use std::time::Duration;

use crate::{metrics::Failure, openai};

/// Why a request was refused. The text is the body that the client reads; codes and texts are
/// those of the picker that Convoy replaces where it knows the case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("inference error: BadRequest - {0}")]
    BadBody(openai::Refusal),
    #[error("inference error: BadRequest - no parser registered matching path suffix for: {path}")]
    NoParser { path: String },
    #[error(
        "inference error: ServiceUnavailable - \
         failed to find endpoint candidates for serving the request"
    )]
    NoCandidates,
    #[error("inference error: Internal - no pods available in datastore")]
    EmptyPool,
    #[error("inference error: ResourceExhausted - no endpoints available for the given request")]
    FilteredOut,
    /// The request asked for an endpoint that holds a part of its prompt, or none.
    #[error("inference error: PreconditionFailed - no decode worker has the requested KV cache")]
    NotCached,
    #[error(
        "inference error: PayloadTooLarge - the request body is larger than {bytes_max} bytes \
         (--body-bytes-max)"
    )]
    BodyTooLarge { bytes_max: u64 },
    #[error(
        "inference error: ServiceUnavailable - bodies in flight exceed {bytes_max} bytes \
         (--bodies-bytes-max); retry later"
    )]
    BodiesTooLarge { bytes_max: u64 },
    #[error(
        "inference error: ServiceUnavailable - more than {streams_max} requests in flight \
         (--streams-max); retry later"
    )]
    TooManyStreams { streams_max: u32 },
    #[error(
        "inference error: DeadlineExceeded - the request did not arrive whole within {within:?} \
         (--request-deadline)"
    )]
    Late { within: Duration },
}

impl Refusal {
    /// The HTTP status that the client sees.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadBody(_) | Self::NoParser { .. } => 400,
            Self::NotCached => 412,
            Self::BodyTooLarge { .. } => 413,
            Self::FilteredOut => 429,
            Self::EmptyPool => 500,
            Self::NoCandidates | Self::BodiesTooLarge { .. } | Self::TooManyStreams { .. } => 503,
            Self::Late { .. } => 504,
        }
    }

    /// How it is counted.
    pub fn failure(&self) -> Failure {
        match self {
            Self::BadBody(_) | Self::NoParser { .. } => Failure::BadRequest,
            Self::NotCached => Failure::PreconditionFailed,
            Self::BodyTooLarge { .. } => Failure::PayloadTooLarge,
            Self::FilteredOut => Failure::ResourceExhausted,
            Self::EmptyPool => Failure::Internal,
            Self::NoCandidates | Self::BodiesTooLarge { .. } | Self::TooManyStreams { .. } => {
                Failure::ServiceUnavailable
            }
            Self::Late { .. } => Failure::DeadlineExceeded,
        }
    }

    /// The value of the response header that tells gateways why the request was dropped.
    pub fn dropped_reason(&self) -> Option<&'static str> {
        match self {
            Self::NoCandidates => Some("rejected-no-endpoints"),
            Self::FilteredOut => Some("rejected-saturated"),
            Self::BadBody(_)
            | Self::NoParser { .. }
            | Self::EmptyPool
            | Self::NotCached
            | Self::BodyTooLarge { .. }
            | Self::BodiesTooLarge { .. }
            | Self::TooManyStreams { .. }
            | Self::Late { .. } => None,
        }
    }
}
