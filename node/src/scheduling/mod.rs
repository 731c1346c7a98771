//! A pick as a function: filters, scorers and a picker over one view.

mod candidates;
mod plugin;
mod profile;
mod scheduler;
mod scratch;

pub use candidates::{Subset, candidates};
pub use plugin::{Candidate, Filter, PickContext, Picker, PromptMatch, Scored, Scorer};
pub use profile::{ExtensionPoint, Named, Profile, Weight, Weighted};
pub use scheduler::{Decision, NoEndpoint, Scheduler, ScorerScores};
pub use scratch::Scratch;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
