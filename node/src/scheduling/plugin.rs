//! What a scheduling plugin is, and what it may know about the request.

use std::time::{Duration, Instant};

use crate::endpoints::{Load, Member, View};

/// What a pick knows. It is built once per request and borrowed by every plugin.
#[derive(Debug)]
pub struct PickContext<'a> {
    pub view: &'a View,
    pub now: Instant,
    /// Older samples are unknown.
    pub load_age_max: Duration,
    /// The model after rewrite; empty if the request names none.
    pub model: &'a str,
    /// The request's headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// `None` when the request carries no prompt.
    pub prompt: Option<PromptMatch<'a>>,
}

/// How much of the request's prompt each endpoint is believed to hold.
#[derive(Clone, Copy, Debug)]
pub struct PromptMatch<'a> {
    /// Blocks in the request's chains, all chains together.
    pub blocks: u32,
    /// Engine tokens in one block.
    pub block_tokens: u32,
    /// Matched blocks by position in [`View::members`].
    pub matched: &'a [u32],
}

impl<'a> PickContext<'a> {
    pub fn member(&self, candidate: Candidate) -> &'a Member {
        &self.view.members[candidate.0 as usize]
    }

    /// The candidate's load; `None` when nothing fresh is known of it.
    pub fn load(&self, candidate: Candidate) -> Option<&'a Load> {
        self.member(candidate).load(self.now, self.load_age_max)
    }
}

/// A position in [`View::members`] of the view that the pick reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate(pub u32);

/// Keeps the candidates that may serve the request.
pub trait Filter: Send + Sync {
    fn filter(&self, context: &PickContext<'_>, candidates: &mut Vec<Candidate>);
}

/// Says how well each candidate suits the request.
pub trait Scorer: Send + Sync {
    /// Writes one score per candidate, 0.0 (worst) to 1.0 (best), into `scores`, which has the
    /// length of `candidates` and comes filled with 0.0.
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]);
}

/// Chooses among scored candidates.
pub trait Picker: Send + Sync {
    /// Appends the choice to `picked`, best first.
    fn pick(
        &self,
        scored: &[(Candidate, f64)],
        random: &mut fastrand::Rng,
        picked: &mut Vec<Candidate>,
    );
}
