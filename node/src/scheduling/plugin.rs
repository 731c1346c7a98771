//! What a scheduling plugin is, and what it may know about the request.

use std::{
    fmt,
    time::{Duration, Instant},
};

use convoy_proto::hot::HeaderList;

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
    /// The request's headers.
    pub headers: &'a HeaderList,
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

impl PromptMatch<'_> {
    /// The blocks that `candidate` is believed to hold; none if nothing was said of it.
    pub fn matched_blocks(&self, candidate: Candidate) -> u32 {
        self.matched.get(candidate.0 as usize).copied().unwrap_or(0)
    }
}

impl<'a> PickContext<'a> {
    /// The endpoint at the candidate's position; `None` for a candidate of another view.
    pub fn member(&self, candidate: Candidate) -> Option<&'a Member> {
        self.view.members.get(candidate.0 as usize)
    }

    /// The candidate's load; `None` when nothing fresh is known of it.
    pub fn load(&self, candidate: Candidate) -> Option<&'a Load> {
        self.member(candidate)?.load(self.now, self.load_age_max)
    }

    /// The value of the request's header `name`, if it is text. Of several the last counts.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.text(name)
    }
}

/// A position in [`View::members`] of the view that the pick reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate(pub u32);

/// A candidate and what all scorers together say of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    pub candidate: Candidate,
    /// The weighted sum of its scores; never NaN.
    pub score: f64,
}

/// Keeps the candidates that may serve the request.
pub trait Filter: Send + Sync + fmt::Debug {
    /// Removes candidates, and may reorder those that stay. It adds none.
    fn filter(&self, context: &PickContext<'_>, candidates: &mut Vec<Candidate>);
}

/// Says how well each candidate suits the request.
pub trait Scorer: Send + Sync + fmt::Debug {
    /// Writes one score per candidate, 0.0 (worst) to 1.0 (best), into `scores`, which has the
    /// length of `candidates` and comes filled with 0.0.
    fn score(&self, context: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]);
}

/// Chooses among scored candidates.
pub trait Picker: Send + Sync + fmt::Debug {
    /// Appends the choice to `picked`, best first: at least one candidate if `ranking` has any.
    /// `ranking` is the picker's to reorder and overwrite.
    fn pick(&self, ranking: &mut [Scored], random: &mut fastrand::Rng, picked: &mut Vec<Candidate>);
}
