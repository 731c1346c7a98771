//! The plugins that a configuration can name, one file each, and their registry.
//!
//! A plugin's file holds its type name, how it is built from its parameters, and what it does. To
//! add one, write its file and add a line to [`AVAILABLE`].

mod registry;

mod blocking_testing_filter;
mod header_based_testing_filter;

mod fewest;
mod kv_cache_utilization_scorer;
mod lora_affinity_scorer;
mod prefix_cache_scorer;
mod queue_scorer;
mod running_requests_size_scorer;

mod max_score_picker;
mod random_picker;
mod weighted_random_picker;

mod single_profile_handler;

mod approx_prefix_cache_producer;
mod core_metrics_extractor;
mod destination_endpoint_served_verifier;
mod file_discovery;
mod metric_spec;
mod metrics_data_source;
mod openai_parser;
mod passthrough_parser;

use std::sync::Arc;

pub use approx_prefix_cache_producer::{PrefixProducer, PrefixSettings};
pub use core_metrics_extractor::{CacheInfo, EngineMetrics, MetricsExtractor};
pub use file_discovery::FileDiscovery;
pub use max_score_picker::default_picker;
pub use metric_spec::MetricSpec;
pub use metrics_data_source::{ClientCertificate, MetricsSource, Scheme};
pub use prefix_cache_scorer::PrefixScorer;
pub use registry::{AVAILABLE, Build, NotAvailable, find};

use crate::{
    document::{Fault, Mapping},
    scheduling::{Filter, Picker, Scorer},
};

/// The API group that a configuration is written in. The older one also names older parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiGroup {
    LlmD,
    GatewayApiExtension,
}

/// A plugin, built from its parameters.
#[derive(Clone, Debug)]
pub enum Plugin {
    Filter(Arc<dyn Filter>),
    Scorer(Arc<dyn Scorer>),
    PrefixScorer(PrefixScorer),
    Picker(Arc<dyn Picker>),
    /// One profile serves every request.
    SingleProfileHandler,
    PrefixProducer(PrefixProducer),
    FileDiscovery(FileDiscovery),
    MetricsSource(MetricsSource),
    MetricsExtractor(MetricsExtractor),
    Parser(Parser),
    /// Tells the client which endpoint served, as Envoy reports it.
    ServedVerifier,
}

/// How a request's body is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// `OpenAI` completions and chat completions.
    OpenAi,
    /// Takes every path that no other parser claims, and looks at nothing.
    Passthrough,
}

impl Build {
    /// Builds the plugin. Parameters that it does not know are a fault.
    pub fn build(self, mut parameters: Mapping<'_>, api_group: ApiGroup) -> Result<Plugin, Fault> {
        let plugin = match self {
            Self::Plain(build) => build(),
            Self::Read(build) => build(&mut parameters)?,
            Self::ReadByGroup(build) => build(&mut parameters, api_group)?,
        };
        parameters.finish()?;
        Ok(plugin)
    }
}

#[cfg(test)]
mod tests;
