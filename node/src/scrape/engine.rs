//! The engines that model servers run, and what each calls its load.

use std::{collections::BTreeMap, sync::Arc};

use super::{selector::SelectorError, wanted::Wanted};

/// The label that tells an endpoint's engine, unless configured.
pub const ENGINE_LABEL: &str = "llm-d.ai/engine-type";
/// The label that is read where the first is absent.
pub const ENGINE_LABEL_LEGACY: &str = "inference.networking.k8s.io/engine-type";
/// The engine of an endpoint that names none, unless configured.
pub const ENGINE_DEFAULT: &str = "vllm";

/// What one engine's metrics page calls its load: selectors as an operator writes them, empty for
/// what the engine does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSpecs {
    pub name: String,
    pub queued_requests: String,
    pub running_requests: String,
    /// A share of the KV cache, 0.0 to 1.0.
    pub kv_usage: String,
    /// What older versions of the engine call `kv_usage`; read where that is absent.
    pub kv_usage_old: String,
    /// A family whose labels list adapters and whose value is when they were so.
    pub lora: String,
    /// A family whose labels tell the shape of the cache.
    pub cache_info: String,
    /// The label of `cache_info` that tells tokens per block; empty for `block_size`.
    pub cache_block_size_label: String,
    /// The label of `cache_info` that counts blocks; empty for `num_gpu_blocks`.
    pub cache_num_blocks_label: String,
    /// Tokens per block as a value, for engines without `cache_info`.
    pub cache_block_size: String,
    /// Blocks as a value, for engines without `cache_info`.
    pub cache_num_blocks: String,
    /// A counter that starts at zero with the engine's process; its fall shows a restart.
    pub lifetime_tokens: String,
}

impl EngineSpecs {
    /// The engines known without configuration.
    pub fn built_in() -> Vec<Self> {
        vec![vllm(), sglang(), trtllm_serve(), triton_tensorrt_llm(), triton()]
    }
}

fn vllm() -> EngineSpecs {
    EngineSpecs {
        name: "vllm".into(),
        queued_requests: "vllm:num_requests_waiting".into(),
        running_requests: "vllm:num_requests_running".into(),
        kv_usage: "vllm:kv_cache_usage_perc".into(),
        kv_usage_old: "vllm:gpu_cache_usage_perc".into(),
        lora: "vllm:lora_requests_info".into(),
        cache_info: "vllm:cache_config_info".into(),
        lifetime_tokens: "vllm:prompt_tokens_total".into(),
        ..EngineSpecs::default()
    }
}

fn sglang() -> EngineSpecs {
    EngineSpecs {
        name: "sglang".into(),
        queued_requests: "sglang:num_queue_reqs".into(),
        running_requests: "sglang:num_running_reqs".into(),
        kv_usage: "sglang:token_usage".into(),
        cache_info: "sglang:cache_config_info".into(),
        cache_block_size_label: "page_size".into(),
        cache_num_blocks_label: "num_pages".into(),
        lifetime_tokens: "sglang:prompt_tokens_total".into(),
        ..EngineSpecs::default()
    }
}

fn trtllm_serve() -> EngineSpecs {
    EngineSpecs {
        name: "trtllm-serve".into(),
        queued_requests: "trtllm_num_requests_waiting".into(),
        running_requests: "trtllm_num_requests_running".into(),
        kv_usage: "trtllm_kv_cache_utilization".into(),
        cache_block_size: "trtllm_kv_cache_tokens_per_block".into(),
        cache_num_blocks: "trtllm_kv_cache_max_blocks".into(),
        ..EngineSpecs::default()
    }
}

fn triton_tensorrt_llm() -> EngineSpecs {
    EngineSpecs {
        name: "triton-tensorrt-llm".into(),
        queued_requests: "nv_trt_llm_request_metrics{request_type=waiting}".into(),
        running_requests: "nv_trt_llm_request_metrics{request_type=scheduled}".into(),
        kv_usage: "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}".into(),
        cache_block_size: "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}"
            .into(),
        cache_num_blocks: "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}".into(),
        ..EngineSpecs::default()
    }
}

fn triton() -> EngineSpecs {
    EngineSpecs {
        name: "triton".into(),
        queued_requests: "nv_inference_pending_request_count".into(),
        running_requests: "nv_inference_exec_count".into(),
        ..EngineSpecs::default()
    }
}

/// Why the configured engines cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("engineConfigs[{position}]: name is empty")]
    Nameless { position: usize },
    #[error("engineConfigs: name {name:?} is reserved for endpoints that name no engine")]
    Reserved { name: String },
    #[error("engineConfigs: {name:?} stands there twice")]
    Twice { name: String },
    #[error("engineConfigs: engine {name:?}, {key}")]
    Selector { name: String, key: &'static str, source: SelectorError },
    #[error("defaultEngine: {name:?} is not among {known}")]
    NoDefault { name: String, known: String },
}

/// Every engine by name, and how an endpoint's labels tell which one it runs.
#[derive(Clone, Debug)]
pub struct Engines {
    label: String,
    default: Arc<Wanted>,
    by_name: BTreeMap<String, Arc<Wanted>>,
}

/// The name under which no engine can be configured: it stands for the default.
const RESERVED: &str = "default";

impl Engines {
    /// The engines known without configuration, told by the usual labels.
    pub fn built_in() -> Self {
        Self::try_new(Vec::new(), "", "").expect("the built-in engines are well formed")
    }

    /// `configured` replaces built-in engines of the same name and stands beside the others.
    /// `label` and `default` may be empty: then they are [`ENGINE_LABEL`] and [`ENGINE_DEFAULT`].
    pub fn try_new(
        configured: Vec<EngineSpecs>,
        label: &str,
        default: &str,
    ) -> Result<Self, EngineError> {
        let mut by_name = BTreeMap::new();
        for (position, specs) in configured.into_iter().enumerate() {
            if specs.name.is_empty() {
                return Err(EngineError::Nameless { position });
            }
            if specs.name == RESERVED {
                return Err(EngineError::Reserved { name: specs.name });
            }
            let wanted = Arc::new(Wanted::try_new(&specs)?);
            if by_name.insert(specs.name.clone(), wanted).is_some() {
                return Err(EngineError::Twice { name: specs.name });
            }
        }
        for specs in EngineSpecs::built_in() {
            if !by_name.contains_key(&specs.name) {
                by_name.insert(specs.name.clone(), Arc::new(Wanted::try_new(&specs)?));
            }
        }
        let default_name = if default.is_empty() { ENGINE_DEFAULT } else { default };
        let Some(default) = by_name.get(default_name).cloned() else {
            let known = by_name.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(EngineError::NoDefault { name: default_name.to_owned(), known });
        };
        let label = if label.is_empty() { ENGINE_LABEL } else { label }.to_owned();
        Ok(Self { label, default, by_name })
    }

    /// What to read on the page of an endpoint with `labels`.
    ///
    /// # Errors
    /// The engine's name, if the labels name one that is not known.
    pub fn of<'a>(&self, labels: &'a BTreeMap<String, String>) -> Result<&Arc<Wanted>, &'a str> {
        let named = |label: &str| labels.get(label).map(String::as_str).filter(|v| !v.is_empty());
        match named(&self.label).or_else(|| named(ENGINE_LABEL_LEGACY)) {
            None | Some(RESERVED) => Ok(&self.default),
            Some(name) => self.by_name.get(name).ok_or(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn the_label_chooses_the_engine_and_the_legacy_label_stands_in() {
        let engines = Engines::built_in();
        let chosen = |rows: &[(&str, &str)]| Arc::clone(engines.of(&labels(rows)).unwrap());
        let same = |a: &Arc<Wanted>, name: &str| Arc::ptr_eq(a, &engines.by_name[name]);
        assert!(same(&chosen(&[]), "vllm"));
        assert!(same(&chosen(&[(ENGINE_LABEL, "")]), "vllm"));
        assert!(same(&chosen(&[(ENGINE_LABEL, "sglang")]), "sglang"));
        assert!(same(&chosen(&[(ENGINE_LABEL_LEGACY, "triton")]), "triton"));
        let both = [(ENGINE_LABEL, "sglang"), (ENGINE_LABEL_LEGACY, "triton")];
        assert!(same(&chosen(&both), "sglang"));
    }

    #[test]
    fn an_unknown_engine_is_named() {
        let named = labels(&[(ENGINE_LABEL, "vlm")]);
        assert_eq!(Engines::built_in().of(&named).unwrap_err(), "vlm");
    }

    #[test]
    fn a_configured_engine_replaces_the_built_in_one_and_can_be_the_default() {
        let mine = EngineSpecs { name: "mine".into(), ..EngineSpecs::default() };
        let engines = Engines::try_new(vec![mine], "engine", "mine").unwrap();
        let unnamed = BTreeMap::new();
        assert!(Arc::ptr_eq(engines.of(&unnamed).unwrap(), &engines.by_name["mine"]));
        assert!(engines.of(&labels(&[("engine", "vllm")])).is_ok());
    }

    #[test]
    fn mistakes_name_the_key_and_the_value() {
        let specs = |name: &str, kv_usage: &str| EngineSpecs {
            name: name.into(),
            kv_usage: kv_usage.into(),
            ..EngineSpecs::default()
        };
        let refused = |configured, default| {
            Engines::try_new(configured, "", default).unwrap_err().to_string()
        };
        assert_eq!(refused(vec![specs("", "")], ""), "engineConfigs[0]: name is empty");
        assert!(refused(vec![specs("default", "")], "").contains("reserved"));
        assert!(refused(vec![specs("a", ""), specs("a", "")], "").contains("\"a\""));
        assert!(refused(vec![specs("a", "1x")], "").contains("kvUsageSpec"));
        assert!(refused(Vec::new(), "vlm").contains("sglang, triton"));
    }
}
