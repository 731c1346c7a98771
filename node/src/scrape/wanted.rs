//! What to look for on a page: an engine's series, arranged for a single pass.

use crate::plugins::{CacheInfo, EngineMetrics, MetricSpec};

/// One thing that a page can tell. The number is its place in arrays of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Waiting,
    Running,
    KvUsed,
    Lora,
    CacheInfo,
    CacheBlockTokens,
    CacheBlocks,
    ProcessStart,
    LifetimeTokens,
}

impl Reading {
    pub(super) const COUNT: usize = 9;

    /// What an engine tells of its load: every reading but the signs of a restart.
    pub(super) const OF_LOAD: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::KvUsed,
        Self::Lora,
        Self::CacheInfo,
        Self::CacheBlockTokens,
        Self::CacheBlocks,
    ];
}

/// One family of the page and what its samples tell.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) name: Box<[u8]>,
    pub(super) uses: Vec<Use>,
}

/// One reading of a family: from samples that carry these labels.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) reading: Reading,
    /// Of several series for one reading, the one of the lowest rank on the page counts.
    pub(super) rank: usize,
    pub(super) labels: Vec<(String, String)>,
}

/// What to look for on one engine's metrics page.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(super) families: Vec<Family>,
    pub(super) cache_block_tokens_label: String,
    pub(super) cache_blocks_label: String,
}

/// Every engine whose process exports the usual process metrics tells with it when it started.
const PROCESS_START: &str = "process_start_time_seconds";

/// Counters that begin at zero with the engine's process. vLLM and `SGLang` do not export process
/// metrics when several processes serve one page; a fall of these tells a restart then.
const LIFETIME_TOKENS: [&str; 2] = ["vllm:prompt_tokens_total", "sglang:prompt_tokens_total"];

impl Wanted {
    pub fn new(engine: &EngineMetrics) -> Self {
        let mut wanted = Self {
            families: Vec::new(),
            cache_block_tokens_label: String::new(),
            cache_blocks_label: String::new(),
        };
        wanted.add(Reading::Waiting, &engine.waiting_requests);
        wanted.add(Reading::Running, &engine.running_requests);
        wanted.add(Reading::KvUsed, &engine.kv_used_ratio);
        wanted.add(Reading::Lora, &engine.lora);
        match &engine.cache {
            CacheInfo::Untold => {}
            CacheInfo::Labels { series, block_tokens_label, blocks_label } => {
                wanted.add(Reading::CacheInfo, [series]);
                wanted.cache_block_tokens_label.clone_from(block_tokens_label);
                wanted.cache_blocks_label.clone_from(blocks_label);
            }
            CacheInfo::Values { block_tokens, blocks } => {
                wanted.add(Reading::CacheBlockTokens, block_tokens);
                wanted.add(Reading::CacheBlocks, blocks);
            }
        }
        wanted.add(Reading::ProcessStart, &[MetricSpec::named(PROCESS_START)]);
        wanted.add(Reading::LifetimeTokens, &LIFETIME_TOKENS.map(MetricSpec::named));
        wanted
    }

    fn add<'a>(&mut self, reading: Reading, series: impl IntoIterator<Item = &'a MetricSpec>) {
        for (rank, spec) in series.into_iter().enumerate() {
            let labels = spec.labels.clone().into_iter().collect();
            let usage = Use { reading, rank, labels };
            let name = spec.name.as_bytes();
            match self.families.iter_mut().find(|family| *family.name == *name) {
                Some(family) => family.uses.push(usage),
                None => self.families.push(Family { name: name.into(), uses: vec![usage] }),
            }
        }
    }

    /// True if the engine's series include one for `reading`.
    pub(super) fn asks_for(&self, reading: Reading) -> bool {
        let mut uses = self.families.iter().flat_map(|family| &family.uses);
        uses.any(|usage| usage.reading == reading)
    }
}
