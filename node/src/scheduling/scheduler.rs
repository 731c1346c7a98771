//! The pick: candidates in, a choice out, nothing remembered.

use std::sync::Arc;

use super::{Candidate, ExtensionPoint, PickContext, Profile, Scored, Scratch, Weight, Weighted};

/// Picks endpoints as the configuration says. It holds no state: two picks with the same view,
/// request and random numbers choose the same.
#[derive(Clone, Debug)]
pub struct Scheduler {
    profile: Profile,
}

/// Why a pick chose nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    #[error("there are no candidates")]
    NoCandidates,
    #[error("filter {by} kept none of the candidates")]
    Filtered { by: Arc<str> },
    #[error("picker {by} chose none of the candidates")]
    Unpicked { by: Arc<str> },
}

impl Scheduler {
    pub fn new(profile: Profile) -> Self {
        Self { profile }
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Chooses among `candidates`, which are positions in the context's view.
    ///
    /// Filters run in order. Each scorer's score is cut to 0..=1 (what is not a number counts as
    /// 0), multiplied by the scorer's weight and added up; then the picker chooses.
    pub fn pick<'s>(
        &'s self,
        context: &PickContext<'_>,
        candidates: &[Candidate],
        random: &mut fastrand::Rng,
        scratch: &'s mut Scratch,
    ) -> Result<Decision<'s>, NoEndpoint> {
        scratch.begin(candidates);
        if candidates.is_empty() {
            return Err(NoEndpoint::NoCandidates);
        }
        self.profile.filter(context, scratch)?;
        self.profile.score(context, scratch);
        self.profile.choose(random, scratch);
        match scratch.picked.first() {
            Some(&first) => Ok(Decision { first, profile: &self.profile, scratch }),
            None => Err(NoEndpoint::Unpicked { by: Arc::clone(&self.profile.picker.name) }),
        }
    }

    /// Every plugin of a pick, in running order: where it runs, its type and its name.
    pub fn plugins(&self) -> impl Iterator<Item = (ExtensionPoint, &'static str, &str)> {
        let Profile { filters, scorers, picker, .. } = &self.profile;
        let filters = filters.iter().map(|f| (ExtensionPoint::Filter, f.plugin_type, &*f.name));
        let scorers = scorers
            .iter()
            .map(|Weighted { scorer: s, .. }| (ExtensionPoint::Scorer, s.plugin_type, &*s.name));
        let picker = (ExtensionPoint::Picker, picker.plugin_type, &*picker.name);
        filters.chain(scorers).chain([picker])
    }
}

/// What a pick chose, and why. It reads the scratch that the pick ran in.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'s> {
    first: Candidate,
    profile: &'s Profile,
    scratch: &'s Scratch,
}

/// What one scorer said of the candidates that the filters kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScorerScores<'s> {
    pub plugin_type: &'static str,
    pub name: &'s str,
    pub weight: Weight,
    /// In the order of [`Decision::totals`]; 0 to 1, before the weight.
    pub scores: &'s [f64],
}

impl<'s> Decision<'s> {
    /// The endpoint that should serve the request.
    pub fn first(&self) -> Candidate {
        self.first
    }

    /// The chosen endpoints, best first; never empty.
    pub fn picked(&self) -> &'s [Candidate] {
        &self.scratch.picked
    }

    /// The candidates that the filters kept, with their weighted sums of scores.
    pub fn totals(&self) -> impl Iterator<Item = Scored> + 's {
        let pairs = self.scratch.kept.iter().zip(&self.scratch.totals);
        pairs.map(|(&candidate, &score)| Scored { candidate, score })
    }

    /// What each scorer said, in the profile's order.
    pub fn scores(&self) -> impl Iterator<Item = ScorerScores<'s>> + 's {
        let rows = self.scratch.scores.chunks_exact(self.scratch.kept.len());
        rows.zip(&self.profile.scorers).map(|(scores, Weighted { scorer, weight })| ScorerScores {
            plugin_type: scorer.plugin_type,
            name: &scorer.name,
            weight: *weight,
            scores,
        })
    }
}
