//! What one serving thread counts of the requests of one label set.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use super::{buckets, catalogue::Series, histogram::Histogram};

/// Counts requests of one label set.
#[derive(Debug)]
pub struct Recorder {
    pub(super) total: AtomicU64,
    pub(super) running: AtomicI64,
    /// In the order of [`Failure::ALL`].
    pub(super) failures: [AtomicU64; Failure::ALL.len()],
    pub(super) ttft_streaming: Histogram,
    pub(super) ttft_whole: Histogram,
    pub(super) duration: Histogram,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    pub(super) input_tokens: Histogram,
    pub(super) output_tokens: Histogram,
    pub(super) cached_tokens: Histogram,
    pub(super) ntpot: Histogram,
    pub(super) tpot: Histogram,
    pub(super) itl: Histogram,
}

/// Why a request was not served, or not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    BadRequest,
    PreconditionFailed,
    PayloadTooLarge,
    ResourceExhausted,
    Internal,
    ServiceUnavailable,
    DeadlineExceeded,
    /// The model server answered with something else than 200.
    ModelServerError,
}

impl Failure {
    pub(super) const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::ResourceExhausted,
        Self::Internal,
        Self::ServiceUnavailable,
        Self::DeadlineExceeded,
        Self::ModelServerError,
    ];

    /// The value of the label `error_code`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::Internal => "Internal",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::ModelServerError => "ModelServerError",
        }
    }
}

/// What a finished response told of itself. Times count from the request's headers.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Requests that this one stands for: more than one where only a share is watched.
    pub stands_for: u32,
    pub streaming: bool,
    pub response_bytes: u64,
    pub first_byte_after: Option<Duration>,
    pub last_byte_after: Duration,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// `None` if the model server does not tell.
    pub cached_tokens: Option<u64>,
}

impl Recorder {
    /// A request of `bytes` was picked for and passed on.
    pub fn picked(&self, bytes: u64) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.request_bytes.observe(as_f64(bytes), 1);
    }

    /// So many requests run now.
    pub fn started(&self, requests: u32) {
        self.running.fetch_add(i64::from(requests), Ordering::Relaxed);
    }

    /// So many of those that were started run no more.
    pub fn stopped(&self, requests: u32) {
        self.running.fetch_sub(i64::from(requests), Ordering::Relaxed);
    }

    pub fn failed(&self, failure: Failure) {
        let mut counts = Failure::ALL.iter().zip(&self.failures);
        if let Some((_, count)) = counts.find(|(of, _)| **of == failure) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A chunk of a streamed response came so long after the one before it.
    pub fn chunk_came_after(&self, since_last_chunk: Duration, stands_for: u32) {
        self.itl.observe(since_last_chunk.as_secs_f64(), stands_for);
    }

    pub fn finished(&self, finished: &Finished) {
        let times = finished.stands_for;
        let whole = finished.last_byte_after.as_secs_f64();
        self.duration.observe(whole, times);
        self.response_bytes.observe(as_f64(finished.response_bytes), times);
        let tokens = as_f64(finished.completion_tokens);
        if 0 < finished.prompt_tokens {
            self.input_tokens.observe(as_f64(finished.prompt_tokens), times);
        }
        if 0 < finished.completion_tokens {
            self.output_tokens.observe(tokens, times);
            self.ntpot.observe(whole / tokens, times);
        }
        if let Some(cached) = finished.cached_tokens {
            self.cached_tokens.observe(as_f64(cached), times);
        }
        let Some(first) = finished.first_byte_after.map(|after| after.as_secs_f64()) else {
            return;
        };
        let ttft = if finished.streaming { &self.ttft_streaming } else { &self.ttft_whole };
        ttft.observe(first, times);
        if finished.streaming && 1 < finished.completion_tokens && first < whole {
            self.tpot.observe((whole - first) / (tokens - 1.0), times);
        }
    }

    fn histograms(&self) -> [&Histogram; 11] {
        [
            &self.ttft_streaming,
            &self.ttft_whole,
            &self.duration,
            &self.request_bytes,
            &self.response_bytes,
            &self.input_tokens,
            &self.output_tokens,
            &self.cached_tokens,
            &self.ntpot,
            &self.tpot,
            &self.itl,
        ]
    }
}

impl Series for Recorder {
    fn empty() -> Self {
        Self {
            total: AtomicU64::new(0),
            running: AtomicI64::new(0),
            failures: Failure::ALL.map(|_| AtomicU64::new(0)),
            ttft_streaming: buckets::ttft(),
            ttft_whole: buckets::ttft(),
            duration: buckets::duration(),
            request_bytes: buckets::request_bytes(),
            response_bytes: buckets::response_bytes(),
            input_tokens: buckets::input_tokens(),
            output_tokens: buckets::output_tokens(),
            cached_tokens: buckets::input_tokens(),
            ntpot: buckets::ntpot(),
            tpot: buckets::tpot(),
            itl: buckets::itl(),
        }
    }

    fn add(&self, other: &Self) {
        self.total.fetch_add(other.total.load(Ordering::Relaxed), Ordering::Relaxed);
        self.running.fetch_add(other.running.load(Ordering::Relaxed), Ordering::Relaxed);
        for (own, others) in self.failures.iter().zip(&other.failures) {
            own.fetch_add(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (own, others) in self.histograms().into_iter().zip(other.histograms()) {
            own.add(others);
        }
    }

    fn is_empty(&self) -> bool {
        let failed = self.failures.iter().any(|count| count.load(Ordering::Relaxed) != 0);
        let counted = self.histograms().into_iter().any(|histogram| !histogram.is_empty());
        let running = self.running.load(Ordering::Relaxed) != 0;
        !failed && !counted && !running && self.total.load(Ordering::Relaxed) == 0
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes and token counts are far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
