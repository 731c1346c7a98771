//! `prefix-cache-scorer`: the more of the prompt an endpoint holds in its cache, the better.

use std::sync::Arc;

use super::{
    ApiGroup, Plugin,
    approx_prefix_cache_producer::{PrefixProducer, Written},
};
use crate::{
    document::{Fault, Mapping},
    scheduling::{Candidate, PickContext, Scorer},
};

pub(super) const TYPE: &str = "prefix-cache-scorer";

/// A prefix scorer and what its parameters say of the index that it reads.
#[derive(Clone, Debug)]
pub struct PrefixScorer {
    pub scorer: Arc<dyn Scorer>,
    /// The producer whose matches it reads; any if unnamed.
    pub producer: Option<String>,
    /// Index parameters, where the older releases had them; `None` if none is set.
    pub index: Option<PrefixProducer>,
}

pub(super) fn build(parameters: &mut Mapping<'_>, api_group: ApiGroup) -> Result<Plugin, Fault> {
    let producer = parameters.text("prefixMatchInfoProducerName")?.map(str::to_owned);
    let length_weight = parameters.number("matchLengthWeight")?.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&length_weight) {
        return Err(parameters.refuse("matchLengthWeight", "a number from 0 to 1"));
    }
    let length_scale_tokens = parameters.integer("matchLengthScaleTokens")?.unwrap_or(8192);
    let length_scale_tokens = u32::try_from(length_scale_tokens).unwrap_or(0);
    if 0.0 < length_weight && length_scale_tokens == 0 {
        let expected = "a whole number from 1 on, since matchLengthWeight is not 0";
        return Err(parameters.refuse("matchLengthScaleTokens", expected));
    }
    let index = match api_group {
        ApiGroup::LlmD => None,
        ApiGroup::GatewayApiExtension => Written::of_scorer(parameters)?,
    };
    let scorer = Arc::new(PrefixCacheScorer { length_weight, length_scale_tokens });
    Ok(Plugin::PrefixScorer(PrefixScorer { scorer, producer, index }))
}

/// Scores `w * min(1, matched tokens / scale)^2 + (1 - w) * matched / total blocks`; 0 without a
/// prompt.
#[derive(Debug)]
struct PrefixCacheScorer {
    /// `w`: how much the length of the match counts against its share of the prompt, 0 to 1.
    length_weight: f64,
    /// The length of a match that counts in full. Not 0 unless `length_weight` is 0.
    length_scale_tokens: u32,
}

impl Scorer for PrefixCacheScorer {
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        let Some(prompt) = context.prompt.filter(|prompt| prompt.blocks != 0) else { return };
        for (score, &candidate) in scores.iter_mut().zip(candidates) {
            let matched = f64::from(prompt.matched_blocks(candidate));
            let share = matched / f64::from(prompt.blocks);
            let length = if 0.0 < self.length_weight {
                let tokens = matched * f64::from(prompt.block_tokens);
                (tokens / f64::from(self.length_scale_tokens)).min(1.0)
            } else {
                0.0
            };
            *score = self.length_weight * length * length + (1.0 - self.length_weight) * share;
        }
    }
}
