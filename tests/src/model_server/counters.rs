//! What one engine counts over its life, as vLLM's metrics do.

/// A histogram that vLLM keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    PromptTokens,
    GenerationTokens,
    IterationTokens,
    GenerationTokensAsked,
    ChoicesAsked,
    MaxTokensAsked,
    TimeToFirstToken,
    InterTokenLatency,
    TimePerOutputToken,
    Latency,
    QueueTime,
    InferenceTime,
    PrefillTime,
    DecodeTime,
}

/// What a histogram is called and where its buckets end.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    pub family: Family,
    pub name: &'static str,
    pub help: &'static str,
    pub bounds: &'static [f64],
}

const TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0,
];
const STEP_TOKENS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0];
const CHOICES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const BETWEEN_TOKENS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_TIME: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

const fn describe(
    family: Family,
    name: &'static str,
    help: &'static str,
    bounds: &'static [f64],
) -> Description {
    Description { family, name, help, bounds }
}

/// All histograms, in the order in which the page shows them and [`Family`] names them.
pub const FAMILIES: [Description; 14] = [
    describe(
        Family::PromptTokens,
        "vllm:request_prompt_tokens",
        "Number of prefill tokens processed.",
        TOKENS,
    ),
    describe(
        Family::GenerationTokens,
        "vllm:request_generation_tokens",
        "Number of generation tokens processed.",
        TOKENS,
    ),
    describe(
        Family::IterationTokens,
        "vllm:iteration_tokens_total",
        "Histogram of number of tokens per engine_step.",
        STEP_TOKENS,
    ),
    describe(
        Family::GenerationTokensAsked,
        "vllm:request_max_num_generation_tokens",
        "Histogram of maximum number of requested generation tokens.",
        TOKENS,
    ),
    describe(
        Family::ChoicesAsked,
        "vllm:request_params_n",
        "Histogram of the n request parameter.",
        CHOICES,
    ),
    describe(
        Family::MaxTokensAsked,
        "vllm:request_params_max_tokens",
        "Histogram of the max_tokens request parameter.",
        TOKENS,
    ),
    describe(
        Family::TimeToFirstToken,
        "vllm:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        FIRST_TOKEN,
    ),
    describe(
        Family::InterTokenLatency,
        "vllm:inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        BETWEEN_TOKENS,
    ),
    describe(
        Family::TimePerOutputToken,
        "vllm:request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        BETWEEN_TOKENS,
    ),
    describe(
        Family::Latency,
        "vllm:e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        REQUEST_TIME,
    ),
    describe(
        Family::QueueTime,
        "vllm:request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        REQUEST_TIME,
    ),
    describe(
        Family::InferenceTime,
        "vllm:request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        REQUEST_TIME,
    ),
    describe(
        Family::PrefillTime,
        "vllm:request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        REQUEST_TIME,
    ),
    describe(
        Family::DecodeTime,
        "vllm:request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        REQUEST_TIME,
    ),
];

/// Observations by bucket. Counts are cumulative only on the page.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One count for each bound and one for what lies beyond the last.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    /// How many observations each bucket and those before it hold; the last is all of them.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        })
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// How a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model had said what it had to say.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The client went away.
    Abort,
}

impl Finish {
    /// The word that the API and the metrics use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abort => "abort",
        }
    }
}

/// Counters of one life of an engine. All begin at zero.
#[derive(Clone, Debug)]
pub struct Counters {
    pub submitted: u64,
    pub stopped: u64,
    pub cut_at_length: u64,
    pub aborted: u64,
    pub prompt_tokens: u64,
    pub generation_tokens: u64,
    /// Tokens of prompts looked up in the cache, and how many of them it held.
    pub cache_queries: u64,
    pub cache_hits: u64,
    pub preemptions: u64,
    /// Most sequences that ever ran, and waited, at once.
    pub running_peak: u64,
    pub waiting_peak: u64,
    histograms: Vec<Histogram>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            submitted: 0,
            stopped: 0,
            cut_at_length: 0,
            aborted: 0,
            prompt_tokens: 0,
            generation_tokens: 0,
            cache_queries: 0,
            cache_hits: 0,
            preemptions: 0,
            running_peak: 0,
            waiting_peak: 0,
            histograms: FAMILIES.iter().map(|family| Histogram::new(family.bounds)).collect(),
        }
    }
}

impl Counters {
    /// Counts one observation of `family`: tokens, choices or seconds.
    pub fn observe(&mut self, family: Family, value: f64) {
        if let Some(histogram) = self.histograms.get_mut(family as usize) {
            histogram.observe(value);
        }
    }

    /// Counts the end of a sequence.
    pub fn finished(&mut self, how: Finish) {
        match how {
            Finish::Stop => self.stopped += 1,
            Finish::Length => self.cut_at_length += 1,
            Finish::Abort => self.aborted += 1,
        }
    }

    /// The histogram of `family`.
    pub fn histogram(&self, family: Family) -> &Histogram {
        self.histograms.get(family as usize).expect("FAMILIES lists every family, in order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_stands_at_its_own_position() {
        for (position, description) in FAMILIES.iter().enumerate() {
            assert_eq!(description.family as usize, position, "{}", description.name);
        }
    }

    #[test]
    fn an_observation_counts_in_its_bucket_and_all_later_ones() {
        let mut counters = Counters::default();
        counters.observe(Family::ChoicesAsked, 2.0);
        counters.observe(Family::ChoicesAsked, 21.0);
        let histogram = counters.histogram(Family::ChoicesAsked);
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [0, 1, 1, 1, 1, 2]);
        assert!((histogram.sum() - 23.0).abs() < f64::EPSILON);
    }
}
