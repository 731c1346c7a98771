//! What is counted of picks: how long they took, what they chose, what the prefix index knew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{buckets, current, legacy};
use crate::endpoints::Endpoint;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    extension_point: String,
    plugin_type: String,
    plugin_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    status: &'static str,
    target_model_name: String,
    endpoint_name: String,
    namespace: String,
    port: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegacyAttemptLabels {
    status: &'static str,
    target_model_name: String,
    pod_name: String,
    namespace: String,
    port: String,
}

/// Attempts are counted per model and endpoint, so their series are bounded here.
const ATTEMPT_SERIES_MAX: i64 = 20_000;

/// Every metric of picks. Cloned handles count together.
#[derive(Clone, Debug)]
pub struct PickMetrics {
    duration: Histogram,
    legacy_duration: Histogram,
    request_processing: Histogram,
    plugins: Family<PluginLabels, Histogram, buckets::New>,
    legacy_plugins: Family<PluginLabels, Histogram, buckets::New>,
    attempts: Family<AttemptLabels, Counter>,
    legacy_attempts: Family<LegacyAttemptLabels, Counter>,
    attempt_series: Arc<AtomicI64>,
    hit_ratio: Histogram,
    legacy_hit_ratio: Histogram,
    hit_bytes: Histogram,
    legacy_hit_bytes: Histogram,
    index_size: Gauge,
    legacy_index_size: Gauge,
    moved: Counter,
}

impl PickMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: buckets::pick(),
            legacy_duration: buckets::pick(),
            request_processing: buckets::request_processing(),
            plugins: Family::new_with_constructor(buckets::pick),
            legacy_plugins: Family::new_with_constructor(buckets::pick),
            attempts: Family::default(),
            legacy_attempts: Family::default(),
            attempt_series: Arc::default(),
            hit_ratio: buckets::ratio(),
            legacy_hit_ratio: buckets::ratio(),
            hit_bytes: buckets::hit_bytes(),
            legacy_hit_bytes: buckets::hit_bytes(),
            index_size: Gauge::default(),
            legacy_index_size: Gauge::default(),
            moved: Counter::default(),
        };
        metrics.register_scheduling(registry);
        metrics.register_prefixes(registry);
        metrics
    }

    fn register_scheduling(&self, registry: &mut Registry) {
        let help = "Time a pick took, in seconds.";
        let name = "scheduler_e2e_duration_seconds";
        current(registry, name, help, self.duration.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.legacy_duration.clone());
        let help = "Time from a request's first message to its pick, in seconds.";
        let name = "request_processing_duration_seconds";
        current(registry, name, help, self.request_processing.clone());
        let help = "Time each plugin took, in seconds.";
        let name = "plugin_duration_seconds";
        current(registry, name, help, self.plugins.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.legacy_plugins.clone());
        let help = "Attempts to pick, by outcome and endpoint.";
        current(registry, "scheduler_attempts", help, self.attempts.clone());
        let old = "inference_extension_scheduler_attempts";
        let name = "scheduler_attempts_total";
        legacy(registry, old, name, help, self.legacy_attempts.clone());
        registry.register(
            "convoy_picks_not_obeyed",
            "Requests that the gateway sent to another endpoint than the one picked",
            self.moved.clone(),
        );
    }

    fn register_prefixes(&self, registry: &mut Registry) {
        let help = "Holdings (block and endpoint) in the prefix index.";
        let name = "prefix_indexer_size";
        current(registry, name, help, self.index_size.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.legacy_index_size.clone());
        let help = "Share of the prompt's blocks that the picked endpoint is believed to hold.";
        let name = "prefix_indexer_hit_ratio";
        current(registry, name, help, self.hit_ratio.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.legacy_hit_ratio.clone());
        let help = "Prompt bytes that the picked endpoint is believed to hold.";
        let name = "prefix_indexer_hit_bytes";
        current(registry, name, help, self.hit_bytes.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.legacy_hit_bytes.clone());
    }

    /// Notes how long ago the first message came of a request that was just picked for.
    pub fn processed(&self, duration: Duration) {
        self.request_processing.observe(duration.as_secs_f64());
    }

    /// A pick took `duration`.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
        self.legacy_duration.observe(duration.as_secs_f64());
    }

    /// The picked endpoint is believed to hold `matched` of `blocks` blocks of `block_bytes`.
    pub fn matched(&self, matched: u32, blocks: u32, block_bytes: u32) {
        let ratio = f64::from(matched) / f64::from(blocks.max(1));
        let bytes = f64::from(matched) * f64::from(block_bytes);
        self.hit_ratio.observe(ratio);
        self.legacy_hit_ratio.observe(ratio);
        self.hit_bytes.observe(bytes);
        self.legacy_hit_bytes.observe(bytes);
    }

    pub fn index_holds(&self, memberships: u64) {
        let memberships = i64::try_from(memberships).unwrap_or(i64::MAX);
        self.index_size.set(memberships);
        self.legacy_index_size.set(memberships);
    }

    /// The gateway did not obey a pick.
    pub fn moved(&self) {
        self.moved.inc();
    }

    /// Handles for the outcome of picks for `target_model` on `endpoint`, or on none.
    pub fn attempts(&self, target_model: &str, endpoint: Option<&Endpoint>) -> Attempts {
        let over = ATTEMPT_SERIES_MAX <= self.attempt_series.fetch_add(1, Ordering::Relaxed);
        let target_model_name = if over { "other" } else { target_model }.to_owned();
        let status = if endpoint.is_some() { "success" } else { "failure" };
        let (endpoint_name, namespace, port) = endpoint.map_or_else(Default::default, |endpoint| {
            let key = &endpoint.key;
            (key.name.clone(), key.namespace.clone(), key.address.port().to_string())
        });
        let legacy = LegacyAttemptLabels {
            status,
            target_model_name: target_model_name.clone(),
            pod_name: endpoint_name.clone(),
            namespace: namespace.clone(),
            port: port.clone(),
        };
        let labels = AttemptLabels { status, target_model_name, endpoint_name, namespace, port };
        Attempts {
            current: self.attempts.get_or_create_owned(&labels),
            legacy: self.legacy_attempts.get_or_create_owned(&legacy),
        }
    }

    /// Handles for the time that one plugin takes at one extension point.
    pub fn plugin(&self, extension_point: &str, kind: &str, name: &str) -> PluginTimings {
        let labels = PluginLabels {
            extension_point: extension_point.to_owned(),
            plugin_type: kind.to_owned(),
            plugin_name: name.to_owned(),
        };
        PluginTimings {
            current: self.plugins.get_or_create_owned(&labels),
            legacy: self.legacy_plugins.get_or_create_owned(&labels),
        }
    }
}

/// Counts attempts with one outcome.
#[derive(Clone, Debug)]
pub struct Attempts {
    current: Counter,
    legacy: Counter,
}

impl Attempts {
    pub fn count(&self) {
        self.current.inc();
        self.legacy.inc();
    }
}

/// Observes the time that one plugin takes.
#[derive(Clone, Debug)]
pub struct PluginTimings {
    current: Histogram,
    legacy: Histogram,
}

impl PluginTimings {
    pub fn took(&self, duration: Duration) {
        self.current.observe(duration.as_secs_f64());
        self.legacy.observe(duration.as_secs_f64());
    }
}
