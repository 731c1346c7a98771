//! `lora-affinity-scorer`: prefers endpoints that have the request's adapter, or room for it.

use std::sync::Arc;

use super::Plugin;
use crate::{
    endpoints::LoraAdapters,
    scheduling::{Candidate, PickContext, Scorer},
};

pub(super) const TYPE: &str = "lora-affinity-scorer";

pub(super) fn build() -> Plugin {
    Plugin::Scorer(Arc::new(LoraAffinityScorer))
}

/// Scores 1 where the adapter runs, 0.8 where there is room for one more, 0.6 where it waits to be
/// loaded, else 0. An endpoint that tells of no adapters scores 0.
#[derive(Debug)]
struct LoraAffinityScorer;

impl Scorer for LoraAffinityScorer {
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        for (score, &candidate) in scores.iter_mut().zip(candidates) {
            let lora = context.load(candidate).and_then(|load| load.lora.as_deref());
            *score = lora.map_or(0.0, |lora| affinity(lora, context.model));
        }
    }
}

fn affinity(lora: &LoraAdapters, model: &str) -> f64 {
    let named = |adapters: &[String]| adapters.iter().any(|adapter| adapter == model);
    let loaded = lora.running.len() + lora.waiting.len();
    if named(&lora.running) {
        1.0
    } else if loaded < lora.adapters_max as usize {
        0.8
    } else if named(&lora.waiting) {
        0.6
    } else {
        0.0
    }
}
