//! A scheduling profile: the filters, weighted scorers and the picker that one pick runs.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Filter, NoEndpoint, PickContext, Picker, Scored, Scorer, Scratch};

/// A plugin with the type and the name that the configuration gives it.
#[derive(Debug)]
pub struct Named<P: ?Sized> {
    pub plugin_type: &'static str,
    pub name: Arc<str>,
    pub plugin: Arc<P>,
}

impl<P: ?Sized> Clone for Named<P> {
    fn clone(&self) -> Self {
        let Self { plugin_type, name, plugin } = self;
        Self { plugin_type, name: Arc::clone(name), plugin: Arc::clone(plugin) }
    }
}

/// What a scorer's scores are multiplied by.
///
/// Holds: its size is at most [`Weight::SIZE_MAX`], so sums of weighted scores stay finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// The weight of a scorer that is given none.
    pub const ONE: Self = Self(1.0);

    /// Far beyond any use, and far below where sums lose their small parts altogether.
    pub const SIZE_MAX: f64 = 1e9;

    pub fn new(weight: f64) -> Option<Self> {
        (weight.abs() <= Self::SIZE_MAX).then_some(Self(weight))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// A scorer and its weight.
#[derive(Clone, Debug)]
pub struct Weighted {
    pub scorer: Named<dyn Scorer>,
    pub weight: Weight,
}

/// The place in a pick at which a plugin runs; displayed as the metrics of the picker that Convoy
/// replaces label it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExtensionPoint {
    Filter,
    Scorer,
    Picker,
}

impl fmt::Display for ExtensionPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "Filter",
            Self::Scorer => "Scorer",
            Self::Picker => "Picker",
        })
    }
}

/// What one pick runs: every filter in order, then every scorer, then the picker.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub filters: Vec<Named<dyn Filter>>,
    pub scorers: Vec<Weighted>,
    pub picker: Named<dyn Picker>,
}

impl Profile {
    /// Leaves in `scratch.kept` those that every filter keeps.
    pub(super) fn filter(
        &self,
        context: &PickContext<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), NoEndpoint> {
        for filter in &self.filters {
            let started = scratch.started();
            filter.plugin.filter(context, &mut scratch.kept);
            scratch.finished(started);
            if scratch.kept.is_empty() {
                return Err(NoEndpoint::Filtered { by: Arc::clone(&filter.name) });
            }
        }
        Ok(())
    }

    /// Writes one row of scores per scorer, and the ranking of their weighted sums.
    pub(super) fn score(&self, context: &PickContext<'_>, scratch: &mut Scratch) {
        let width = scratch.kept.len();
        scratch.scores.clear();
        scratch.scores.resize(width * self.scorers.len(), 0.0);
        scratch.totals.clear();
        scratch.totals.resize(width, 0.0);
        let mut rows = std::mem::take(&mut scratch.scores);
        for (row, Weighted { scorer, weight }) in rows.chunks_exact_mut(width).zip(&self.scorers) {
            let started = scratch.started();
            scorer.plugin.score(context, &scratch.kept, row);
            scratch.finished(started);
            for (score, total) in row.iter_mut().zip(&mut scratch.totals) {
                *score = in_range(*score);
                *total += *score * weight.get();
            }
        }
        scratch.scores = rows;
    }

    /// Leaves the picker's choice in `scratch.picked`.
    pub(super) fn choose(&self, random: &mut fastrand::Rng, scratch: &mut Scratch) {
        scratch.ranking.clear();
        let pairs = scratch.kept.iter().zip(&scratch.totals);
        scratch.ranking.extend(pairs.map(|(&candidate, &score)| Scored { candidate, score }));
        let started = scratch.started();
        self.picker.plugin.pick(&mut scratch.ranking, random, &mut scratch.picked);
        scratch.finished(started);
    }
}

/// A score as it counts: 0 to 1, and 0 if it is not a number.
fn in_range(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) }
}

impl Scratch {
    fn started(&self) -> Option<Instant> {
        self.clock.map(|clock| clock())
    }

    fn finished(&mut self, started: Option<Instant>) {
        if let (Some(clock), Some(started)) = (self.clock, started) {
            let took: Duration = clock().saturating_duration_since(started);
            self.durations.push(took);
        }
    }
}
