//! What one serving thread keeps between requests, so that a request allocates little.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{conversation::Answer, outbox::Outbox, refusal::Refusal, service::Service};
use crate::{
    clock,
    command_line::ResponseObservation,
    endpoints::{Endpoint, PublishedView},
    metrics::{Attempts, PluginTimings, Recorder, countable},
    prefix::PromptScratch,
    scheduling::{Candidate, Scratch},
};

/// One serving thread's working memory.
#[derive(Debug)]
pub struct Desk {
    pub service: Arc<Service>,
    pub outbox: Outbox,
    pub(super) answers: Vec<Answer>,
    pub(super) random: fastrand::Rng,
    pub(super) candidates: Vec<Candidate>,
    pub(super) scheduling: Scratch,
    pub(super) prompt: PromptScratch,
    timings: Vec<PluginTimings>,
    recorders: HashMap<String, Arc<Recorder>>,
    attempts: HashMap<String, Attempts>,
    key: String,
    refusals: RefusalLog,
}

/// Handles to metrics kept at once. When more are asked for, all are forgotten and made again, which
/// waits for nobody.
const HANDLES_MAX: usize = 4096;

impl Desk {
    pub fn new(service: Arc<Service>, random: fastrand::Rng) -> Self {
        let timings = service
            .scheduler
            .plugins()
            .map(|(point, kind, name)| service.picks.plugin(&point.to_string(), kind, name))
            .collect();
        Self {
            service,
            outbox: Outbox::default(),
            answers: Vec::new(),
            random,
            candidates: Vec::new(),
            scheduling: Scratch::timed_by(clock::now),
            prompt: PromptScratch::default(),
            timings,
            recorders: HashMap::new(),
            attempts: HashMap::new(),
            key: String::new(),
            refusals: RefusalLog::default(),
        }
    }

    /// Counts requests with these values.
    pub(super) fn recorder(&mut self, model: &str, target: &str, fairness: &str) -> Arc<Recorder> {
        let [model, target, fairness] = [model, target, fairness].map(countable);
        self.key.clear();
        for part in [model, "\0", target, "\0", fairness] {
            self.key.push_str(part);
        }
        if let Some(recorder) = self.recorders.get(&self.key) {
            return Arc::clone(recorder);
        }
        if HANDLES_MAX <= self.recorders.len() {
            self.recorders.clear();
        }
        let recorder = self.service.requests.recorder(model, target, fairness);
        self.recorders.insert(self.key.clone(), Arc::clone(&recorder));
        recorder
    }

    /// Counts a pick for `target` that chose `endpoint`, or nobody.
    pub(super) fn attempted(&mut self, target: &str, endpoint: Option<&Endpoint>) {
        let target = countable(target);
        self.key.clear();
        let address = endpoint.map_or("", |endpoint| &endpoint.address_text);
        for part in [target, "\0", address] {
            self.key.push_str(part);
        }
        if let Some(attempts) = self.attempts.get(&self.key) {
            attempts.count();
            return;
        }
        if HANDLES_MAX <= self.attempts.len() {
            self.attempts.clear();
        }
        let attempts = self.service.picks.attempts(target, endpoint);
        attempts.count();
        self.attempts.insert(self.key.clone(), attempts);
    }

    /// Observes how long each plugin of the last pick took.
    pub(super) fn observe_plugins(&self) {
        for (timings, &duration) in self.timings.iter().zip(self.scheduling.durations()) {
            timings.took(duration);
        }
    }

    /// Whether to watch the response to the next request, and for how many requests it then stands.
    ///
    /// Where one in 3.3 is watched, it stands for three or four, so that sums come out right.
    pub(super) fn observes(&mut self) -> Option<u32> {
        match self.service.behaviour.observation {
            ResponseObservation::Full => Some(1),
            ResponseObservation::Off => None,
            ResponseObservation::Some(share) => {
                let watched = self.random.f64() < share.get();
                let exact = (1.0 / share.get()).min(STANDS_FOR_MAX);
                watched.then(|| round_at_random(exact, &mut self.random))
            }
        }
    }

    pub(super) fn log_refusal(&mut self, refusal: &Refusal, request_id: &str) {
        self.refusals.log(refusal, request_id, &self.service.view, clock::now());
    }
}

/// The smallest share that is made up for; below it, metrics show less than there is.
const STANDS_FOR_MAX: f64 = 10_000.0;

/// `exact` rounded up or down, so that the mean of many is exact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
fn round_at_random(exact: f64, random: &mut fastrand::Rng) -> u32 {
    exact.floor() as u32 + u32::from(random.f64() < exact.fract())
}

/// Says refusals that an operator must hear of, once a second at most; others only in detail logs.
#[derive(Debug, Default)]
struct RefusalLog {
    said_at: Option<Instant>,
    suppressed: u64,
}

impl RefusalLog {
    fn log(&mut self, refusal: &Refusal, request_id: &str, pool: &PublishedView, now: Instant) {
        if refusal.status() < 500 {
            tracing::debug!(request_id, refusal = %refusal, "request refused");
            return;
        }
        let recently = |at: Instant| now.saturating_duration_since(at).as_secs() < 1;
        if self.said_at.is_some_and(recently) {
            self.suppressed += 1;
            return;
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        let view = pool.load();
        let (endpoints, ready) = (view.members.len(), view.ready());
        tracing::warn!(
            request_id, refusal = %refusal, endpoints, ready, suppressed, "request refused"
        );
        self.said_at = Some(now);
    }
}
