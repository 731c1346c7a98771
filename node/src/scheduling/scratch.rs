//! The memory that a pick works in, kept between picks so that a pick allocates nothing.

use std::time::{Duration, Instant};

use super::{Candidate, Scored};

/// Room for picks, one after the other; each serving thread keeps its own.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Those that the filters kept.
    pub(super) kept: Vec<Candidate>,
    /// One row per scorer, one column per kept candidate: scores from 0 to 1, before weights.
    pub(super) scores: Vec<f64>,
    /// The weighted sums, by kept candidate.
    pub(super) totals: Vec<f64>,
    /// What the picker reads, reorders and overwrites.
    pub(super) ranking: Vec<Scored>,
    pub(super) picked: Vec<Candidate>,
    /// Reads the time around each plugin, if its running time is wanted.
    pub(super) clock: Option<fn() -> Instant>,
    pub(super) durations: Vec<Duration>,
}

impl Scratch {
    /// A scratch that also measures how long each plugin runs.
    pub fn timed_by(clock: fn() -> Instant) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// How long each plugin of the last pick ran, in the order of
    /// [`super::Scheduler::plugins`]; shorter if a filter ended the pick, empty if untimed.
    pub fn durations(&self) -> &[Duration] {
        &self.durations
    }

    /// Forgets the last pick and takes up `candidates`.
    pub(super) fn begin(&mut self, candidates: &[Candidate]) {
        self.kept.clear();
        self.kept.extend_from_slice(candidates);
        self.picked.clear();
        self.durations.clear();
    }
}
