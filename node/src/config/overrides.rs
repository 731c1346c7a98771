//! What flags of older releases say of scraping, where newer ones have plugin parameters.

use crate::plugins::{MetricSpec, Scheme};

/// What was said; `None` where nothing was. A metric of `Some(None)` is one that is not to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub port: Option<u16>,
    pub path: Option<String>,
    pub scheme: Option<Scheme>,
    pub insecure_skip_verify: Option<bool>,
    pub waiting_requests: Option<Option<MetricSpec>>,
    pub running_requests: Option<Option<MetricSpec>>,
    pub kv_used_ratio: Option<Option<MetricSpec>>,
    pub lora: Option<Option<MetricSpec>>,
    pub cache_info: Option<Option<MetricSpec>>,
}
