//! What a run of the load generator is asked to do. Checked when it is read, so that what stands here makes
//! sense.

use std::time::Duration;

/// Everything about a run but how its report is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `host:port` of the picker.
    pub target: String,
    /// HTTP/2 without TLS.
    pub plaintext: bool,
    /// At least 1. Each has a thread of its own, as each of Envoy's workers has a connection of its own.
    pub connections: usize,
    pub load: Load,
    pub request: RequestShape,
    pub answer: AnswerShape,
    pub observation: Observation,
    /// What is measured: requests due within this time, after `warm_up`.
    pub duration: Duration,
    pub warm_up: Duration,
    /// How long the given processes are watched before the load begins.
    pub idle: Duration,
    /// How long a request may take beyond the time that its answer plays.
    pub timeout: Duration,
    /// More requests than these are not sent while none of them ends.
    pub in_flight_max: usize,
    /// Equal seeds give equal requests at equal times.
    pub seed: u64,
    /// Processes whose CPU time and memory are measured.
    pub processes: Vec<u32>,
}

/// What decides when the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A rate, kept however slowly answers come.
    Open { per_second: f64, arrivals: Arrivals },
    /// So many at a time: the next one when one is done.
    Closed { concurrency: usize },
}

/// How the requests of an open load are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// As independent clients send: exponential gaps.
    Poisson,
    /// Equal gaps.
    Uniform,
}

/// What each request asks.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestShape {
    /// 4 bytes of prompt each; none is a GET without a body.
    pub input_tokens: Option<usize>,
    /// Different prompts.
    pub conversations: usize,
    /// Share of a prompt, from its begin on, that is the same in all requests of a conversation; 0.0 to 1.0.
    pub shared_prefix: f64,
    pub model: String,
    pub client: Client,
    /// Largest body that one message carries.
    pub chunk_bytes: usize,
}

/// What the gateway's client speaks, which decides how Envoy cuts a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// What was there to read at once is one message, up to Envoy's buffer limit; an empty one with the end follows.
    Http1,
    /// Each DATA frame is a message; the last has the end.
    Http2,
}

impl Client {
    /// The longest message that Envoy 1.40 was seen to send.
    pub(super) fn chunk_bytes(self) -> usize {
        match self {
            Self::Http1 => 1 << 20,
            Self::Http2 => 16_384,
        }
    }
}

/// What the model server is made to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerShape {
    /// Events of the answer; one more carries the usage.
    pub output_tokens: usize,
    /// Time between two tokens; zero sends all at once.
    pub token_gap: Duration,
    /// From the end of the request to the headers of the answer.
    pub time_to_first_token: Duration,
}

impl AnswerShape {
    /// How long an answer takes if nothing is slow.
    pub fn playing_time(&self) -> Duration {
        let tokens = u32::try_from(self.output_tokens).unwrap_or(u32::MAX);
        self.time_to_first_token.saturating_add(self.token_gap.saturating_mul(tokens))
    }
}

/// What the picker is expected to do with answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It stays for the answer; leaving before is an error.
    Full,
    /// It ends the stream with OK after the request; staying is an error.
    Off,
    /// Either.
    Any,
}
