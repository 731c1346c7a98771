//! `running-requests-size-scorer`: the fewer requests an endpoint is running, the better.

use std::sync::Arc;

use super::{Plugin, fewest::score_fewest};
use crate::scheduling::{Candidate, PickContext, Scorer};

pub(super) const TYPE: &str = "running-requests-size-scorer";

pub(super) fn build() -> Plugin {
    Plugin::Scorer(Arc::new(RunningRequestsSizeScorer))
}

/// Scores `(most - running) / (most - least)`.
#[derive(Debug)]
struct RunningRequestsSizeScorer;

impl Scorer for RunningRequestsSizeScorer {
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        score_fewest(context, candidates, scores, |load| load.running_requests);
    }
}
