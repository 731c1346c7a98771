//! The score that falls with a count: 1 for the candidate with the fewest, 0 for the most.

use crate::{
    endpoints::Load,
    scheduling::{Candidate, PickContext},
};

/// Scores each candidate by where its count lies between the least and the most of all.
///
/// All alike score 1. A candidate whose count is unknown scores 0 and moves neither bound: unknown
/// is not idle. (The picker that Convoy replaces reads an unknown count as 0 and so prefers it.)
pub(super) fn score_fewest(
    context: &PickContext<'_>,
    candidates: &[Candidate],
    scores: &mut [f64],
    count: impl Fn(&Load) -> Option<u32>,
) {
    let count_of = |candidate: Candidate| context.load(candidate).and_then(&count);
    let mut bounds: Option<(u32, u32)> = None;
    for count in candidates.iter().filter_map(|&candidate| count_of(candidate)) {
        let (least, most) = bounds.unwrap_or((count, count));
        bounds = Some((least.min(count), most.max(count)));
    }
    let Some((least, most)) = bounds else { return };
    for (score, &candidate) in scores.iter_mut().zip(candidates) {
        *score = match count_of(candidate) {
            None => 0.0,
            Some(_) if least == most => 1.0,
            Some(count) => f64::from(most - count) / f64::from(most - least),
        };
    }
}
