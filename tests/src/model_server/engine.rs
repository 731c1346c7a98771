//! The engine: which sequences run together, how long a step takes, what comes out of it.
//!
//! Behaves as vLLM's scheduler does (`vllm/v1/core/sched/scheduler.py`): in each step running
//! sequences go first, then waiting ones in order of arrival; a step computes at most
//! `step_tokens_max` tokens, so long prompts are computed in pieces; a sequence that finds no free
//! block takes those of the sequence that was admitted last, which waits again, in front, and
//! starts over. A prompt that is cached whole is computed again from its last full block on, since
//! the first token of the answer needs the last token of the prompt.
//!
//! Pure: time is told, nothing waits. Call [`Engine::begin_step`], let the time pass that it
//! returns, then call [`Engine::end_step`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::adapters::{Admission, Slots, Usage, UsageHistory};
use super::cache::KvCache;
use super::counters::{Counters, Family, Finish};
use super::sequence::Sequence;
pub use super::sequence::{Progress, Request, SequenceId};
use super::settings::{EngineSettings, Timing};

/// One engine. Times are counted from the start of its process.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    cache: KvCache,
    slots: Slots,
    waiting: VecDeque<Sequence>,
    /// In the order of admission.
    running: Vec<Sequence>,
    counters: Counters,
    usages: UsageHistory,
    next_id: u64,
}

/// What one step computes.
#[derive(Debug)]
struct Batch {
    /// Tokens that may still be scheduled.
    tokens_left: usize,
    scheduled: bool,
    prompt_tokens: usize,
    starts: bool,
    decodes: u32,
    adapters_loaded: u32,
    preempted: bool,
}

impl Batch {
    fn new(tokens_max: usize) -> Self {
        Self {
            tokens_left: tokens_max,
            scheduled: false,
            prompt_tokens: 0,
            starts: false,
            decodes: 0,
            adapters_loaded: 0,
            preempted: false,
        }
    }

    fn add(&mut self, tokens: usize, decodes: bool) {
        self.scheduled = true;
        self.tokens_left = self.tokens_left.saturating_sub(tokens);
        if decodes {
            self.decodes += 1;
        } else {
            self.prompt_tokens += tokens;
        }
    }

    fn duration(&self, timing: &Timing) -> Duration {
        let start = if self.starts { timing.prefill_overhead } else { Duration::ZERO };
        let prompt =
            timing.prefill_per_token * u32::try_from(self.prompt_tokens).unwrap_or(u32::MAX);
        let decode = match self.decodes {
            0 => Duration::ZERO,
            decodes => timing.inter_token_latency + timing.decode_per_sequence * (decodes - 1),
        };
        start + prompt + decode + timing.adapter_load * self.adapters_loaded
    }
}

impl Engine {
    /// An idle engine with an empty cache.
    pub fn new(settings: EngineSettings) -> Self {
        let mut usages = UsageHistory::default();
        usages.note(Usage::default(), Duration::ZERO);
        Self {
            cache: KvCache::new(settings.usable_blocks(), settings.prefix_caching),
            slots: Slots::new(settings.max_loras),
            settings,
            waiting: VecDeque::new(),
            running: Vec::new(),
            counters: Counters::default(),
            usages,
            next_id: 0,
        }
    }

    /// Queues a request that arrived at `now`.
    pub fn submit(&mut self, request: Request, now: Duration) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.counters.submitted += 1;
        self.waiting.push_back(Sequence::new(id, request, now));
        self.counters.waiting_peak = self.counters.waiting_peak.max(self.waiting.len() as u64);
        self.note_usage(now);
        id
    }

    /// Ends a sequence whose client went away. Unknown ids are ignored: it may have just ended.
    pub fn cancel(&mut self, id: SequenceId, now: Duration) {
        if let Some(position) = self.waiting.iter().position(|sequence| sequence.id == id) {
            self.waiting.remove(position);
        } else if let Some(position) = self.running.iter().position(|sequence| sequence.id == id) {
            let sequence = self.running.remove(position);
            self.cache.release(&sequence.held);
        } else {
            return;
        }
        self.counters.finished(Finish::Abort);
        self.note_usage(now);
    }

    /// Chooses what the next step computes; returns how long that takes, `None` if there is
    /// nothing to do.
    pub fn begin_step(&mut self, now: Duration) -> Option<Duration> {
        let batch = self.schedule(now);
        // A step that only took blocks away leaves something to schedule behind.
        let batch = if batch.preempted && !batch.scheduled { self.schedule(now) } else { batch };
        if !batch.scheduled {
            return None;
        }
        self.counters.running_peak = self.counters.running_peak.max(self.running.len() as u64);
        let tokens = self.settings.step_tokens_max.saturating_sub(batch.tokens_left);
        self.counters.observe(Family::IterationTokens, as_f64(tokens));
        self.note_usage(now);
        Some(batch.duration(&self.settings.timing))
    }

    /// Ends the step that is under way and appends what each sequence has reached to `reached`.
    pub fn end_step(&mut self, now: Duration, reached: &mut Vec<(SequenceId, Progress)>) {
        let (cache, counters) = (&mut self.cache, &mut self.counters);
        self.running.retain_mut(|sequence| {
            if !sequence.complete_step(now, counters) {
                return true;
            }
            reached.push((sequence.id, sequence.progress()));
            let Some(how) = sequence.finish() else {
                return true;
            };
            cache.release(&sequence.held);
            counters.finished(how);
            sequence.observe_end(now, counters);
            false
        });
        self.note_usage(now);
    }

    /// Sequences that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Sequences that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The KV cache.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// What was counted since the engine's start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Which adapters were used lately.
    pub fn usages(&self) -> &UsageHistory {
        &self.usages
    }

    /// The adapters that are loaded, used longest ago first.
    pub fn loaded_adapters(&self) -> impl Iterator<Item = &str> {
        self.slots.loaded()
    }

    fn schedule(&mut self, now: Duration) -> Batch {
        let mut batch = Batch::new(self.settings.step_tokens_max);
        self.schedule_running(&mut batch);
        if !batch.preempted {
            self.schedule_waiting(&mut batch, now);
        }
        batch
    }

    fn schedule_running(&mut self, batch: &mut Batch) {
        let block_tokens = self.settings.block_tokens;
        let mut index = 0;
        while let Some(sequence) = self.running.get_mut(index) {
            if batch.tokens_left == 0 {
                break;
            }
            let tokens = sequence.uncomputed().min(batch.tokens_left);
            let blocks = (sequence.computed + tokens).div_ceil(block_tokens);
            if self.cache.grow(&mut sequence.held, &[], blocks) {
                batch.add(tokens, sequence.decodes());
                sequence.schedule(tokens, block_tokens, &mut self.cache);
                index += 1;
            } else {
                // The last to be admitted gives way; if that is this sequence, the loop ends.
                self.preempt_last();
                batch.preempted = true;
            }
        }
    }

    fn preempt_last(&mut self) {
        let Some(mut sequence) = self.running.pop() else {
            return;
        };
        self.cache.release(&std::mem::take(&mut sequence.held));
        self.counters.preemptions += 1;
        self.waiting.push_front(sequence);
    }

    fn schedule_waiting(&mut self, batch: &mut Batch, now: Duration) {
        let mut index = 0;
        while batch.tokens_left != 0 && self.running.len() < self.settings.running_max {
            let Some(sequence) = self.waiting.get(index) else {
                break;
            };
            let Some(admission) = admit(&mut self.slots, &self.running, sequence) else {
                // Others need all adapter slots; who came later and needs none may pass.
                index += 1;
                continue;
            };
            let Some(mut sequence) = self.waiting.remove(index) else {
                break;
            };
            if self.start(&mut sequence, batch, now) {
                batch.adapters_loaded += u32::from(admission == Admission::Loading);
                self.running.push(sequence);
            } else {
                self.waiting.insert(index, sequence);
                break;
            }
        }
    }

    /// Gives `sequence` its first blocks and tokens; false if the cache has no room.
    fn start(&mut self, sequence: &mut Sequence, batch: &mut Batch, now: Duration) -> bool {
        let block_tokens = self.settings.block_tokens;
        // The last token is always computed, so the block that holds it is never a hit.
        let blocks_max = (sequence.tokens().saturating_sub(1)) / block_tokens;
        let hashes = sequence.hashes();
        let findable = hashes.get(..blocks_max.min(hashes.len())).unwrap_or_default();
        let hits = findable.get(..self.cache.matched(findable)).unwrap_or_default();
        let hit_tokens = hits.len() * block_tokens;
        let tokens = (sequence.tokens() - hit_tokens).min(batch.tokens_left);
        let blocks = (hit_tokens + tokens).div_ceil(block_tokens);
        let mut held = Vec::with_capacity(blocks);
        if !self.cache.grow(&mut held, hits, blocks) {
            return false;
        }
        let hit_blocks = hits.len();
        sequence.held = held;
        if sequence.start(hit_blocks, block_tokens, now) {
            self.counters.cache_queries += sequence.tokens() as u64;
            self.counters.cache_hits += hit_tokens as u64;
        }
        batch.starts = true;
        batch.add(tokens, false);
        sequence.schedule(tokens, block_tokens, &mut self.cache);
        true
    }

    fn note_usage(&mut self, now: Duration) {
        if self.settings.max_loras == 0 {
            return;
        }
        let usage = Usage {
            running: adapter_list(self.running.iter()),
            waiting: adapter_list(self.waiting.iter()),
        };
        self.usages.note(usage, now);
    }
}

/// Whether `sequence` can run beside those of `running`; `None` if it has to wait for a slot.
fn admit(slots: &mut Slots, running: &[Sequence], sequence: &Sequence) -> Option<Admission> {
    let Some(adapter) = &sequence.adapter else {
        return Some(Admission::Loaded);
    };
    let in_use = |name: &str| running.iter().any(|other| other.adapter.as_deref() == Some(name));
    match slots.admit(adapter, in_use) {
        Admission::Wait => None,
        admission @ (Admission::Loaded | Admission::Loading) => Some(admission),
    }
}

fn adapter_list<'a>(sequences: impl Iterator<Item = &'a Sequence>) -> String {
    let mut names: Vec<&Arc<str>> = Vec::new();
    for adapter in sequences.filter_map(|sequence| sequence.adapter.as_ref()) {
        if !names.contains(&adapter) {
            names.push(adapter);
        }
    }
    let names: Vec<&str> = names.into_iter().map(|name| &**name).collect();
    names.join(",")
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens stay far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
