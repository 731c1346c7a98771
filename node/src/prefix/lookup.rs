//! The pick's side of the prefix index: prompts hashed, matches read, sightings offered.

use std::{ops::ControlFlow, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use convoy_prefix_index::{BlockHash, ChainBuilder, EndpointSlot, HashParams, IndexReader};
use prometheus_client::metrics::counter::Counter;

use crate::{
    endpoints::{Endpoint, View},
    openai::Request,
    plugins::PrefixSettings,
    scheduling::PromptMatch,
    supervision::Intake,
};

/// What the applier publishes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) reader: IndexReader,
    /// Where the index counts each endpoint, by the endpoint's own slot; `None` until it has
    /// joined.
    pub(super) slots: Vec<Option<EndpointSlot>>,
}

/// A belief that an endpoint holds chains, because a request with them was sent there.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) chains: Arc<Chains>,
}

/// The chains of one request's prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chains {
    blocks: Vec<BlockHash>,
    /// Where each chain ends in `blocks`.
    ends: Vec<usize>,
}

impl Chains {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[BlockHash]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.blocks.get(start..end).unwrap_or_default())
    }

    /// Adds a chain, unless it has no block.
    fn push(&mut self, chain: &[BlockHash]) {
        if !chain.is_empty() {
            self.blocks.extend_from_slice(chain);
            self.ends.push(self.blocks.len());
        }
    }

    fn blocks(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }
}

/// Room for one prompt, kept between requests; each serving thread has its own.
#[derive(Debug, Default)]
pub struct PromptScratch {
    chains: Chains,
    chain: Vec<BlockHash>,
    /// Matched blocks of one chain, by the index's slots.
    depths: Vec<u32>,
    /// Matched blocks of all chains, by position in the view.
    matched: Vec<u32>,
}

impl PromptScratch {
    /// Forgets the last prompt.
    pub fn clear(&mut self) {
        self.chains.blocks.clear();
        self.chains.ends.clear();
        self.matched.clear();
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

/// A request whose prompts are looked up.
#[derive(Clone, Copy, Debug)]
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
    pub(super) params: Arc<HashParams>,
    pub(super) settings: PrefixSettings,
    pub(super) intake: Intake<Sighting>,
    pub(super) dropped: Counter,
}

impl Prefixes {
    /// Hashes `asked`'s prompts and reads what each endpoint of `view` holds of them. The answer is
    /// in `scratch`.
    pub fn look_up(&self, asked: &Asked<'_>, view: &View, scratch: &mut PromptScratch) {
        scratch.clear();
        self.hash(asked, scratch);
        scratch.matched.resize(view.members.len(), 0);
        let published = self.published.load();
        let (reader, slots) = (&published.reader, &published.slots);
        for chain in scratch.chains.iter() {
            scratch.depths.clear();
            scratch.depths.resize(reader.slots(), 0);
            reader.depths(chain, &mut scratch.depths);
            for (matched, member) in scratch.matched.iter_mut().zip(&view.members) {
                let slot = slots.get(member.endpoint.slot as usize).copied().flatten();
                let depth = slot.and_then(|slot| scratch.depths.get(slot.0 as usize));
                *matched = matched.saturating_add(depth.copied().unwrap_or(0));
            }
        }
    }

    /// Notes that `endpoint` was picked for the prompt in `scratch`.
    pub fn sighted(&self, endpoint: &Arc<Endpoint>, scratch: &PromptScratch) -> Option<Sighting> {
        if scratch.chains.blocks.is_empty() {
            return None;
        }
        let chains = Arc::new(scratch.chains.clone());
        let sighting = Sighting { endpoint: Arc::clone(endpoint), chains };
        self.offer(sighting.clone());
        Some(sighting)
    }

    /// Notes that the request of `sighting` was served by `endpoint` instead.
    pub fn moved(&self, sighting: Sighting, endpoint: &Arc<Endpoint>) {
        self.offer(Sighting { endpoint: Arc::clone(endpoint), ..sighting });
    }

    fn offer(&self, sighting: Sighting) {
        if self.intake.offer(sighting).is_err() {
            self.dropped.inc();
        }
    }

    /// Hashes each prompt into a chain, as far as chains are looked at.
    fn hash(&self, asked: &Asked<'_>, scratch: &mut PromptScratch) {
        let &Asked { request, model, chunks } = asked;
        let salt = Some(request.cache_salt.as_str()).filter(|salt| !salt.is_empty());
        let begin = |chain| ChainBuilder::reusing(&self.params, model, salt, chain);
        let bytes_max = self.bytes_max();
        let mut builder = Some(begin(std::mem::take(&mut scratch.chain)));
        let (mut current, mut bytes) = (0, 0);
        request.prompts.read(chunks, |prompt, text| {
            if prompt != current {
                let chain = builder.take().map(ChainBuilder::finish).unwrap_or_default();
                scratch.chains.push(&chain);
                builder = Some(begin(chain));
                (current, bytes) = (prompt, 0);
            }
            let text = text.get(..bytes_max - bytes).unwrap_or(text);
            bytes += text.len();
            if let Some(builder) = &mut builder {
                builder.update(text);
            }
            if bytes == bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let chain = builder.map(ChainBuilder::finish).unwrap_or_default();
        scratch.chains.push(&chain);
        scratch.chain = chain;
    }

    /// Text of one prompt that is looked at.
    fn bytes_max(&self) -> usize {
        let blocks_max = self.settings.chain_blocks_max.map_or(usize::MAX, |max| max as usize);
        blocks_max.saturating_mul(self.settings.block_bytes() as usize)
    }
}
