//! `kv-cache-utilization-scorer`: the emptier an endpoint's KV cache, the better.

use std::sync::Arc;

use super::Plugin;
use crate::scheduling::{Candidate, PickContext, Scorer};

pub(super) const TYPE: &str = "kv-cache-utilization-scorer";

pub(super) fn build() -> Plugin {
    Plugin::Scorer(Arc::new(KvCacheUtilizationScorer))
}

/// Scores the share of the KV cache that is free; 0 where that is unknown.
#[derive(Debug)]
struct KvCacheUtilizationScorer;

impl Scorer for KvCacheUtilizationScorer {
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        for (score, &candidate) in scores.iter_mut().zip(candidates) {
            let used = context.load(candidate).and_then(|load| load.kv_used_ratio);
            *score = used.map_or(0.0, |used| 1.0 - used);
        }
    }
}
