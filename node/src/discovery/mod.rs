//! Where endpoints come from: events from a source, here a watched file.

pub mod file;

mod event;

pub use event::{Event, ListedEndpoint};
