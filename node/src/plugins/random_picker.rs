//! `random-picker`: any of the candidates, whatever their scores.

use std::sync::Arc;

use super::Plugin;
use crate::{
    document::{Fault, Mapping},
    scheduling::{Candidate, Picker, Scored},
};

pub(super) const TYPE: &str = "random-picker";

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    Ok(Plugin::Picker(Arc::new(RandomPicker { endpoints_max: endpoints_max(parameters)? })))
}

/// Reads `maxNumOfEndpoints`, the parameter that all pickers share. As in the picker that Convoy
/// replaces, what is not positive means 1.
pub(super) fn endpoints_max(parameters: &mut Mapping<'_>) -> Result<usize, Fault> {
    let written = parameters.integer("maxNumOfEndpoints")?.unwrap_or(1);
    Ok(usize::try_from(written).unwrap_or(1).max(1))
}

#[derive(Debug)]
struct RandomPicker {
    endpoints_max: usize,
}

impl Picker for RandomPicker {
    fn pick(
        &self,
        ranking: &mut [Scored],
        random: &mut fastrand::Rng,
        picked: &mut Vec<Candidate>,
    ) {
        // The first places of a Fisher-Yates shuffle.
        for place in 0..self.endpoints_max.min(ranking.len()) {
            let other = random.usize(place..ranking.len());
            ranking.swap(place, other);
        }
        picked.extend(ranking.iter().take(self.endpoints_max).map(|scored| scored.candidate));
    }
}
