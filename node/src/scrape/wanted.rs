//! What to look for on a page: an engine's selectors, arranged for a single pass.

use super::{
    engine::{EngineError, EngineSpecs},
    selector::Selector,
};

/// One thing that a page can tell. The number is its place in arrays of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Waiting,
    Running,
    KvUsed,
    KvUsedOld,
    Lora,
    CacheInfo,
    CacheBlockTokens,
    CacheBlocks,
    ProcessStart,
    LifetimeTokens,
}

impl Reading {
    pub(super) const COUNT: usize = 10;

    /// What an engine tells of its load: every reading but an old name and the signs of a restart.
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
    pub(super) labels: Vec<(String, String)>,
}

/// What to look for on one engine's metrics page.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(super) families: Vec<Family>,
    pub(super) cache_block_size_label: String,
    pub(super) cache_num_blocks_label: String,
}

/// Every engine whose process exports the usual process metrics tells with it when it started.
const PROCESS_START: &str = "process_start_time_seconds";

impl Wanted {
    /// Reads an engine's selectors. The error names the key as it is written in a configuration.
    pub fn try_new(specs: &EngineSpecs) -> Result<Self, EngineError> {
        let named = |written: &str, usual: &str| {
            if written.is_empty() { usual } else { written }.to_owned()
        };
        let mut wanted = Self {
            families: Vec::new(),
            cache_block_size_label: named(&specs.cache_block_size_label, "block_size"),
            cache_num_blocks_label: named(&specs.cache_num_blocks_label, "num_gpu_blocks"),
        };
        let rows = [
            (Reading::Waiting, "queuedRequestsSpec", specs.queued_requests.as_str()),
            (Reading::Running, "runningRequestsSpec", &specs.running_requests),
            (Reading::KvUsed, "kvUsageSpec", &specs.kv_usage),
            (Reading::KvUsedOld, "kvUsageSpec (old name)", &specs.kv_usage_old),
            (Reading::Lora, "loraSpec", &specs.lora),
            (Reading::CacheInfo, "cacheInfoSpec", &specs.cache_info),
            (Reading::CacheBlockTokens, "cacheBlockSizeSpec", &specs.cache_block_size),
            (Reading::CacheBlocks, "cacheNumBlocksSpec", &specs.cache_num_blocks),
            (Reading::ProcessStart, "process start", PROCESS_START),
            (Reading::LifetimeTokens, "lifetimeTokens", &specs.lifetime_tokens),
        ];
        for (reading, key, text) in rows {
            if text.trim().is_empty() {
                continue;
            }
            let selector = Selector::parse(text).map_err(|source| EngineError::Selector {
                name: specs.name.clone(),
                key,
                source,
            })?;
            wanted.add(reading, selector);
        }
        Ok(wanted)
    }

    fn add(&mut self, reading: Reading, selector: Selector) {
        let usage = Use { reading, labels: selector.labels };
        let name = selector.name.into_bytes().into_boxed_slice();
        match self.families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.uses.push(usage),
            None => self.families.push(Family { name, uses: vec![usage] }),
        }
    }

    /// True if the configuration asks for `reading`.
    pub(super) fn asks_for(&self, reading: Reading) -> bool {
        let mut uses = self.families.iter().flat_map(|family| &family.uses);
        uses.any(|usage| usage.reading == reading)
    }
}
