//! What is counted of each request: its sizes, tokens, durations and errors.

use std::{
    collections::BTreeMap,
    fmt::Error,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, TypedMetric as _, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    catalogue::{Catalogue, Series as _},
    current_help, current_name,
    histogram::Histogram,
    labels::{Cap, Labels},
    legacy_help,
    recorder::{Failure, Recorder},
};

/// A histogram's names, and where a [`Recorder`] has it.
struct Distribution {
    current: &'static str,
    /// Its name before that, after `inference_objective_`.
    legacy: Option<&'static str>,
    help: &'static str,
    of: fn(&Recorder) -> &Histogram,
}

const DISTRIBUTIONS: [Distribution; 9] = [
    Distribution {
        current: "request_duration_seconds",
        legacy: Some("request_duration_seconds"),
        help: "End-to-end request latency distribution in seconds",
        of: |recorder| &recorder.duration,
    },
    Distribution {
        current: "request_size_bytes",
        legacy: Some("request_sizes"),
        help: "Incoming request body size distribution in bytes",
        of: |recorder| &recorder.request_bytes,
    },
    Distribution {
        current: "response_size_bytes",
        legacy: Some("response_sizes"),
        help: "Outgoing response body size distribution in bytes",
        of: |recorder| &recorder.response_bytes,
    },
    Distribution {
        current: "request_input_tokens",
        legacy: Some("input_tokens"),
        help: "Input token count distribution per request",
        of: |recorder| &recorder.input_tokens,
    },
    Distribution {
        current: "request_output_tokens",
        legacy: Some("output_tokens"),
        help: "Output token count distribution per request",
        of: |recorder| &recorder.output_tokens,
    },
    Distribution {
        current: "request_cached_tokens",
        legacy: Some("prompt_cached_tokens"),
        help: "Prompt tokens read from cache per request, as the model server reports them",
        of: |recorder| &recorder.cached_tokens,
    },
    Distribution {
        current: "request_ntpot_seconds",
        legacy: Some("normalized_time_per_output_token_seconds"),
        help: "End-to-end latency divided by the number of output tokens, in seconds",
        of: |recorder| &recorder.ntpot,
    },
    Distribution {
        current: "request_streaming_tpot_seconds",
        legacy: None,
        help: "Time per output token after the first in seconds, for streamed responses",
        of: |recorder| &recorder.tpot,
    },
    Distribution {
        current: "request_streaming_itl_seconds",
        legacy: None,
        help: "Time between consecutive response body chunks in seconds, for streamed responses",
        of: |recorder| &recorder.itl,
    },
];

const TOTAL: &str = "Requests picked for";
const ERRORS: &str = "Requests refused, and responses of model servers other than 200";
const RUNNING: &str = "Requests running";
const TTFT: &str = "Time from the request's headers to the first byte of the response's body";

/// Every metric of requests. Clones count together.
#[derive(Clone, Debug)]
pub struct RequestMetrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    catalogue: Catalogue<Labels, Recorder>,
    /// Nobody who serves requests takes it.
    cap: Mutex<Cap>,
}

impl RequestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let (catalogue, cap) = (Catalogue::new(Labels::other()), Mutex::default());
        let metrics = Self(Arc::new(Shared { catalogue, cap }));
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// What one thread counts requests with these values by. Making one costs some microseconds, and
    /// waits for nobody.
    pub fn recorder(&self, model: &str, target: &str, fairness_id: &str) -> Arc<Recorder> {
        self.0.catalogue.series(Labels::new(model, target, fairness_id))
    }

    /// Takes in the recorders that were made. To be called every now and then.
    pub fn take_in(&self) {
        let mut cap = self.0.cap.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.catalogue.take_in(|labels| cap.bounded(&labels));
    }
}

impl Collector for RequestMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.take_in();
        let sums = self.0.catalogue.sums();
        if sums.is_empty() {
            return Ok(());
        }
        let mut page = Page { encoder };
        page.current(&sums)?;
        page.legacy(&sums)
    }
}

struct Page<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Page<'_> {
    fn current(&mut self, sums: &[(Labels, Recorder)]) -> Result<(), Error> {
        self.counts(&Named::current("request", TOTAL), sums, Recorder::total)?;
        let errors = sums.iter().flat_map(|(labels, sum)| {
            sum.failed_by_code().map(move |(code, count)| ((labels, code).into(), count))
        });
        self.counters::<ErrorLabels>(&Named::current("request_error", ERRORS), errors)?;
        let running = sums.iter().map(|(labels, sum)| (labels.clone(), sum.running()));
        self.gauges(&Named::current("request_running", RUNNING), running)?;
        let ttft = sums.iter().flat_map(|(labels, sum)| {
            let both = [("true", &sum.ttft_streaming), ("false", &sum.ttft_whole)];
            both.map(|(streaming, ttft)| (StreamingLabels::from((labels, streaming)), ttft))
        });
        self.histograms(&Named::current("request_ttft_seconds", TTFT), ttft)?;
        for Distribution { current, help, of, .. } in &DISTRIBUTIONS {
            let rows = sums.iter().map(|(labels, sum)| (labels.clone(), of(sum)));
            self.histograms(&Named::current(current, help), rows)?;
        }
        Ok(())
    }

    /// The same under older names, which have fewer labels.
    fn legacy(&mut self, sums: &[(Labels, Recorder)]) -> Result<(), Error> {
        let named = |name, successor, help| {
            Named::legacy(&format!("inference_objective_{name}"), successor, help)
        };
        let by_priority = grouped(sums, |labels| LegacyTotalLabels {
            model_name: labels.model_name.clone(),
            target_model_name: labels.target_model_name.clone(),
            priority: labels.priority.clone(),
        });
        self.counts(&named("request", "request_total", TOTAL), &by_priority, Recorder::total)?;
        let sums_by_model =
            grouped(sums, |labels| ModelLabels { model_name: labels.model_name.clone() });
        let running = sums_by_model.iter().map(|(labels, sum)| (labels.clone(), sum.running()));
        self.gauges(&named("running_requests", "request_running", RUNNING), running)?;
        let sums = grouped(sums, Labels::legacy);
        let errors = sums.iter().flat_map(|(labels, sum)| {
            sum.failed_by_code().map(|(error_code, count)| {
                let labels = labels.clone();
                let (model_name, target_model_name) = (labels.model_name, labels.target_model_name);
                (LegacyErrorLabels { model_name, target_model_name, error_code }, count)
            })
        });
        self.counters(&named("request_error", "request_error_total", ERRORS), errors)?;
        for Distribution { current, legacy, help, of } in &DISTRIBUTIONS {
            if let Some(legacy) = legacy {
                let rows = sums.iter().map(|(labels, sum)| (labels.clone(), of(sum)));
                self.histograms(&named(legacy, current, help), rows)?;
            }
        }
        Ok(())
    }

    fn counts<L: EncodeLabelSet + Clone>(
        &mut self,
        named: &Named,
        sums: &[(L, Recorder)],
        count: fn(&Recorder) -> u64,
    ) -> Result<(), Error> {
        self.counters(named, sums.iter().map(|(labels, sum)| (labels.clone(), count(sum))))
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        named: &Named,
        rows: impl Iterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let rows = rows.map(|(labels, count)| (labels, ConstCounter::new(count)));
        self.rows(named, MetricType::Counter, rows)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        named: &Named,
        rows: impl Iterator<Item = (L, i64)>,
    ) -> Result<(), Error> {
        let rows = rows.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.rows(named, MetricType::Gauge, rows)
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        named: &Named,
        rows: impl Iterator<Item = (L, &'h Histogram)>,
    ) -> Result<(), Error> {
        self.rows(named, Histogram::TYPE, rows.map(|(labels, found)| (labels, found.clone())))
    }

    fn rows<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        Named { name, help }: &Named,
        kind: MetricType,
        rows: impl Iterator<Item = (L, M)>,
    ) -> Result<(), Error> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in rows {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What a metric is called, and what it tells.
struct Named {
    name: String,
    help: String,
}

impl Named {
    fn current(name: &str, help: &str) -> Self {
        Self { name: current_name(name), help: format!("{}.", current_help(help)) }
    }

    fn legacy(name: &str, successor: &str, help: &str) -> Self {
        Self { name: name.to_owned(), help: format!("{}.", legacy_help(successor, help)) }
    }
}

/// Sums by fewer labels.
fn grouped<L: Ord>(
    sums: &[(Labels, Recorder)],
    labels: impl Fn(&Labels) -> L,
) -> Vec<(L, Recorder)> {
    let mut groups: BTreeMap<L, Recorder> = BTreeMap::new();
    for (own, sum) in sums {
        groups.entry(labels(own)).or_insert_with(Recorder::empty).add(sum);
    }
    groups.into_iter().collect()
}

impl Recorder {
    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn running(&self) -> i64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Those that happened, with how often.
    fn failed_by_code(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failures.iter().map(|count| count.load(Ordering::Relaxed));
        let counts = Failure::ALL.iter().map(|failure| failure.code()).zip(counts);
        counts.filter(|(_, count)| 0 < *count)
    }
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct ErrorLabels {
    model_name: String,
    target_model_name: String,
    fairness_id: String,
    priority: String,
    error_code: &'static str,
}

impl From<(&Labels, &'static str)> for ErrorLabels {
    fn from((labels, error_code): (&Labels, &'static str)) -> Self {
        let Labels { model_name, target_model_name, fairness_id, priority } = labels.clone();
        Self { model_name, target_model_name, fairness_id, priority, error_code }
    }
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct StreamingLabels {
    model_name: String,
    target_model_name: String,
    fairness_id: String,
    priority: String,
    streaming: &'static str,
}

impl From<(&Labels, &'static str)> for StreamingLabels {
    fn from((labels, streaming): (&Labels, &'static str)) -> Self {
        let Labels { model_name, target_model_name, fairness_id, priority } = labels.clone();
        Self { model_name, target_model_name, fairness_id, priority, streaming }
    }
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct LegacyErrorLabels {
    model_name: String,
    target_model_name: String,
    error_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct LegacyTotalLabels {
    model_name: String,
    target_model_name: String,
    priority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ModelLabels {
    model_name: String,
}
