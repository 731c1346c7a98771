//! One sequence in the engine: a prompt and the answer that grows behind it.

use std::sync::Arc;
use std::time::Duration;

use super::cache::{BlockId, KvCache};
use super::counters::{Counters, Family, Finish};
use super::tokens::{BlockHash, Chain, answer_token};

/// A sequence of one engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(super) u64);

/// What a client asks the engine for: one answer to one prompt.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt, hashed.
    pub chain: Chain,
    pub prompt_tokens: usize,
    /// How long the answer gets, at least 1.
    pub output_tokens: usize,
    /// Why it ends there.
    pub finish: Finish,
    pub adapter: Option<Arc<str>>,
    /// How many answers the API request asked for, and of which length; for metrics only.
    pub choices_asked: usize,
    pub max_tokens_asked: Option<usize>,
}

/// How far a sequence has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens of the prompt that the cache held when the sequence was first scheduled.
    pub cached_tokens: usize,
    /// Tokens of the answer so far.
    pub output_tokens: usize,
    /// Set with the last token.
    pub finish: Option<Finish>,
}

/// When things happened to a sequence.
#[derive(Debug)]
struct Times {
    arrived: Duration,
    started: Option<Duration>,
    first_token: Option<Duration>,
    last_token: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    pub(super) adapter: Option<Arc<str>>,
    /// Blocks in order; those before `filled` are known to the cache by their hash.
    pub(super) held: Vec<BlockId>,
    filled: usize,
    /// Tokens whose keys and values are in `held`.
    pub(super) computed: usize,
    /// Tokens that the step under way adds to them.
    scheduled: usize,
    chain: Chain,
    fingerprint: u64,
    prompt_tokens: usize,
    output_tokens: usize,
    output_tokens_max: usize,
    finish: Finish,
    cached_tokens: Option<usize>,
    choices_asked: usize,
    max_tokens_asked: Option<usize>,
    times: Times,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, request: Request, arrived: Duration) -> Self {
        Self {
            id,
            adapter: request.adapter,
            held: Vec::new(),
            filled: 0,
            computed: 0,
            scheduled: 0,
            fingerprint: request.chain.fingerprint(),
            chain: request.chain,
            prompt_tokens: request.prompt_tokens,
            output_tokens: 0,
            output_tokens_max: request.output_tokens.max(1),
            finish: request.finish,
            cached_tokens: None,
            choices_asked: request.choices_asked,
            max_tokens_asked: request.max_tokens_asked,
            times: Times { arrived, started: None, first_token: None, last_token: None },
        }
    }

    /// Tokens of prompt and answer so far.
    pub(super) fn tokens(&self) -> usize {
        self.prompt_tokens + self.output_tokens
    }

    pub(super) fn uncomputed(&self) -> usize {
        self.tokens() - self.computed
    }

    /// Whether its next step computes the token generated last, and nothing else.
    pub(super) fn decodes(&self) -> bool {
        self.output_tokens != 0 && self.uncomputed() == 1
    }

    pub(super) fn hashes(&self) -> &[BlockHash] {
        self.chain.hashes()
    }

    /// Begins with `hit_blocks` found in the cache, or begins again with its answer so far; true if
    /// it never began before.
    pub(super) fn start(&mut self, hit_blocks: usize, block_tokens: usize, now: Duration) -> bool {
        self.computed = hit_blocks * block_tokens;
        self.filled = hit_blocks;
        let is_first = self.cached_tokens.is_none();
        self.cached_tokens.get_or_insert(self.computed);
        self.times.started.get_or_insert(now);
        is_first
    }

    /// Lets the coming step compute `tokens`. The blocks that they fill can be found from now on,
    /// by sequences of the same step too.
    pub(super) fn schedule(&mut self, tokens: usize, block_tokens: usize, cache: &mut KvCache) {
        self.scheduled = tokens;
        let full = (self.computed + tokens) / block_tokens;
        let blocks = self.held.iter().zip(self.chain.hashes()).take(full).skip(self.filled);
        for (&id, &hash) in blocks {
            cache.fill(id, hash);
        }
        self.filled = self.filled.max(full);
    }

    /// Ends a step; true if it brought a token of the answer.
    pub(super) fn complete_step(&mut self, now: Duration, counters: &mut Counters) -> bool {
        if self.scheduled == 0 {
            return false;
        }
        self.computed += self.scheduled;
        self.scheduled = 0;
        if self.computed < self.tokens() {
            return false;
        }
        self.chain.push(answer_token(self.fingerprint, self.output_tokens as u64));
        self.output_tokens += 1;
        counters.generation_tokens += 1;
        match self.times.last_token {
            None => {
                counters.prompt_tokens += self.prompt_tokens as u64;
                counters.observe(Family::TimeToFirstToken, seconds(self.times.arrived, now));
                self.times.first_token = Some(now);
            }
            Some(last) => counters.observe(Family::InterTokenLatency, seconds(last, now)),
        }
        self.times.last_token = Some(now);
        true
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            cached_tokens: self.cached_tokens.unwrap_or(0),
            output_tokens: self.output_tokens,
            finish: self.finish(),
        }
    }

    /// How it ended, if it did.
    pub(super) fn finish(&self) -> Option<Finish> {
        (self.output_tokens_max <= self.output_tokens).then_some(self.finish)
    }

    /// Counts what a finished sequence took.
    #[expect(clippy::cast_precision_loss, reason = "counts of tokens stay far below 2^52")]
    pub(super) fn observe_end(&self, now: Duration, counters: &mut Counters) {
        let started = self.times.started.unwrap_or(now);
        let first = self.times.first_token.unwrap_or(now);
        let mut observe = |family, value| counters.observe(family, value);
        observe(Family::PromptTokens, self.prompt_tokens as f64);
        observe(Family::GenerationTokens, self.output_tokens as f64);
        observe(Family::GenerationTokensAsked, self.output_tokens_max as f64);
        observe(Family::ChoicesAsked, self.choices_asked as f64);
        if let Some(max_tokens) = self.max_tokens_asked {
            observe(Family::MaxTokensAsked, max_tokens as f64);
        }
        observe(Family::Latency, seconds(self.times.arrived, now));
        observe(Family::QueueTime, seconds(self.times.arrived, started));
        observe(Family::InferenceTime, seconds(started, now));
        observe(Family::PrefillTime, seconds(started, first));
        observe(Family::DecodeTime, seconds(first, now));
        if 1 < self.output_tokens {
            let later_tokens = (self.output_tokens - 1) as f64;
            observe(Family::TimePerOutputToken, seconds(first, now) / later_tokens);
        }
    }
}

fn seconds(from: Duration, to: Duration) -> f64 {
    to.saturating_sub(from).as_secs_f64()
}
