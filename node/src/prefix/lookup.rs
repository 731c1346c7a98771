//! The pick's side of the prefix index: prompts hashed, matches read, sightings offered.

use std::{ops::ControlFlow, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use convoy_prefix_index::{BlockHash, CHAIN_BLOCKS_MAX, ChainBuilder, HashParams};

use super::{
    Bounds, Sighting,
    chains::Chains,
    metrics::{Dropped, Metrics},
    overlay::{Overlaid, Overlay},
    published::Published,
    sighting::Allowance,
};
use crate::{
    endpoints::{Endpoint, View},
    openai::Request,
    plugins::PrefixSettings,
    scheduling::PromptMatch,
    supervision::{Intake, Refused},
};

/// Room for one prompt, kept between requests; each serving thread has its own.
#[derive(Debug, Default)]
pub struct PromptScratch {
    chains: Chains,
    chain: Vec<BlockHash>,
    overlaid: Vec<Overlaid>,
    /// Where the index counts each endpoint, by position in the view; beyond any slot if nowhere.
    slots: Vec<usize>,
    /// Matched blocks of one chain, by the index's slots.
    depths: Vec<u32>,
    /// Matched blocks of all chains, by position in the view.
    matched: Vec<u32>,
}

impl PromptScratch {
    /// Forgets the last prompt.
    pub fn clear(&mut self) {
        self.chains.clear();
        self.matched.clear();
    }

    /// The chains of the prompt that was looked up.
    #[cfg(test)]
    pub(super) fn chains(&self) -> &Chains {
        &self.chains
    }

    /// What the index said of the prompt; `None` if there is no prompt or it has no whole block.
    pub fn matched(&self, prefixes: &Prefixes) -> Option<PromptMatch<'_>> {
        let blocks = self.chains.blocks();
        (0 < blocks).then_some(PromptMatch {
            blocks,
            block_tokens: prefixes.settings.block_tokens,
            matched: &self.matched,
        })
    }
}

/// A request whose prompts are looked up. It has no `Debug`: prompts are written nowhere.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it would write the prompt")]
pub struct Asked<'a> {
    pub request: &'a Request,
    /// The model after rewrite.
    pub model: &'a str,
    /// The body that `request` was read from.
    pub chunks: &'a [Bytes],
}

/// The prefix index, as picks see it.
#[derive(Clone, Debug)]
pub struct Prefixes {
    pub(super) published: Arc<ArcSwap<Published>>,
    pub(super) overlay: Arc<Overlay>,
    params: Arc<HashParams>,
    pub(super) settings: PrefixSettings,
    pub(super) intake: Intake<Sighting>,
    allowance: Arc<Allowance>,
    metrics: Metrics,
}

impl Prefixes {
    /// Begins with `published`; sightings go nowhere until an applier is wired to the intake.
    pub(super) fn new(
        published: Published,
        params: HashParams,
        (settings, bounds): (PrefixSettings, Bounds),
        metrics: Metrics,
    ) -> Self {
        Self {
            published: Arc::new(ArcSwap::from_pointee(published)),
            overlay: Arc::default(),
            params: Arc::new(params),
            settings,
            intake: Intake::new(bounds.sightings_waiting_max),
            allowance: Arc::new(Allowance::new(bounds.sightings_bytes_max)),
            metrics,
        }
    }

    /// Hashes `asked`'s prompts and reads what each endpoint of `view` holds of them: for each
    /// prompt the larger of what overlay and index say. The answer is in `scratch`.
    pub fn look_up(
        &self,
        asked: &Asked<'_>,
        view: &View,
        now: Instant,
        scratch: &mut PromptScratch,
    ) {
        scratch.clear();
        self.hash(asked, scratch);
        scratch.matched.resize(view.members.len(), 0);
        // The overlay first: what the applier takes from it meanwhile is in the index by then.
        self.overlay.matches(&scratch.chains, view, now, &mut scratch.overlaid);
        let published = self.published.load();
        scratch.slots.clear();
        scratch.slots.extend(view.members.iter().map(|member| {
            let place = published.places.get(member.endpoint.slot as usize);
            place.and_then(Option::as_ref).map_or(usize::MAX, |place| place.slot.0 as usize)
        }));
        scratch.depths.resize(published.reader.slots(), 0);
        let mut overlaid = scratch.overlaid.iter().peekable();
        for (number, chain) in (0..).zip(scratch.chains.iter()) {
            published.reader.depths(chain, &mut scratch.depths);
            let depth = |slot: usize| scratch.depths.get(slot).copied().unwrap_or(0);
            for (matched, &slot) in scratch.matched.iter_mut().zip(&scratch.slots) {
                *matched += depth(slot);
            }
            while let Some(more) = overlaid.next_if(|more| more.chain == number) {
                let position = more.position as usize;
                let slot = scratch.slots.get(position).copied().unwrap_or(usize::MAX);
                if let Some(matched) = scratch.matched.get_mut(position) {
                    *matched += more.blocks.saturating_sub(depth(slot));
                }
            }
        }
    }

    /// Notes that `endpoint` was picked at `now` for the prompt in `scratch`. The next pick knows.
    pub fn sighted(
        &self,
        endpoint: &Arc<Endpoint>,
        now: Instant,
        scratch: &PromptScratch,
    ) -> Option<Sighting> {
        if scratch.chains.is_empty() {
            return None;
        }
        let sighting = Sighting::new(endpoint, &scratch.chains, now, &self.allowance);
        match &sighting {
            Some(sighting) => self.offer(sighting),
            None => self.metrics.dropped(Dropped::Memory),
        }
        sighting
    }

    /// Notes that the request of `sighting` was served by `endpoint` instead.
    pub fn moved(&self, sighting: &Sighting, endpoint: &Arc<Endpoint>) {
        self.overlay.remove(sighting);
        self.offer(&sighting.at(endpoint));
    }

    fn offer(&self, sighting: &Sighting) {
        // Before the applier can hear of it, and take it from there.
        if !self.overlay.insert(sighting) {
            self.metrics.shed();
        }
        match self.intake.offer(sighting.clone()) {
            Ok(()) => {}
            Err(Refused::Full(_)) => self.metrics.dropped(Dropped::Waiting),
            Err(Refused::Stopped) => self.metrics.dropped(Dropped::Stopped),
        }
    }

    /// Hashes each prompt into a chain, as far as chains are looked at.
    fn hash(&self, asked: &Asked<'_>, scratch: &mut PromptScratch) {
        let &Asked { request, model, chunks } = asked;
        let salt = Some(request.cache_salt.as_str()).filter(|salt| !salt.is_empty());
        let begin = |chain| ChainBuilder::reusing(&self.params, model, salt, chain);
        let mut builder = Some(begin(std::mem::take(&mut scratch.chain)));
        let (mut current, mut bytes_left) = (0, self.bytes_left(&scratch.chains));
        request.prompts.read(chunks, |prompt, text| {
            if prompt != current {
                let chain = builder.take().map(ChainBuilder::finish).unwrap_or_default();
                scratch.chains.push(&chain);
                builder = Some(begin(chain));
                (current, bytes_left) = (prompt, self.bytes_left(&scratch.chains));
            }
            let text = text.get(..bytes_left).unwrap_or(text);
            bytes_left -= text.len();
            if let Some(builder) = &mut builder {
                builder.update(text);
            }
            if bytes_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let chain = builder.map(ChainBuilder::finish).unwrap_or_default();
        scratch.chains.push(&chain);
        scratch.chain = chain;
    }

    /// Text of the next prompt that is looked at, after those in `chains`.
    fn bytes_left(&self, chains: &Chains) -> usize {
        let blocks_max =
            self.settings.chain_blocks_max.map_or(CHAIN_BLOCKS_MAX, |max| max as usize);
        let blocks = blocks_max.min(CHAIN_BLOCKS_MAX).min(chains.blocks_left());
        blocks * self.settings.block_bytes() as usize
    }
}

#[cfg(test)]
mod tests;
