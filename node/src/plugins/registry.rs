//! Which plugins there are, and which are known from the picker that Convoy replaces.

use super::{
    ApiGroup, Plugin, approx_prefix_cache_producer, blocking_testing_filter,
    core_metrics_extractor, destination_endpoint_served_verifier, file_discovery,
    header_based_testing_filter, kv_cache_utilization_scorer, lora_affinity_scorer,
    max_score_picker, metrics_data_source, openai_parser, passthrough_parser, prefix_cache_scorer,
    queue_scorer, random_picker, running_requests_size_scorer, single_profile_handler,
    weighted_random_picker,
};
use crate::{
    document::{Fault, Mapping},
    notation::nearest,
};

/// How a plugin of one type is built.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// It takes no parameters.
    Plain(fn() -> Plugin),
    Read(fn(&mut Mapping<'_>) -> Result<Plugin, Fault>),
    /// Which parameters it takes depends on the group that the configuration is written in.
    ReadByGroup(fn(&mut Mapping<'_>, ApiGroup) -> Result<Plugin, Fault>),
}

/// Every type of plugin that a configuration can use.
pub const AVAILABLE: [(&str, Build); 18] = [
    (header_based_testing_filter::TYPE, Build::Plain(header_based_testing_filter::build)),
    (blocking_testing_filter::TYPE, Build::Read(blocking_testing_filter::build)),
    (queue_scorer::TYPE, Build::Plain(queue_scorer::build)),
    (running_requests_size_scorer::TYPE, Build::Plain(running_requests_size_scorer::build)),
    (kv_cache_utilization_scorer::TYPE, Build::Plain(kv_cache_utilization_scorer::build)),
    (prefix_cache_scorer::TYPE, Build::ReadByGroup(prefix_cache_scorer::build)),
    (lora_affinity_scorer::TYPE, Build::Plain(lora_affinity_scorer::build)),
    (max_score_picker::TYPE, Build::Read(max_score_picker::build)),
    (random_picker::TYPE, Build::Read(random_picker::build)),
    (weighted_random_picker::TYPE, Build::Read(weighted_random_picker::build)),
    (single_profile_handler::TYPE, Build::Plain(single_profile_handler::build)),
    (approx_prefix_cache_producer::TYPE, Build::Read(approx_prefix_cache_producer::build)),
    (metrics_data_source::TYPE, Build::Read(metrics_data_source::build)),
    (core_metrics_extractor::TYPE, Build::Read(core_metrics_extractor::build)),
    (file_discovery::TYPE, Build::Read(file_discovery::build)),
    (openai_parser::TYPE, Build::Plain(openai_parser::build)),
    (passthrough_parser::TYPE, Build::Plain(passthrough_parser::build)),
    (
        destination_endpoint_served_verifier::TYPE,
        Build::Plain(destination_endpoint_served_verifier::build),
    ),
];

/// Types that the picker that Convoy replaces has and this version has not.
const KNOWN_ELSEWHERE: [&str; 80] = [
    "active-request-scorer",
    "agent-identity",
    "always-disagg-multimodal-decider",
    "always-disagg-pd-decider",
    "anthropic-parser",
    "burst-prefix-cache-producer",
    "by-label",
    "by-label-selector",
    "concurrency-detector",
    "context-length-aware",
    "data-parallel-profile-handler",
    "dcgm-data-source",
    "dcgm-extractor",
    "decode-filter",
    "disagg-headers-handler",
    "disagg-profile-handler",
    "disaggregatedset-rollout-screener",
    "edf-ordering-policy",
    "encode-filter",
    "endpoint-attribute-filter",
    "endpoint-attribute-scorer",
    "endpoint-notification-source",
    "fcfs-ordering-policy",
    "global-strict-fairness-policy",
    "header-label-affinity-scorer",
    "header-profile-handler",
    "inflight-load-producer",
    "k8s-notification-source",
    "label-selector-filter",
    "latency-scorer",
    "latency-slo-admitter",
    "load-aware-scorer",
    "mm-embeddings-cache-producer",
    "mm-embeddings-cache-scorer",
    "models-data-extractor",
    "models-data-source",
    "multicluster-approx-prefix-cache-producer",
    "multicluster-file-discovery",
    "multicluster-kv-cache-utilization-scorer",
    "multicluster-metrics-data-source",
    "multicluster-metrics-extractor",
    "multicluster-prefix-cache-scorer",
    "multicluster-queue-scorer",
    "multicluster-session-affinity-filter",
    "no-hit-lru-scorer",
    "p2p-source-producer",
    "pd-profile-handler",
    "precise-prefix-cache-producer",
    "precise-prefix-cache-scorer",
    "predicted-latency-producer",
    "prefill-filter",
    "prefill-header-handler",
    "prefix-based-pd-decider",
    "prefix-cache-affinity-filter",
    "priority-holdback-policy",
    "priority-then-time-eviction-order-policy",
    "probabilistic-admitter",
    "program-aware-fairness",
    "request-attribute-reporter",
    "round-robin-fairness-policy",
    "session-affinity-filter",
    "session-affinity-scorer",
    "session-id-producer",
    "sglanghttp-parser",
    "sheddable-eviction-filter",
    "slo-deadline-ordering-policy",
    "slo-headroom-tier-filter",
    "soft-reflective-ceiling-policy",
    "static-usage-limit-policy",
    "token-load-scorer",
    "token-producer",
    "tokenizer",
    "topology-affinity-filter",
    "topology-affinity-scorer",
    "topology-extractor",
    "utilization-detector",
    "utilization-filter",
    "vertexai-parser",
    "vllmgrpc-parser",
    "vllmhttp-parser",
];

/// Why no plugin of a type can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAvailable {
    #[error("plugin type {0} of the picker that Convoy replaces is not available in this version")]
    Yet(String),
    #[error("there is no plugin type {written}")]
    Unknown { written: String, nearest: Option<&'static str> },
}

impl NotAvailable {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::Yet(_) => "remove it and every reference to it".to_owned(),
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::Unknown { nearest: None, .. } => {
                let types: Vec<_> = AVAILABLE.iter().map(|(plugin_type, _)| *plugin_type).collect();
                format!("the types are {}", types.join(", "))
            }
        }
    }
}

/// Finds how a plugin of `plugin_type` is built; answers with the registry's own spelling.
pub fn find(plugin_type: &str) -> Result<(&'static str, Build), NotAvailable> {
    if let Some(&found) = AVAILABLE.iter().find(|(known, _)| *known == plugin_type) {
        return Ok(found);
    }
    if KNOWN_ELSEWHERE.contains(&plugin_type) {
        return Err(NotAvailable::Yet(plugin_type.to_owned()));
    }
    let known = AVAILABLE.iter().map(|&(plugin_type, _)| plugin_type).chain(KNOWN_ELSEWHERE);
    let nearest = nearest(plugin_type, known);
    Err(NotAvailable::Unknown { written: plugin_type.to_owned(), nearest })
}
