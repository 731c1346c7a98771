//! What is counted of each request: its sizes, tokens, durations and errors.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    buckets, current,
    labels::{Cap, Labels, LegacyLabels},
    legacy,
};

/// A histogram under its current name, and under the older one if it had one.
#[derive(Clone, Debug)]
struct Distribution {
    current: Family<Labels, Histogram, buckets::New>,
    legacy: Option<Family<LegacyLabels, Histogram, buckets::New>>,
}

/// One label set's part of a [`Distribution`].
#[derive(Clone, Debug)]
struct Observer {
    current: Histogram,
    legacy: Option<Histogram>,
}

impl Observer {
    fn observe(&self, value: f64, times: u32) {
        for _ in 0..times {
            self.current.observe(value);
            if let Some(legacy) = &self.legacy {
                legacy.observe(value);
            }
        }
    }
}

/// Names and help of one distribution.
struct Names {
    current: &'static str,
    legacy: Option<&'static str>,
    help: &'static str,
}

impl Distribution {
    fn register(registry: &mut Registry, names: &Names, new: buckets::New) -> Self {
        let distribution = Self {
            current: Family::new_with_constructor(new),
            legacy: names.legacy.map(|_| Family::new_with_constructor(new)),
        };
        current(registry, names.current, names.help, distribution.current.clone());
        if let (Some(name), Some(family)) = (names.legacy, &distribution.legacy) {
            let name = format!("inference_objective_{name}");
            legacy(registry, &name, names.current, names.help, family.clone());
        }
        distribution
    }

    fn observer(&self, labels: &Labels) -> Observer {
        Observer {
            current: self.current.get_or_create_owned(labels),
            legacy: self.legacy.as_ref().map(|family| family.get_or_create_owned(&labels.legacy())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    model_name: String,
    target_model_name: String,
    fairness_id: String,
    priority: String,
    error_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegacyErrorLabels {
    model_name: String,
    target_model_name: String,
    error_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegacyTotalLabels {
    model_name: String,
    target_model_name: String,
    priority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamingLabels {
    model_name: String,
    target_model_name: String,
    fairness_id: String,
    priority: String,
    streaming: &'static str,
}

/// Every metric of requests. Cloned handles count together.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    cap: Arc<Cap>,
    total: Family<Labels, Counter>,
    legacy_total: Family<LegacyTotalLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    legacy_errors: Family<LegacyErrorLabels, Counter>,
    running: Family<Labels, Gauge>,
    legacy_running: Family<ModelLabels, Gauge>,
    ttft: Family<StreamingLabels, Histogram, buckets::New>,
    duration: Distribution,
    request_bytes: Distribution,
    response_bytes: Distribution,
    input_tokens: Distribution,
    output_tokens: Distribution,
    cached_tokens: Distribution,
    ntpot: Distribution,
    tpot: Distribution,
    itl: Distribution,
}

const DURATION: Names = Names {
    current: "request_duration_seconds",
    legacy: Some("request_duration_seconds"),
    help: "End-to-end request latency distribution in seconds.",
};
const REQUEST_BYTES: Names = Names {
    current: "request_size_bytes",
    legacy: Some("request_sizes"),
    help: "Incoming request body size distribution in bytes.",
};
const RESPONSE_BYTES: Names = Names {
    current: "response_size_bytes",
    legacy: Some("response_sizes"),
    help: "Outgoing response body size distribution in bytes.",
};
const INPUT_TOKENS: Names = Names {
    current: "request_input_tokens",
    legacy: Some("input_tokens"),
    help: "Input token count distribution per request.",
};
const OUTPUT_TOKENS: Names = Names {
    current: "request_output_tokens",
    legacy: Some("output_tokens"),
    help: "Output token count distribution per request.",
};
const CACHED_TOKENS: Names = Names {
    current: "request_cached_tokens",
    legacy: Some("prompt_cached_tokens"),
    help: "Prompt tokens read from cache per request, as the model server reports them.",
};
const NTPOT: Names = Names {
    current: "request_ntpot_seconds",
    legacy: Some("normalized_time_per_output_token_seconds"),
    help: "End-to-end latency divided by the number of output tokens, in seconds.",
};
const TPOT: Names = Names {
    current: "request_streaming_tpot_seconds",
    legacy: None,
    help: "Time per output token after the first in seconds, for streamed responses.",
};
const ITL: Names = Names {
    current: "request_streaming_itl_seconds",
    legacy: None,
    help: "Time between consecutive response body chunks in seconds, for streamed responses.",
};

impl RequestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            cap: Arc::default(),
            total: Family::default(),
            legacy_total: Family::default(),
            errors: Family::default(),
            legacy_errors: Family::default(),
            running: Family::default(),
            legacy_running: Family::default(),
            ttft: Family::new_with_constructor(buckets::ttft),
            duration: Distribution::register(registry, &DURATION, buckets::duration),
            request_bytes: Distribution::register(registry, &REQUEST_BYTES, buckets::request_bytes),
            response_bytes: Distribution::register(
                registry,
                &RESPONSE_BYTES,
                buckets::response_bytes,
            ),
            input_tokens: Distribution::register(registry, &INPUT_TOKENS, buckets::input_tokens),
            output_tokens: Distribution::register(registry, &OUTPUT_TOKENS, buckets::output_tokens),
            cached_tokens: Distribution::register(registry, &CACHED_TOKENS, buckets::input_tokens),
            ntpot: Distribution::register(registry, &NTPOT, buckets::ntpot),
            tpot: Distribution::register(registry, &TPOT, buckets::tpot),
            itl: Distribution::register(registry, &ITL, buckets::itl),
        };
        metrics.register_counts(registry);
        metrics
    }

    fn register_counts(&self, registry: &mut Registry) {
        let help = "Requests picked for.";
        current(registry, "request", help, self.total.clone());
        let name = "inference_objective_request";
        legacy(registry, name, "request_total", help, self.legacy_total.clone());
        let help = "Requests refused, and responses of model servers other than 200.";
        current(registry, "request_error", help, self.errors.clone());
        let name = "inference_objective_request_error";
        legacy(registry, name, "request_error_total", help, self.legacy_errors.clone());
        let help = "Requests running.";
        current(registry, "request_running", help, self.running.clone());
        let name = "inference_objective_running_requests";
        legacy(registry, name, "request_running", help, self.legacy_running.clone());
        let help = "Time from the request's headers to the first byte of the response's body.";
        current(registry, "request_ttft_seconds", help, self.ttft.clone());
    }

    /// The handles for requests with these values. Keep it: making one takes locks.
    pub fn recorder(&self, model: &str, target: &str, fairness_id: &str) -> Recorder {
        let labels = self.cap.bounded(model, target, fairness_id);
        let streaming = |streaming| StreamingLabels {
            model_name: labels.model_name.clone(),
            target_model_name: labels.target_model_name.clone(),
            fairness_id: labels.fairness_id.clone(),
            priority: labels.priority.clone(),
            streaming,
        };
        Recorder {
            total: self.total.get_or_create_owned(&labels),
            legacy_total: self.legacy_total.get_or_create_owned(&LegacyTotalLabels {
                model_name: labels.model_name.clone(),
                target_model_name: labels.target_model_name.clone(),
                priority: labels.priority.clone(),
            }),
            running: self.running.get_or_create_owned(&labels),
            legacy_running: self
                .legacy_running
                .get_or_create_owned(&ModelLabels { model_name: labels.model_name.clone() }),
            ttft_streaming: self.ttft.get_or_create_owned(&streaming("true")),
            ttft_whole: self.ttft.get_or_create_owned(&streaming("false")),
            duration: self.duration.observer(&labels),
            request_bytes: self.request_bytes.observer(&labels),
            response_bytes: self.response_bytes.observer(&labels),
            input_tokens: self.input_tokens.observer(&labels),
            output_tokens: self.output_tokens.observer(&labels),
            cached_tokens: self.cached_tokens.observer(&labels),
            ntpot: self.ntpot.observer(&labels),
            tpot: self.tpot.observer(&labels),
            itl: self.itl.observer(&labels),
            labels,
            metrics: self.clone(),
        }
    }
}

/// Counts requests of one label set.
#[derive(Debug)]
pub struct Recorder {
    metrics: RequestMetrics,
    labels: Labels,
    total: Counter,
    legacy_total: Counter,
    running: Gauge,
    legacy_running: Gauge,
    ttft_streaming: Histogram,
    ttft_whole: Histogram,
    duration: Observer,
    request_bytes: Observer,
    response_bytes: Observer,
    input_tokens: Observer,
    output_tokens: Observer,
    cached_tokens: Observer,
    ntpot: Observer,
    tpot: Observer,
    itl: Observer,
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
        self.total.inc();
        self.legacy_total.inc();
        self.request_bytes.observe(as_f64(bytes), 1);
    }

    /// So many requests run now.
    pub fn started(&self, requests: u32) {
        self.running.inc_by(i64::from(requests));
        self.legacy_running.inc_by(i64::from(requests));
    }

    /// So many of those that were started run no more.
    pub fn stopped(&self, requests: u32) {
        self.running.dec_by(i64::from(requests));
        self.legacy_running.dec_by(i64::from(requests));
    }

    pub fn failed(&self, error_code: &'static str) {
        let labels = self.labels.clone();
        let legacy = LegacyErrorLabels {
            model_name: labels.model_name.clone(),
            target_model_name: labels.target_model_name.clone(),
            error_code,
        };
        self.metrics.legacy_errors.get_or_create(&legacy).inc();
        let labels = ErrorLabels {
            model_name: labels.model_name,
            target_model_name: labels.target_model_name,
            fairness_id: labels.fairness_id,
            priority: labels.priority,
            error_code,
        };
        self.metrics.errors.get_or_create(&labels).inc();
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
        (0..times).for_each(|_| ttft.observe(first));
        if finished.streaming && 1 < finished.completion_tokens && first < whole {
            self.tpot.observe((whole - first) / (tokens - 1.0), times);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes and token counts are far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
