//! What is counted of picks: how long they took, what they chose, what the prefix index knew.

use std::{
    collections::BTreeSet,
    fmt::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::Gauge,
    },
    registry::Registry,
};

use super::{
    buckets, catalogue::Catalogue, current, current_help, current_name, histogram::Histogram,
    labels::OTHER, legacy, legacy_help,
};
use crate::endpoints::Endpoint;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    extension_point: String,
    plugin_type: String,
    plugin_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct AttemptLabels {
    status: &'static str,
    target_model_name: String,
    endpoint_name: String,
    namespace: String,
    port: String,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct LegacyAttemptLabels {
    status: &'static str,
    target_model_name: String,
    pod_name: String,
    namespace: String,
    port: String,
}

/// Attempts are counted per model and endpoint, so their series are bounded here. Beyond it models
/// are counted together, and beyond twice that endpoints too.
const ATTEMPT_SERIES_MAX: usize = 20_000;

/// Every metric of picks. Cloned handles count together.
#[derive(Clone, Debug)]
pub struct PickMetrics {
    duration: Histogram,
    request_processing: Histogram,
    plugins: Family<PluginLabels, Histogram, buckets::New>,
    attempts: Arc<AllAttempts>,
    hit_ratio: Histogram,
    hit_bytes: Histogram,
    index_size: Gauge,
    moved: Counter,
}

#[derive(Debug)]
struct AllAttempts {
    catalogue: Catalogue<AttemptLabels, AtomicU64>,
    /// Those that are shown. Nobody who serves requests takes it.
    shown: Mutex<BTreeSet<AttemptLabels>>,
}

impl PickMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: buckets::pick(),
            request_processing: buckets::request_processing(),
            plugins: Family::new_with_constructor(buckets::pick),
            attempts: Arc::new(AllAttempts {
                catalogue: Catalogue::new(AttemptLabels::other()),
                shown: Mutex::default(),
            }),
            hit_ratio: buckets::ratio(),
            hit_bytes: buckets::hit_bytes(),
            index_size: Gauge::default(),
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
        legacy(registry, &old, name, help, self.duration.clone());
        let help = "Time from a request's first message to its pick, in seconds.";
        let name = "request_processing_duration_seconds";
        current(registry, name, help, self.request_processing.clone());
        let help = "Time each plugin took, in seconds.";
        let name = "plugin_duration_seconds";
        current(registry, name, help, self.plugins.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.plugins.clone());
        registry.register_collector(Box::new(self.clone()));
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
        legacy(registry, &old, name, help, self.index_size.clone());
        let help = "Share of the prompt's blocks that the picked endpoint is believed to hold.";
        let name = "prefix_indexer_hit_ratio";
        current(registry, name, help, self.hit_ratio.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.hit_ratio.clone());
        let help = "Prompt bytes that the picked endpoint is believed to hold.";
        let name = "prefix_indexer_hit_bytes";
        current(registry, name, help, self.hit_bytes.clone());
        let old = format!("inference_extension_{name}");
        legacy(registry, &old, name, help, self.hit_bytes.clone());
    }

    /// Notes how long ago the first message came of a request that was just picked for.
    pub fn processed(&self, duration: Duration) {
        self.request_processing.observe(duration.as_secs_f64(), 1);
    }

    /// A pick took `duration`.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64(), 1);
    }

    /// The picked endpoint is believed to hold `matched` of `blocks` blocks of `block_bytes`.
    pub fn matched(&self, matched: u32, blocks: u32, block_bytes: u32) {
        let ratio = f64::from(matched) / f64::from(blocks.max(1));
        let bytes = f64::from(matched) * f64::from(block_bytes);
        self.hit_ratio.observe(ratio, 1);
        self.hit_bytes.observe(bytes, 1);
    }

    pub fn index_holds(&self, memberships: u64) {
        self.index_size.set(i64::try_from(memberships).unwrap_or(i64::MAX));
    }

    /// The gateway did not obey a pick.
    pub fn moved(&self) {
        self.moved.inc();
    }

    /// What one thread counts picks for `target_model` on `endpoint`, or on none, by. Making one waits
    /// for nobody.
    pub fn attempts(&self, target_model: &str, endpoint: Option<&Endpoint>) -> Attempts {
        let status = if endpoint.is_some() { "success" } else { "failure" };
        let (endpoint_name, namespace, port) = endpoint.map_or_else(Default::default, |endpoint| {
            let key = &endpoint.key;
            (key.name.clone(), key.namespace.clone(), key.address.port().to_string())
        });
        let target_model_name = target_model.to_owned();
        let labels = AttemptLabels { status, target_model_name, endpoint_name, namespace, port };
        Attempts(self.attempts.catalogue.series(labels))
    }

    /// Takes in what attempts are counted by. To be called every now and then.
    pub fn take_in(&self) {
        let mut shown = self.attempts.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.attempts.catalogue.take_in(|labels| bounded(&mut shown, labels));
    }

    /// Handles for the time that one plugin takes at one extension point.
    pub fn plugin(&self, extension_point: &str, kind: &str, name: &str) -> PluginTimings {
        let labels = PluginLabels {
            extension_point: extension_point.to_owned(),
            plugin_type: kind.to_owned(),
            plugin_name: name.to_owned(),
        };
        PluginTimings(self.plugins.get_or_create_owned(&labels))
    }
}

impl AttemptLabels {
    fn other() -> Self {
        Self {
            status: "unknown",
            target_model_name: OTHER.to_owned(),
            endpoint_name: String::new(),
            namespace: String::new(),
            port: String::new(),
        }
    }
}

/// The labels under which attempts of `labels` are counted.
fn bounded(shown: &mut BTreeSet<AttemptLabels>, mut labels: AttemptLabels) -> AttemptLabels {
    if ATTEMPT_SERIES_MAX <= shown.len() && !shown.contains(&labels) {
        OTHER.clone_into(&mut labels.target_model_name);
        if ATTEMPT_SERIES_MAX * 2 <= shown.len() && !shown.contains(&labels) {
            return AttemptLabels::other();
        }
    }
    shown.insert(labels.clone());
    labels
}

/// Shows attempts, under their current name and the one before that.
impl Collector for PickMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.take_in();
        let sums = self.attempts.catalogue.sums();
        if sums.is_empty() {
            return Ok(());
        }
        let help = "Attempts to pick, by outcome and endpoint";
        let (name, successor) = ("scheduler_attempts", "scheduler_attempts_total");
        let text = format!("{}.", current_help(help));
        let kind = MetricType::Counter;
        let new = current_name(name);
        let mut family = encoder.encode_descriptor(&new, &text, None, kind)?;
        for (labels, sum) in &sums {
            let count = ConstCounter::new(sum.load(Ordering::Relaxed));
            count.encode(family.encode_family(labels)?)?;
        }
        let old = format!("inference_extension_{name}");
        let text = format!("{}.", legacy_help(successor, help));
        let mut family = encoder.encode_descriptor(&old, &text, None, kind)?;
        for (labels, sum) in sums {
            let AttemptLabels { status, target_model_name, endpoint_name, namespace, port } =
                labels;
            let pod_name = endpoint_name;
            let labels =
                LegacyAttemptLabels { status, target_model_name, pod_name, namespace, port };
            let count = ConstCounter::new(sum.load(Ordering::Relaxed));
            count.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Counts attempts with one outcome.
#[derive(Clone, Debug)]
pub struct Attempts(Arc<AtomicU64>);

impl Attempts {
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Observes the time that one plugin takes.
#[derive(Clone, Debug)]
pub struct PluginTimings(Histogram);

impl PluginTimings {
    pub fn took(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_together_beyond_their_bound() {
        let mut shown = BTreeSet::new();
        let labels = |model: usize, endpoint: usize| AttemptLabels {
            status: "success",
            target_model_name: model.to_string(),
            endpoint_name: endpoint.to_string(),
            ..AttemptLabels::other()
        };
        for model in 0..ATTEMPT_SERIES_MAX {
            assert_eq!(bounded(&mut shown, labels(model, 0)), labels(model, 0));
        }
        let beyond = bounded(&mut shown, labels(ATTEMPT_SERIES_MAX, 1));
        assert_eq!((&*beyond.target_model_name, &*beyond.endpoint_name), (OTHER, "1"));
        for endpoint in 0..2 * ATTEMPT_SERIES_MAX {
            bounded(&mut shown, labels(ATTEMPT_SERIES_MAX, endpoint));
        }
        assert_eq!(shown.len(), 2 * ATTEMPT_SERIES_MAX);
        assert_eq!(bounded(&mut shown, labels(3, 0)), labels(3, 0));
        let last = bounded(&mut shown, labels(3, 3 * ATTEMPT_SERIES_MAX));
        assert_eq!(last, AttemptLabels::other());
    }
}
