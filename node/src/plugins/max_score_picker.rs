//! `max-score-picker`: the highest scores, equal ones in random order.

use std::sync::Arc;

use super::{Plugin, random_picker::endpoints_max};
use crate::{
    document::{Fault, Mapping},
    scheduling::{Candidate, Named, Picker, Scored},
};

pub(super) const TYPE: &str = "max-score-picker";

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    Ok(Plugin::Picker(Arc::new(MaxScorePicker { endpoints_max: endpoints_max(parameters)? })))
}

/// The picker of a profile that names none.
pub fn default_picker() -> Named<dyn Picker> {
    Named {
        plugin_type: TYPE,
        name: TYPE.into(),
        plugin: Arc::new(MaxScorePicker { endpoints_max: 1 }),
    }
}

#[derive(Debug)]
struct MaxScorePicker {
    endpoints_max: usize,
}

impl Picker for MaxScorePicker {
    fn pick(
        &self,
        ranking: &mut [Scored],
        random: &mut fastrand::Rng,
        picked: &mut Vec<Candidate>,
    ) {
        take_best(ranking, self.endpoints_max, random, picked);
    }
}

/// Appends the candidates with the highest scores to `picked`, best first; equals in random order.
pub(super) fn take_best(
    ranking: &mut [Scored],
    endpoints_max: usize,
    random: &mut fastrand::Rng,
    picked: &mut Vec<Candidate>,
) {
    if endpoints_max == 1 {
        picked.extend(best(ranking, random));
        return;
    }
    // The shuffle makes every order of equal scores alike likely, and no sort can tell which of
    // two equals was which, so the sort need not be stable.
    random.shuffle(ranking);
    ranking.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    picked.extend(ranking.iter().take(endpoints_max).map(|scored| scored.candidate));
}

/// The candidate with the highest score; each of several equals is as likely as the others.
fn best(ranking: &[Scored], random: &mut fastrand::Rng) -> Option<Candidate> {
    let mut best: Option<Scored> = None;
    let mut equals = 0;
    for &scored in ranking {
        match best.map(|best| scored.score.total_cmp(&best.score)) {
            None | Some(std::cmp::Ordering::Greater) => {
                best = Some(scored);
                equals = 1;
            }
            Some(std::cmp::Ordering::Equal) => {
                // The k-th of k equals takes the place with probability 1/k.
                equals += 1;
                if random.u32(..equals) == 0 {
                    best = Some(scored);
                }
            }
            Some(std::cmp::Ordering::Less) => {}
        }
    }
    best.map(|best| best.candidate)
}
