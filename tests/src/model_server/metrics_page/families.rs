//! Which families the page has besides the engine's histograms.

use super::{Number, Part, Settings, Writer};

/// Bounds of the API server's own histogram, `http_request_duration_highr_seconds`.
const HTTP_BOUNDS: [&str; 20] = [
    "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "1.5", "2.0", "2.5",
    "3.0", "3.5", "4.0", "4.5", "5.0", "7.5", "10.0", "30.0",
];

/// Paths that the API server keeps apart, with the method and what is counted.
const PATHS: [(&str, &str, Number); 3] = [
    ("/v1/chat/completions", "POST", Number::Answered),
    ("/v1/completions", "POST", Number::Answered),
    ("/metrics", "GET", Number::Scrapes),
];

impl Writer {
    pub(super) fn process(&mut self) {
        for (name, help) in [
            ("python_gc_objects_collected_total", "Objects collected during gc"),
            ("python_gc_objects_uncollectable_total", "Uncollectable objects found during GC"),
            ("python_gc_collections_total", "Number of times this generation was collected"),
        ] {
            self.family(name, help, "counter");
            for (generation, count) in [("0", "12662.0"), ("1", "1252.0"), ("2", "1352.0")] {
                self.line(&format!("{name}{{generation=\"{generation}\"}} {count}"));
            }
        }
        self.family("python_info", "Python platform information", "gauge");
        self.line(
            "python_info{implementation=\"CPython\",major=\"3\",minor=\"12\",patchlevel=\"11\",\
             version=\"3.12.11\"} 1.0",
        );
        for (name, help, value) in [
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", "3.2161546240e+10"),
            ("process_resident_memory_bytes", "Resident memory size in bytes.", "1.254584320e+09"),
        ] {
            self.family(name, help, "gauge");
            self.line(&format!("{name} {value}"));
        }
        let start = "process_start_time_seconds";
        self.family(start, "Start time of the process since unix epoch in seconds.", "gauge");
        self.number(start, Number::Started);
        let cpu = "process_cpu_seconds_total";
        self.family(cpu, "Total user and system CPU time spent in seconds.", "counter");
        self.number(cpu, Number::CpuSeconds);
        for (name, help, value) in [
            ("process_open_fds", "Number of open file descriptors.", "102.0"),
            ("process_max_fds", "Maximum number of open file descriptors.", "1.048576e+06"),
        ] {
            self.family(name, help, "gauge");
            self.line(&format!("{name} {value}"));
        }
    }

    pub(super) fn scheduler(&mut self, settings: &Settings) {
        self.gauge(
            "vllm:num_requests_running",
            "Number of requests in model execution batches.",
            Number::Running,
        );
        self.gauge(
            "vllm:num_requests_waiting",
            "Number of requests waiting to be processed.",
            Number::Waiting,
        );
        self.family("vllm:engine_sleep_state", "Engine sleep state.", "gauge");
        for (state, value) in
            [("awake", "1.0"), ("weights_offloaded", "0.0"), ("discard_all", "0.0")]
        {
            let line = format!(
                "vllm:engine_sleep_state{{{},sleep_state=\"{state}\"}} {value}",
                self.labels
            );
            self.line(&line);
        }
        if settings.old_metric_names {
            self.gauge(
                "vllm:gpu_cache_usage_perc",
                "GPU KV-cache usage. 1 means 100 percent usage.",
                Number::KvUsage,
            );
        }
        self.gauge(
            "vllm:kv_cache_usage_perc",
            "KV-cache usage. 1 means 100 percent usage.",
            Number::KvUsage,
        );
    }

    pub(super) fn counters(&mut self) {
        for (name, help, number) in [
            (
                "vllm:prefix_cache_queries",
                "Prefix cache queries, in terms of number of queried tokens.",
                Number::CacheQueries,
            ),
            (
                "vllm:prefix_cache_hits",
                "Prefix cache hits, in terms of number of cached tokens.",
                Number::CacheHits,
            ),
            (
                "vllm:num_preemptions",
                "Cumulative number of preemption from the engine.",
                Number::Preemptions,
            ),
            ("vllm:prompt_tokens", "Number of prefill tokens processed.", Number::PromptTokens),
            (
                "vllm:generation_tokens",
                "Number of generation tokens processed.",
                Number::GenerationTokens,
            ),
        ] {
            self.counter(name, help, number);
        }
        for name in [
            "vllm:mm_cache_queries",
            "vllm:mm_cache_hits",
            "vllm:external_prefix_cache_queries",
            "vllm:external_prefix_cache_hits",
            "vllm:corrupted_requests",
        ] {
            let help = "Not simulated.";
            self.family(&format!("{name}_total"), help, "counter");
            let line = format!("{name}_total{{{}}} 0.0", self.labels);
            self.line(&line);
            self.created(name, help);
        }
        let success = "vllm:request_success_total";
        self.family(success, "Count of successfully processed requests.", "counter");
        for (reason, number) in
            [("stop", Number::Stopped), ("length", Number::CutAtLength), ("abort", Number::Aborted)]
        {
            let labels = self.labels.replacen(',', &format!(",finished_reason=\"{reason}\","), 1);
            self.number(&format!("{success}{{{labels}}}"), number);
        }
    }

    pub(super) fn adapters_and_cache(&mut self, settings: &Settings) {
        let engine = &settings.engine;
        if 0 < engine.max_loras {
            self.family("vllm:lora_requests_info", "Running stats on lora requests.", "gauge");
            self.part(Part::AdapterUsages);
        }
        self.family("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", "gauge");
        let (block_tokens, blocks) = (engine.block_tokens, engine.blocks);
        let caching = if engine.prefix_caching { "True" } else { "False" };
        self.line(&format!(
            "vllm:cache_config_info{{block_size=\"{block_tokens}\",cache_dtype=\"auto\",\
             calculate_kv_scales=\"False\",cpu_kvcache_space_bytes=\"None\",cpu_offload_gb=\"0.0\",\
             enable_prefix_caching=\"{caching}\",engine=\"0\",gpu_memory_utilization=\"0.9\",\
             is_attention_free=\"False\",kv_cache_memory_bytes=\"None\",\
             kv_sharing_fast_prefill=\"False\",mamba_cache_dtype=\"auto\",\
             num_cpu_blocks=\"None\",num_gpu_blocks=\"{blocks}\",num_gpu_blocks_override=\"None\",\
             prefix_caching_hash_algo=\"sha256\",sliding_window=\"None\",swap_space=\"4.0\",\
             swap_space_bytes=\"4294967296.0\"}} 1.0"
        ));
    }

    pub(super) fn http(&mut self) {
        let total = "http_requests_total";
        self.family(total, "Total number of requests by method, status and handler.", "counter");
        for (path, method, number) in PATHS {
            let labels = format!("handler=\"{path}\",method=\"{method}\",status=\"2xx\"");
            self.number(&format!("{total}{{{labels}}}"), number);
        }
        let exact = "http_request_duration_highr_seconds";
        self.family(exact, "Latency with many buckets but no API specific labels.", "histogram");
        for bound in HTTP_BOUNDS.iter().chain(&["+Inf"]) {
            self.number(&format!("{exact}_bucket{{le=\"{bound}\"}}"), Number::Answered);
        }
        self.number(&format!("{exact}_count"), Number::Answered);
        self.line(&format!("{exact}_sum 0.0"));
        let coarse = "http_request_duration_seconds";
        self.family(coarse, "Latency with only few buckets by handler.", "histogram");
        for (path, method, number) in PATHS {
            for bound in ["0.1", "0.5", "1.0", "+Inf"] {
                let labels = format!("handler=\"{path}\",le=\"{bound}\",method=\"{method}\"");
                self.number(&format!("{coarse}_bucket{{{labels}}}"), number);
            }
            let labels = format!("handler=\"{path}\",method=\"{method}\"");
            self.number(&format!("{coarse}_count{{{labels}}}"), number);
            self.line(&format!("{coarse}_sum{{{labels}}} 0.0"));
        }
    }
}
