//! `weighted-random-picker`: candidates by lot, each as likely as its score says.

use std::sync::Arc;

use super::{Plugin, max_score_picker::take_best, random_picker::endpoints_max};
use crate::{
    document::{Fault, Mapping},
    scheduling::{Candidate, Picker, Scored},
};

pub(super) const TYPE: &str = "weighted-random-picker";

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    Ok(Plugin::Picker(Arc::new(WeightedRandomPicker { endpoints_max: endpoints_max(parameters)? })))
}

/// Draws without replacement by algorithm A-Res (Efraimidis and Spirakis, "Weighted random sampling
/// with a reservoir", 2006): each candidate gets the key `U^(1/score)`, and the largest keys win.
///
/// Keys are kept as logarithms, `ln(U)/score`, which have the same order and do not underflow. A
/// score that is not positive gets the least key of all, so those candidates come last, and if
/// nobody has a positive score, everybody is equally likely.
#[derive(Debug)]
struct WeightedRandomPicker {
    endpoints_max: usize,
}

impl Picker for WeightedRandomPicker {
    fn pick(
        &self,
        ranking: &mut [Scored],
        random: &mut fastrand::Rng,
        picked: &mut Vec<Candidate>,
    ) {
        for scored in &mut *ranking {
            scored.score = if 0.0 < scored.score {
                // In (0, 1]: the logarithm of 0 is reserved for what has no chance.
                let uniform = 1.0 - random.f64();
                uniform.ln() / scored.score
            } else {
                f64::NEG_INFINITY
            };
        }
        take_best(ranking, self.endpoints_max, random, picked);
    }
}
