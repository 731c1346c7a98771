//! Gauges of the pool, computed from the view whenever the metrics page is read.
//!
//! Only what is fresh counts: a load that is too old is unknown, and an average of nothing is left
//! out instead of repeating its last value.

use std::{
    fmt::Error,
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    published::PublishedView,
    view::{Load, Member, View},
};
use crate::clock;

/// The pool's gauges, under the current names and the ones before those.
#[derive(Debug)]
pub struct Gauges {
    pub view: PublishedView,
    /// The label `name` of every gauge.
    pub pool: String,
    /// Older loads are unknown.
    pub load_age_max: Duration,
}

impl Gauges {
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

/// What a gauge is called: its name before `llm_d_epp_`, its current name, and what it tells.
struct Named {
    legacy: Option<&'static str>,
    current: &'static str,
    help: &'static str,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let view = self.view.load();
        let fresh = Fresh::of(&view, clock::now(), self.load_age_max);
        for (named, value) in fresh.summary() {
            if let Some(value) = value {
                self.encode_one(&mut encoder, &named, value)?;
            }
        }
        let queues = [
            ("inference_pool_per_pod_queue_size", "model_server_pod", "pod"),
            ("llm_d_epp_per_endpoint_queue_size", "model_server_endpoint", "endpoint"),
        ];
        for (name, label, each) in queues {
            let help = format!(
                "[ALPHA] The total number of requests pending in the model server queue for each \
                 underlying {each}."
            );
            let mut family = encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?;
            for (member, load) in &fresh.0 {
                if let Some(waiting) = load.waiting_requests {
                    let endpoint = member.endpoint.key.name.as_str();
                    let labels = [("name", self.pool.as_str()), (label, endpoint)];
                    let gauge = ConstGauge::new(i64::from(waiting));
                    gauge.encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Gauges {
    fn encode_one(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        named: &Named,
        value: f64,
    ) -> Result<(), Error> {
        let Named { legacy, current, help } = named;
        let labels = [("name", self.pool.as_str())];
        let current_name = format!("llm_d_epp_{current}");
        if let Some(legacy) = legacy {
            let help = format!("[ALPHA] [Deprecated: Use {current_name}] {help}");
            let mut family = encoder.encode_descriptor(legacy, &help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        let help = format!("[ALPHA] {help}");
        let mut family =
            encoder.encode_descriptor(&current_name, &help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family.encode_family(&labels)?)
    }
}

/// The ready endpoints whose load is known.
struct Fresh<'v>(Vec<(&'v Member, &'v Load)>);

impl<'v> Fresh<'v> {
    fn of(view: &'v View, now: Instant, load_age_max: Duration) -> Self {
        let fresh = |member: &'v Member| Some((member, member.load(now, load_age_max)?));
        Self(view.members.iter().filter(|member| member.ready).filter_map(fresh).collect())
    }

    fn summary(&self) -> [(Named, Option<f64>); 7] {
        let kv = Spread::of(self.0.iter().filter_map(|(_, load)| load.kv_used_ratio));
        let known = |count: fn(&Load) -> Option<u32>| {
            Spread::of(self.0.iter().filter_map(|(_, load)| count(load).map(f64::from)))
        };
        let waiting = known(|load| load.waiting_requests);
        let running = known(|load| load.running_requests);
        #[expect(clippy::cast_precision_loss, reason = "pools are far smaller than 2^52")]
        let ready = self.0.len() as f64;
        let mean = |spread: &Option<Spread>| spread.as_ref().map(|spread| spread.mean);
        let deviation = |spread: &Option<Spread>| spread.as_ref().map(|spread| spread.deviation);
        let named = |legacy, current, help| Named { legacy, current, help };
        [
            (
                named(
                    Some("inference_pool_average_kv_cache_utilization"),
                    "average_kv_cache_utilization",
                    "The average kv cache utilization for an inference server pool.",
                ),
                mean(&kv),
            ),
            (
                named(
                    Some("inference_pool_average_queue_size"),
                    "average_queue_size",
                    "The average number of requests pending in the model server queue.",
                ),
                mean(&waiting),
            ),
            (
                named(
                    Some("inference_pool_average_running_requests"),
                    "average_running_requests",
                    "The average number of running requests across model servers in the pool.",
                ),
                mean(&running),
            ),
            (
                named(
                    None,
                    "std_dev_kv_cache_utilization",
                    "How far kv cache utilization differs between model servers of the pool.",
                ),
                deviation(&kv),
            ),
            (
                named(
                    None,
                    "std_dev_queue_size",
                    "How far queue sizes differ between model servers of the pool.",
                ),
                deviation(&waiting),
            ),
            (
                named(
                    None,
                    "std_dev_running_requests",
                    "How far running requests differ between model servers of the pool.",
                ),
                deviation(&running),
            ),
            (
                named(
                    Some("inference_pool_ready_pods"),
                    "ready_endpoints",
                    "The number of ready endpoints in the inference server pool.",
                ),
                Some(ready),
            ),
        ]
    }
}

/// Mean and sample standard deviation, to two decimals as in the picker replaced.
#[derive(Debug, PartialEq)]
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let count = values.clone().count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "pools are far smaller than 2^52")]
        let size = count as f64;
        let mean = values.clone().sum::<f64>() / size;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let deviation = (squares / (size - 1.0).max(1.0)).sqrt();
        Some(Self { mean: rounded(mean), deviation: rounded(deviation) })
    }
}

#[cfg(test)]
mod tests;
