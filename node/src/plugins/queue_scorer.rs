//! `queue-scorer`: the fewer requests wait at an endpoint, the better.

use std::sync::Arc;

use super::{Plugin, fewest::score_fewest};
use crate::scheduling::{Candidate, PickContext, Scorer};

pub(super) const TYPE: &str = "queue-scorer";

pub(super) fn build() -> Plugin {
    Plugin::Scorer(Arc::new(QueueScorer))
}

/// Scores `(most - waiting) / (most - least)`.
#[derive(Debug)]
struct QueueScorer;

impl Scorer for QueueScorer {
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        score_fewest(context, candidates, scores, |load| load.waiting_requests);
    }
}
