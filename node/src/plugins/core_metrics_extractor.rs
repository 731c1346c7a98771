//! `core-metrics-extractor`: which series of a metrics page tell an endpoint's load, by engine.

use std::collections::BTreeMap;

use super::{MetricSpec, Plugin};
use crate::{
    document::{Fault, Mapping, Node},
    notation::nearest,
};

pub(super) const TYPE: &str = "core-metrics-extractor";

/// Endpoint labels that name the engine, in the order in which they are looked at.
const ENGINE_LABELS: [&str; 2] =
    ["llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type"];

/// The name that stands for the default engine, so no engine may take it.
const RESERVED_ENGINE: &str = "default";

/// Which series tell the load of one kind of engine. `None` or empty: the engine has no such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineMetrics {
    pub waiting_requests: Option<MetricSpec>,
    pub running_requests: Option<MetricSpec>,
    /// The first of these that is on the page counts.
    pub kv_used_ratio: Vec<MetricSpec>,
    /// Adapters stand in the labels; of several series the one with the highest value counts.
    pub lora: Option<MetricSpec>,
    pub cache: CacheInfo,
}

/// Where an engine tells the size of its cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheInfo {
    #[default]
    Untold,
    /// In the labels of one series.
    Labels { series: MetricSpec, block_tokens_label: String, blocks_label: String },
    /// As the values of two series.
    Values { block_tokens: Option<MetricSpec>, blocks: Option<MetricSpec> },
}

/// The engines of a pool and how an endpoint's labels tell which it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsExtractor {
    /// Looked at in order; the first that an endpoint carries names its engine.
    pub engine_labels: Vec<String>,
    /// What an endpoint runs that does not say, or names an engine that is not known.
    pub default_engine: String,
    pub engines: BTreeMap<String, EngineMetrics>,
}

impl Default for MetricsExtractor {
    fn default() -> Self {
        Self {
            engine_labels: ENGINE_LABELS.map(str::to_owned).into(),
            default_engine: "vllm".to_owned(),
            engines: known_engines(),
        }
    }
}

impl MetricsExtractor {
    /// The engine's metrics for an endpoint with these labels; `None` only if `engines` does not
    /// hold the default engine.
    pub fn engine_of(&self, labels: &BTreeMap<String, String>) -> Option<&EngineMetrics> {
        let told = self.engine_labels.iter().find_map(|label| labels.get(label));
        told.and_then(|engine| self.engines.get(engine))
            .or_else(|| self.engines.get(&self.default_engine))
    }
}

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    let mut extractor = MetricsExtractor::default();
    if let Some(label) = parameters.text("engineLabelKey")?.filter(|label| !label.is_empty())
        && label != ENGINE_LABELS[0]
    {
        extractor.engine_labels = vec![label.to_owned()];
    }
    let default_engine = parameters.text("defaultEngine")?.filter(|engine| !engine.is_empty());
    for node in parameters.list("engineConfigs")? {
        let mut engine = node.mapping()?;
        let name = engine.text("name")?.filter(|name| !name.is_empty());
        let name = engine.required("name", name, "the engine's name, such as vllm")?;
        if name == RESERVED_ENGINE {
            return Err(engine.refuse("name", "an engine's name (default is reserved)"));
        }
        extractor.engines.insert(name.to_owned(), engine_metrics(engine)?);
    }
    if let Some(engine) = default_engine {
        if !extractor.engines.contains_key(engine) {
            let known = || extractor.engines.keys().map(String::as_str);
            let expected = match nearest(engine, known()) {
                Some(nearest) => format!("an engine that is known (did you mean {nearest}?)"),
                None => format!("one of {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(parameters.refuse("defaultEngine", expected));
        }
        engine.clone_into(&mut extractor.default_engine);
    }
    Ok(Plugin::MetricsExtractor(extractor))
}

/// Reads one entry of `engineConfigs`. What it leaves out, the engine does not have.
fn engine_metrics(mut engine: Mapping<'_>) -> Result<EngineMetrics, Fault> {
    let series = spec(engine.node("cacheInfoSpec"))?;
    let block_tokens_label = engine.text("cacheBlockSizeLabelName")?.unwrap_or_default();
    let blocks_label = engine.text("cacheNumBlocksLabelName")?.unwrap_or_default();
    let block_tokens = spec(engine.node("cacheBlockSizeSpec"))?;
    let blocks = spec(engine.node("cacheNumBlocksSpec"))?;
    let or = |label: &str, default: &str| {
        if label.is_empty() { default.to_owned() } else { label.to_owned() }
    };
    let cache = match series {
        Some(series) => CacheInfo::Labels {
            series,
            block_tokens_label: or(block_tokens_label, "block_size"),
            blocks_label: or(blocks_label, "num_gpu_blocks"),
        },
        None if block_tokens.is_some() || blocks.is_some() => {
            CacheInfo::Values { block_tokens, blocks }
        }
        None => CacheInfo::Untold,
    };
    let metrics = EngineMetrics {
        waiting_requests: spec(engine.node("queuedRequestsSpec"))?,
        running_requests: spec(engine.node("runningRequestsSpec"))?,
        kv_used_ratio: spec(engine.node("kvUsageSpec"))?.into_iter().collect(),
        lora: spec(engine.node("loraSpec"))?,
        cache,
    };
    engine.finish()?;
    Ok(metrics)
}

/// Reads a series; an empty text means that the engine has no such series.
fn spec(node: Option<Node<'_>>) -> Result<Option<MetricSpec>, Fault> {
    let Some(node) = node else { return Ok(None) };
    let text = node.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let expected = "a metric, as name or name{label=value}";
    MetricSpec::from_text(text).map(Some).ok_or_else(|| node.refuse(expected))
}

/// The engines that are known without configuration.
fn known_engines() -> BTreeMap<String, EngineMetrics> {
    let named = |name: &str| Some(MetricSpec::named(name));
    let labels = |series: &str, block_tokens_label: &str, blocks_label: &str| CacheInfo::Labels {
        series: MetricSpec::named(series),
        block_tokens_label: block_tokens_label.to_owned(),
        blocks_label: blocks_label.to_owned(),
    };
    let vllm = EngineMetrics {
        waiting_requests: named("vllm:num_requests_waiting"),
        running_requests: named("vllm:num_requests_running"),
        // The second is what vLLM called it until v0.10.
        kv_used_ratio: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"]
            .map(MetricSpec::named)
            .into(),
        lora: named("vllm:lora_requests_info"),
        cache: labels("vllm:cache_config_info", "block_size", "num_gpu_blocks"),
    };
    let sglang = EngineMetrics {
        waiting_requests: named("sglang:num_queue_reqs"),
        running_requests: named("sglang:num_running_reqs"),
        kv_used_ratio: vec![MetricSpec::named("sglang:token_usage")],
        lora: None,
        cache: labels("sglang:cache_config_info", "page_size", "num_pages"),
    };
    let trtllm = EngineMetrics {
        waiting_requests: named("trtllm_num_requests_waiting"),
        running_requests: named("trtllm_num_requests_running"),
        kv_used_ratio: vec![MetricSpec::named("trtllm_kv_cache_utilization")],
        lora: None,
        cache: CacheInfo::Values {
            block_tokens: named("trtllm_kv_cache_tokens_per_block"),
            blocks: named("trtllm_kv_cache_max_blocks"),
        },
    };
    let triton = EngineMetrics {
        waiting_requests: named("nv_inference_pending_request_count"),
        running_requests: named("nv_inference_exec_count"),
        ..EngineMetrics::default()
    };
    [
        ("vllm", vllm),
        ("sglang", sglang),
        ("trtllm-serve", trtllm),
        ("triton-tensorrt-llm", triton_tensorrt_llm()),
        ("triton", triton),
    ]
    .map(|(name, metrics)| (name.to_owned(), metrics))
    .into()
}

/// Triton with the TensorRT-LLM backend tells its load in the labels of two families.
fn triton_tensorrt_llm() -> EngineMetrics {
    let labelled = |name: &str, label: &str, value: &str| MetricSpec {
        name: name.to_owned(),
        labels: [(label.to_owned(), value.to_owned())].into(),
    };
    let requests = |value| labelled("nv_trt_llm_request_metrics", "request_type", value);
    let cache = |value| labelled("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", value);
    EngineMetrics {
        waiting_requests: Some(requests("waiting")),
        running_requests: Some(requests("scheduled")),
        kv_used_ratio: vec![cache("fraction")],
        lora: None,
        cache: CacheInfo::Values {
            block_tokens: Some(cache("tokens_per")),
            blocks: Some(cache("max")),
        },
    }
}
