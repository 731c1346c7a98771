//! What a simulated server can be told, checked.

use std::time::Duration;

/// How long things take. The default is that of the simulator that llm-d measures with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Taken by every step in which a prompt begins.
    pub prefill_overhead: Duration,
    /// Taken by each token of a prompt that is not cached.
    pub prefill_per_token: Duration,
    /// Taken by a step in which one answer grows by a token.
    pub inter_token_latency: Duration,
    /// Added to it by every further answer that grows in the same step.
    pub decode_per_sequence: Duration,
    /// Taken by loading an adapter.
    pub adapter_load: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            prefill_overhead: Duration::from_millis(5),
            prefill_per_token: Duration::from_micros(4),
            inter_token_latency: Duration::from_millis(1),
            decode_per_sequence: Duration::from_micros(4),
            adapter_load: Duration::from_millis(20),
        }
    }
}

/// The engine's dimensions, with the names vLLM gives its own in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Tokens in a block (`block_size`).
    pub block_tokens: usize,
    /// Blocks of the KV cache, one of which is padding (`num_gpu_blocks`).
    pub blocks: u32,
    /// Whether full blocks are found again (`enable_prefix_caching`).
    pub prefix_caching: bool,
    /// Sequences that run at once (`max_num_seqs`).
    pub running_max: usize,
    /// Tokens computed in one step (`max_num_batched_tokens`).
    pub step_tokens_max: usize,
    /// Tokens of prompt and answer together (`max_model_len`).
    pub sequence_tokens_max: usize,
    /// Adapters loaded at once; with 0 the server knows none (`max_loras`).
    pub max_loras: usize,
    pub timing: Timing,
}

impl EngineSettings {
    /// Blocks that can hold tokens.
    pub fn usable_blocks(&self) -> u32 {
        self.blocks.saturating_sub(1)
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            block_tokens: 16,
            blocks: 8193,
            prefix_caching: true,
            running_max: 256,
            step_tokens_max: 8192,
            sequence_tokens_max: 131_072,
            max_loras: 4,
            timing: Timing::default(),
        }
    }
}

/// One simulated server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the base model.
    pub model: String,
    /// Adapters known from the start.
    pub adapters: Vec<String>,
    pub engine: EngineSettings,
    /// Time after the start for which the server is not ready.
    pub slow_start: Duration,
    pub body_bytes_max: usize,
    pub connections_max: usize,
    /// Prompts and choices of one API request together.
    pub sequences_per_request_max: usize,
    /// Whether the page also has `vllm:gpu_cache_usage_perc`, which vLLM renamed in 0.9.
    pub old_metric_names: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: "sim/llama".to_owned(),
            adapters: Vec::new(),
            engine: EngineSettings::default(),
            slow_start: Duration::ZERO,
            body_bytes_max: 64 << 20,
            connections_max: 4096,
            sequences_per_request_max: 256,
            old_metric_names: false,
        }
    }
}

/// Why settings were refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("{name} must be at least {least}, not {value}")]
    TooSmall { name: &'static str, least: u64, value: u64 },
    #[error(
        "max-model-len ({wanted}) exceeds the {fitting} tokens that the KV cache holds; lower it \
         or raise num-gpu-blocks or block-size"
    )]
    LongerThanCache { wanted: usize, fitting: usize },
    #[error("adapter {adapter:?} needs max-loras of at least 1")]
    NoAdapterSlots { adapter: String },
    #[error("adapter {adapter:?} has the name of another model")]
    NameTaken { adapter: String },
}

impl Settings {
    /// Holds the settings to what an engine needs; true settings come back unchanged.
    pub fn checked(self) -> Result<Self, Invalid> {
        let engine = &self.engine;
        let least = [
            ("block-size", 1, engine.block_tokens),
            ("num-gpu-blocks", 2, engine.blocks as usize),
            ("max-num-seqs", 1, engine.running_max),
            ("max-num-batched-tokens", 1, engine.step_tokens_max),
            ("max-model-len", 2, engine.sequence_tokens_max),
            ("max-body-bytes", 1, self.body_bytes_max),
            ("max-connections", 1, self.connections_max),
        ];
        for (name, least, value) in least {
            if value < least {
                let (least, value) = (least as u64, value as u64);
                return Err(Invalid::TooSmall { name, least, value });
            }
        }
        let fitting = (engine.usable_blocks() as usize).saturating_mul(engine.block_tokens);
        if fitting < engine.sequence_tokens_max {
            let wanted = engine.sequence_tokens_max;
            return Err(Invalid::LongerThanCache { wanted, fitting });
        }
        for (position, adapter) in self.adapters.iter().enumerate() {
            if engine.max_loras == 0 {
                return Err(Invalid::NoAdapterSlots { adapter: adapter.clone() });
            }
            if *adapter == self.model || self.adapters.iter().take(position).any(|a| a == adapter) {
                return Err(Invalid::NameTaken { adapter: adapter.clone() });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Settings::default().checked(), Ok(Settings::default()));
    }

    #[test]
    fn a_sequence_that_cannot_fit_the_cache_is_refused() {
        let mut settings = Settings::default();
        settings.engine.blocks = 11;
        let refused = settings.checked().unwrap_err();
        assert_eq!(refused, Invalid::LongerThanCache { wanted: 131_072, fitting: 160 });
    }

    #[test]
    fn an_adapter_needs_a_slot_and_a_name_of_its_own() {
        let named = |adapters: [&str; 2], max_loras| {
            let adapters = adapters.map(str::to_owned).to_vec();
            let engine = EngineSettings { max_loras, ..EngineSettings::default() };
            Settings { adapters, engine, ..Settings::default() }.checked().err()
        };
        assert_eq!(named(["a", "b"], 1), None);
        assert_eq!(named(["a", "b"], 0), Some(Invalid::NoAdapterSlots { adapter: "a".into() }));
        assert_eq!(named(["a", "a"], 1), Some(Invalid::NameTaken { adapter: "a".into() }));
    }
}
