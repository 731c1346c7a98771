//! Where endpoints come from: events from a source, here a watched file.

pub mod file;

mod event;
mod metrics;

pub use event::{Event, ListedEndpoint};
pub use metrics::Metrics;
