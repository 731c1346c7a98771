//! `approx-prefix-cache-producer`: how prompts are cut into blocks, and how many blocks the index
//! believes an endpoint to hold.

use super::Plugin;
use crate::document::{Fault, Mapping};

pub(super) const TYPE: &str = "approx-prefix-cache-producer";

/// A block is at least this long. Shorter ones cost memory and time per block and tell a router
/// nothing more.
const BLOCK_TOKENS_MIN: u32 = 64;

/// Text is taken for tokens of four bytes, since the picker does not tokenise.
const TOKEN_BYTES: u32 = 4;

/// How the prefix index is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixSettings {
    /// Engine tokens in one block.
    pub block_tokens: u32,
    /// Blocks of one chain that are looked at, from the first on; `None`: all.
    pub chain_blocks_max: Option<u32>,
    /// Blocks that an endpoint is believed to hold at most, unless the engine tells.
    pub endpoint_blocks_max: u32,
    /// Takes the capacity that the engine tells of its cache, if it does.
    pub capacity_from_engine: bool,
}

impl PrefixSettings {
    /// Bytes of canonical text in one block.
    pub fn block_bytes(&self) -> u32 {
        self.block_tokens * TOKEN_BYTES
    }
}

impl Default for PrefixSettings {
    fn default() -> Self {
        Written::default().checked()
    }
}

/// What was built, and what of it deserves a word to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixProducer {
    pub settings: PrefixSettings,
    pub notices: Vec<String>,
}

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    Written::of_producer(parameters).map(Plugin::PrefixProducer)
}

/// The parameters as an operator writes them, with the defaults of the picker that Convoy replaces.
#[derive(Clone, Debug)]
pub(super) struct Written {
    capacity_from_engine: bool,
    block_tokens: u32,
    /// 0: the other bound counts.
    chain_tokens_max: u32,
    /// Counts if the other bound is 0; 0: no bound.
    chain_blocks_max: u32,
    endpoint_blocks_max: u32,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            capacity_from_engine: true,
            block_tokens: 16,
            // The context of the models of the day.
            chain_tokens_max: 131_072,
            chain_blocks_max: 2048,
            // A 70 GB cache of 128 KB per token holds 500,000 tokens, or 31,250 blocks of 16.
            endpoint_blocks_max: 31_250,
        }
    }
}

/// In whatever unit a block size is written, it is at most this: the index names blocks of up to
/// 1 MiB of text, which are as many tokens.
const BLOCK_SIZE_MAX: u32 = (1 << 20) / TOKEN_BYTES;

impl Written {
    fn of_producer(parameters: &mut Mapping<'_>) -> Result<PrefixProducer, Fault> {
        let default = Self::default();
        let mut notices = Vec::new();
        let auto_tune = parameters.flag("autoTune")?.unwrap_or(true);
        let block_tokens = block_size(parameters, "blockSizeTokens")?;
        let older = block_size(parameters, "blockSize")?.filter(|&older| older != 0);
        if older.is_some() {
            notices.push("blockSize is an older name of blockSizeTokens".to_owned());
        }
        // A 0 with tuning on leaves the block size to the engine, whose blocks are shorter than
        // the least that is used here.
        if !auto_tune && block_tokens == Some(0) {
            return Err(parameters.refuse("blockSizeTokens", "1 or more, since autoTune is off"));
        }
        let chain_tokens_max = parameters.count("maxPrefixTokensToMatch", 0)?;
        let chain_blocks_max = parameters.count("maxPrefixBlocksToMatch", 0)?;
        if chain_blocks_max.is_some() && chain_tokens_max != Some(0) {
            let notice = "maxPrefixBlocksToMatch counts only where maxPrefixTokensToMatch is 0";
            notices.push(notice.to_owned());
        }
        let written = Self {
            capacity_from_engine: auto_tune,
            block_tokens: block_tokens
                .filter(|&tokens| tokens != default.block_tokens)
                .or(older)
                .or(block_tokens)
                .unwrap_or(default.block_tokens),
            chain_tokens_max: chain_tokens_max.unwrap_or(default.chain_tokens_max),
            chain_blocks_max: chain_blocks_max.unwrap_or(default.chain_blocks_max),
            endpoint_blocks_max: endpoint_blocks_max(parameters)?
                .unwrap_or(default.endpoint_blocks_max),
        };
        notices.extend(raised(block_tokens.or(older)));
        Ok(PrefixProducer { settings: written.checked(), notices })
    }

    /// Reads what the older releases wrote under `prefix-cache-scorer`, where the index was the
    /// scorer's own and blocks were counted in bytes; `None` if nothing of it is set.
    pub(super) fn of_scorer(parameters: &mut Mapping<'_>) -> Result<Option<PrefixProducer>, Fault> {
        let default = Self::default();
        let auto_tune = parameters.flag("autoTune")?;
        let oldest = block_size(parameters, "hashBlockSize")?;
        let block_bytes = block_size(parameters, "blockSize")?.or(oldest);
        let chain_blocks_max = parameters.count("maxPrefixBlocksToMatch", 1)?;
        let endpoint_blocks_max = endpoint_blocks_max(parameters)?;
        let block_tokens = block_bytes.map(|bytes| bytes.div_ceil(TOKEN_BYTES));
        let unset = auto_tune.is_none()
            && block_tokens.is_none()
            && chain_blocks_max.is_none()
            && endpoint_blocks_max.is_none();
        if unset {
            return Ok(None);
        }
        let written = Self {
            capacity_from_engine: auto_tune.unwrap_or(default.capacity_from_engine),
            block_tokens: block_tokens.unwrap_or(default.block_tokens),
            chain_tokens_max: chain_blocks_max.map_or(default.chain_tokens_max, |_| 0),
            chain_blocks_max: chain_blocks_max.unwrap_or(default.chain_blocks_max),
            endpoint_blocks_max: endpoint_blocks_max.unwrap_or(default.endpoint_blocks_max),
        };
        let notices = raised(block_tokens).into_iter().collect();
        Ok(Some(PrefixProducer { settings: written.checked(), notices }))
    }

    fn checked(&self) -> PrefixSettings {
        let block_tokens = self.block_tokens.max(BLOCK_TOKENS_MIN);
        let chain_blocks_max = match (self.chain_tokens_max, self.chain_blocks_max) {
            (0, 0) => None,
            (0, blocks) => Some(blocks),
            (tokens, _) => Some((tokens / block_tokens).max(1)),
        };
        PrefixSettings {
            block_tokens,
            chain_blocks_max,
            endpoint_blocks_max: self.endpoint_blocks_max,
            capacity_from_engine: self.capacity_from_engine,
        }
    }
}

/// Says so if a block size that the operator wrote is not the one used.
fn raised(written_tokens: Option<u32>) -> Option<String> {
    let short = written_tokens.filter(|&tokens| 0 < tokens && tokens < BLOCK_TOKENS_MIN)?;
    Some(format!("blocks of {short} tokens are raised to the least, {BLOCK_TOKENS_MIN}"))
}

fn endpoint_blocks_max(parameters: &mut Mapping<'_>) -> Result<Option<u32>, Fault> {
    parameters.count("lruCapacityPerServer", 1)
}

fn block_size(parameters: &mut Mapping<'_>, key: &'static str) -> Result<Option<u32>, Fault> {
    match parameters.count(key, 0)? {
        Some(size) if BLOCK_SIZE_MAX < size => {
            Err(parameters.refuse(key, format!("a block size up to {BLOCK_SIZE_MAX}")))
        }
        size => Ok(size),
    }
}
