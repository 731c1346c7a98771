//! A pick as a function: filters, scorers and a picker over one view.

mod plugin;

pub use plugin::{Candidate, Filter, PickContext, Picker, PromptMatch, Scorer};
