//! `EndpointPickerConfig`: read, checked, and turned into a scheduler.

mod overrides;

use std::path::PathBuf;

pub use overrides::Overrides;

/// Where a configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the built-in one is used.
    BuiltIn,
    File(PathBuf),
    /// On the command line.
    Text(String),
}
